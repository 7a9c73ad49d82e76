"""`photoorg tags`: which tags there are, what category they belong to, and finding them again."""

from __future__ import annotations

import argparse
import sys
from dataclasses import asdict

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction, open_catalog


def add_to(commands: Commands) -> None:
    """Add `tags list`, `tags map`, `tags unmap` and `tags recompute`."""
    group = commands.group("tags", "list tags, sort them into categories", "photoorg tags list")
    listing = group.add(
        "list",
        "list the tags, their categories and how many photos have them",
        "photoorg tags list --category setting",
        _list,
    )
    listing.add_argument("--category", metavar="NAME", help="only of this category")
    add_page(listing, after="TAG", limit=100)
    mapping = group.add(
        "map",
        "let a tag belong to a category, on every photo",
        "photoorg tags map harbour travel",
        _map,
    )
    mapping.add_argument("tag", metavar="TAG")
    mapping.add_argument("category", metavar="CATEGORY")
    unmapping = group.add(
        "unmap", "give a tag its first category back", "photoorg tags unmap harbour", _unmap
    )
    unmapping.add_argument("tag", metavar="TAG")
    group.add(
        "recompute",
        "find the tags again from the stored vectors, without the photos",
        "photoorg tags recompute",
        _recompute,
    )


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import tags

    with catalog_transaction(session) as tx:
        found, following = tags.page(
            tx, after=args.after, limit=limit_of(args), category=args.category
        )
    rows = [(t.label, t.category, t.photos, t.given) for t in found]
    header = ("tag", "category", "photos", "given by people")
    text = table(rows, header) if rows else "There are no tags."
    data = {"tags": [asdict(t) for t in found], "next_cursor": following}
    session.out.reply(data, text + more(following))


def _map(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import tags

    with catalog_transaction(session) as tx:
        before = tags.map_category(tx, ACTOR, args.tag, args.category)
        now = tags.category_of(tx, args.tag)
    _reply(session, args.tag, before, now)


def _unmap(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import tags

    with catalog_transaction(session) as tx:
        before = tags.unmap_category(tx, ACTOR, args.tag)
        now = tags.category_of(tx, args.tag)
    _reply(session, args.tag, before, now)


def _reply(session: Session, tag: str, before: str, now: str) -> None:
    """The change, with what to type to undo it."""
    undo = f"photoorg tags map {tag!r} {before!r}" if before != now else None
    text = f"{tag}: {before or '(none)'} -> {now or '(none)'}"
    if undo:
        text += f"\nundo: {undo}"
    session.out.reply({"tag": tag, "before": before, "category": now, "undo": undo}, text)


def _recompute(args: argparse.Namespace, session: Session) -> None:
    from photoorg.encoders.prompts import load_prompts, open_tagger
    from photoorg.encoders.settling import settled
    from photoorg.encoders.spaces import open_encoder
    from photoorg.stages.tags import recompute
    from photoorg.store.objects import ObjectStore

    config = session.config()
    categories = load_prompts(config.enrich.prompts)
    with open_catalog(config) as catalog:
        config = settled(config, catalog)
        tagger = open_tagger(open_encoder(config.encoder, config.models_dir), categories)
        store = ObjectStore(config.storage)
        done = recompute(catalog, store, config.tenant, tagger, progress=_progress)
    text = f"{done.photos} photos have {done.tags} tags from the space {done.space}"
    session.out.reply(done.to_dict(), text)


def _progress(done: int, total: int) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{done} of {total} photos" + ("\n" if done >= total else ""))
