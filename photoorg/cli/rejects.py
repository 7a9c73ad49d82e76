"""`photoorg rejects`: which files could not be used, and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from photoorg.cli.output import table
from photoorg.cli.parser import Commands
from photoorg.cli.session import Session, catalog_transaction
from photoorg.errors import InputError


def add_to(commands: Commands) -> None:
    """Add `rejects`."""
    parser = commands.add(
        "rejects",
        "list the files that ingest could not use",
        "photoorg rejects --retryable --limit 50",
        _list,
    )
    parser.add_argument("--retryable", action="store_true", help="only where a retry can help")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="rows of one page")
    parser.add_argument("--after", metavar="FILE", help="`next` of the page before")


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import rejects

    if args.limit < 1:
        raise InputError(f"--limit must be 1 or more, not {args.limit}.")
    with catalog_transaction(session) as tx:
        found, following = rejects.page(
            tx, after=args.after, limit=args.limit, retryable=args.retryable
        )
    rows = [(r.key, r.stage, "yes" if r.retryable else "no", r.reason) for r in found]
    text = table(rows, ("file", "stage", "retry", "reason")) if rows else "No file was rejected."
    if following is not None:
        text += f"\nmore: --after {following!r}"
    session.out.reply({"rejects": [asdict(r) for r in found], "next": following}, text)
