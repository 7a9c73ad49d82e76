"""`photoorg reembed`, `photoorg maintain` and `photoorg spaces`: from one model to the next."""

from __future__ import annotations

import argparse
import sys

from photoorg.cli.index import open_versions
from photoorg.cli.output import table
from photoorg.cli.parser import Commands
from photoorg.cli.progress import ProgressLine
from photoorg.cli.session import Session
from photoorg.errors import InputError, NotFoundError
from photoorg.registry import load


def add_to(commands: Commands) -> None:
    """Add `reembed`, `maintain` and `spaces list`."""
    reembed = commands.add(
        "reembed",
        "embed the stored photos in another space and build a shadow index",
        "photoorg reembed --space clip-vit-b-32-laion2b",
        _reembed,
    )
    reembed.add_argument("--space", required=True, metavar="NAME", help="a space, or its file")
    commands.add(
        "maintain",
        "compact where it is due; remove old versions and what the log need not keep",
        "photoorg maintain --json",
        _maintain,
    )
    spaces = commands.group("spaces", "show embedding spaces", "photoorg spaces list")
    listing = spaces.add("list", "list the spaces of the library", "photoorg spaces list", _spaces)
    listing.add_argument("--limit", type=int, default=100, metavar="N", help="at most N (100)")
    listing.add_argument("--after", metavar="ID", help="go on after this space")


def _reembed(args: argparse.Namespace, session: Session) -> None:
    done = load("pipelines.reembed:run")(
        session.config(), args.space, progress=ProgressLine(sys.stderr)
    )
    text = (
        f"{done['photos']} photos embedded in {done['space']} ({done['images_per_second']:.1f} "
        f"images/s, {done['images_per_day']} a day), {done['rejects']} could not be; version "
        f"{done['version']} waits.\nNext: photoorg index compare {done['version']}"
    )
    session.out.reply(done, text)


def _maintain(args: argparse.Namespace, session: Session) -> None:
    done = load("pipelines.maintain:run")(session.config())
    compaction = done["compaction"]
    compacted = compaction is not None and compaction["compacted"]
    text = (
        f"{'compacted; ' if compacted else ''}{len(done['purged'])} versions purged, "
        f"{len(done['abandoned'])} abandoned builds removed, {done['trimmed']} log entries trimmed"
    )
    session.out.reply(done, text)


def _spaces(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import indexes, spaces

    if args.limit < 1:
        raise InputError(f"--limit must be 1 or more, not {args.limit}.")
    with open_versions(session) as (_, config, catalog), catalog.tenant(config.tenant) as tx:
        known = spaces.list_spaces(tx)
        route = spaces.route(tx)
        live = {v.space_id for v in indexes.list_versions(tx) if v.status in indexes.LIVE}
    ids = [space.id for space in known]
    if args.after is not None and args.after not in ids:
        raise NotFoundError(f"There is no space {args.after!r}.")
    start = ids.index(args.after) + 1 if args.after is not None else 0
    shown = known[start : start + args.limit]
    more = shown[-1].id if start + args.limit < len(ids) else None
    default = route.default.id if route.default is not None else None
    entries = [
        {**s.to_dict(), "default": s.id == default, "has_index": s.id in live} for s in shown
    ]
    rows = [
        (s.id, s.kind, s.dim, ", ".join(s.modalities), "default" if s.id == default else "")
        for s in shown
    ]
    text = table(rows, ("space", "kind", "dim", "takes", "")) if ids else "No space is known yet."
    session.out.reply({"spaces": entries, "next": more}, text)
