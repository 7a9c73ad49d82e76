"""`photoorg rejects`: which files could not be used, and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import Session, catalog_transaction


def add_to(commands: Commands) -> None:
    """Add `rejects`."""
    parser = commands.add(
        "rejects",
        "list the files that ingest could not use",
        "photoorg rejects --retryable --limit 50",
        _list,
    )
    parser.add_argument("--retryable", action="store_true", help="only where a retry can help")
    add_page(parser, after="FILE", limit=100)


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import rejects

    with catalog_transaction(session) as tx:
        found, following = rejects.page(
            tx, after=args.after, limit=limit_of(args), retryable=args.retryable
        )
    rows = [(r.key, r.stage, "yes" if r.retryable else "no", r.reason) for r in found]
    text = table(rows, ("file", "stage", "retry", "reason")) if rows else "No file was rejected."
    data = {"rejects": [asdict(r) for r in found], "next_cursor": following}
    session.out.reply(data, text + more(following))
