"""`photoorg anomalies`: a review queue of photos unlike all others."""

from __future__ import annotations

import argparse

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction
from photoorg.registry import load


def add_to(commands: Commands) -> None:
    """Add `anomalies scan`, `list`, `dismiss` and `reopen`."""
    group = commands.group("anomalies", "photos unlike all others", "photoorg anomalies scan")
    group.add("scan", "look for them and fill the queue", "photoorg anomalies scan", _scan)
    listed = group.add("list", "list the queue", "photoorg anomalies list --limit 20", _list)
    listed.add_argument("--dismissed", action="store_true", help="those that were dismissed")
    add_page(listed)
    for name, summary, run in (
        ("dismiss", "take photos out of the queue for good", _dismiss),
        ("reopen", "put dismissed photos back", _reopen),
    ):
        one = group.add(name, summary, f"photoorg anomalies {name} 3f9a...", run)
        one.add_argument("photos", nargs="+", metavar="PHOTO_ID")


def _scan(args: argparse.Namespace, session: Session) -> None:
    done = load("pipelines.anomalies:run")(session.config())
    session.out.reply(
        done,
        f"{done['open']} photos to review of {done['photos']}, {done['seconds']:.1f} s",
    )


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import anomalies

    limit = limit_of(args)
    with catalog_transaction(session) as tx:
        found, following = anomalies.page(
            tx, status="dismissed" if args.dismissed else "open", after=args.after, limit=limit
        )
    views = [{n: getattr(a, n) for n in type(a).__slots__} for a in found]
    rows = [(f"{a.score:.2f}", a.photo_id[:12], a.uri, "; ".join(a.reasons)) for a in found]
    text = table(rows, ("score", "photo", "file", "why")) if rows else "The queue is empty."
    session.out.reply({"anomalies": views, "next_cursor": following}, text + more(following))


def _dismiss(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.anomaly_review import decide

    with catalog_transaction(session) as tx:
        changed = decide(tx, args.photos, "dismissed", ACTOR)
    session.out.reply({"dismissed": changed}, f"{len(changed)} photos dismissed")


def _reopen(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.anomaly_review import decide

    with catalog_transaction(session) as tx:
        changed = decide(tx, args.photos, "open", ACTOR)
    session.out.reply({"reopened": changed}, f"{len(changed)} photos back in the queue")
