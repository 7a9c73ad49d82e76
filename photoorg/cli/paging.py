"""Listings in pages: what every command that lists takes, and how it names the next page."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Callable, Sequence

from photoorg.cli.parser import Parser
from photoorg.errors import InputError, NotFoundError

MOST = 1000


def add_page(
    parser: Parser, *, after: str = "CURSOR", kind: Callable[[str], object] = str, limit: int = 50
) -> None:
    """Add --limit and --after; `after` names what a cursor of this listing is."""
    parser.add_argument(
        "--limit", type=int, default=limit, metavar="N", help=f"entries of one page ({limit})"
    )
    parser.add_argument(
        "--after", type=kind, metavar=after, help="go on there: next_cursor of the page before"
    )


def limit_of(args: argparse.Namespace) -> int:
    """--limit, between 1 and 1000; InputError beyond."""
    if not 1 <= args.limit <= MOST:
        raise InputError(f"--limit must be between 1 and {MOST}, not {args.limit}.")
    return int(args.limit)


def span(args: argparse.Namespace, names: Sequence[str], what: str) -> tuple[slice, str | None]:
    """Which entries of a whole list the page holds, and its next_cursor; NotFoundError.

    `names` are those of the entries in their order, `what` says what they are of.
    """
    if args.after is not None and args.after not in names:
        raise NotFoundError(f"There is no {what} {args.after!r}.")
    start = 0 if args.after is None else names.index(args.after) + 1
    stop = start + limit_of(args)
    return slice(start, stop), names[stop - 1] if stop < len(names) else None


def more(cursor: object) -> str:
    """How to get the next page, in words; nothing after the last one."""
    return "" if cursor is None else f"\nmore: --after {shlex.quote(str(cursor))}"
