"""`photoorg pairs`: what belongs together with a photo, and why."""

from __future__ import annotations

import argparse
from dataclasses import asdict

from photoorg.cli.output import table
from photoorg.cli.parser import Commands
from photoorg.cli.session import Session, catalog_transaction
from photoorg.errors import NotFoundError


def add_to(commands: Commands) -> None:
    """Add `pairs`."""
    parser = commands.add(
        "pairs",
        "list what belongs together with a photo: its RAW, its burst, the video of a live photo",
        "photoorg pairs 3f79bb7b435b05321651daefd374cdc681dc06faa65e374e38337b88ca046dea",
        _list,
    )
    parser.add_argument("photo_id", metavar="PHOTO_ID", help="64 hex digits")


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import pairs, photos

    with catalog_transaction(session) as tx:
        if photos.get(tx, args.photo_id) is None:
            raise NotFoundError(f"There is no photo {args.photo_id!r}.")
        found = pairs.of_photo(tx, args.photo_id)
    rows = [
        (pair.kind, pair.first_id[:12], pair.second_id[:12], f"{pair.confidence:.2f}", why)
        for pair in found
        for why in ["; ".join(pair.evidence)]
    ]
    text = table(rows, ("kind", "first", "second", "confidence", "why"))
    reply = {"photo_id": args.photo_id, "pairs": [asdict(pair) for pair in found]}
    session.out.reply(reply, text if rows else "Nothing belongs together with it.")
