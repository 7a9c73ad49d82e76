"""`photoorg albums`: albums of one's own, and those that wait for an answer."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction

if TYPE_CHECKING:
    from photoorg.store.catalog.albums import Album


def add_to(commands: Commands) -> None:
    """Add `albums list`, `show`, `create`, `rename`, `add`, `remove`, `delete` and `restore`."""
    group = commands.group("albums", "photos that belong together", "photoorg albums list")
    listing = group.add("list", "list albums, newest first", "photoorg albums list", _list)
    listing.add_argument("--kind", choices=("manual", "suggested"), help="only these")
    show = group.add("show", "list an album's photos", "photoorg albums show 3", _show)
    for parser in (listing, show):
        add_page(parser)
    made = group.add(
        "create", "make an album", "photoorg albums create Summer 3f9a... 77b0...", _create
    )
    made.add_argument("name")
    made.add_argument("photos", nargs="*", metavar="PHOTO_ID")
    rename = group.add("rename", "rename an album", "photoorg albums rename 3 Summer", _rename)
    change = [
        ("add", "put photos into an album", _add),
        ("remove", "take photos out of an album, not out of the library", _remove),
    ]
    filled = [group.add(n, told, f"photoorg albums {n} 3 3f9a...", run) for n, told, run in change]
    delete = group.add(
        "delete", "delete an album, not its photos", "photoorg albums delete 3", _delete
    )
    restore = group.add(
        "restore", "bring a deleted or refused album back", "photoorg albums restore 3", _restore
    )
    for parser in (show, rename, *filled, delete, restore):
        parser.add_argument("album", type=int, metavar="ALBUM")
    rename.add_argument("name")
    for parser in filled:
        parser.add_argument("photos", nargs="+", metavar="PHOTO_ID")


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import albums

    with catalog_transaction(session) as tx:
        found, following = albums.page(tx, after=args.after, limit=limit_of(args), kind=args.kind)
    rows = [(a.album_id, a.name, a.photos, a.kind, a.reason or "") for a in found]
    text = table(rows, ("album", "name", "photos", "kind", "why")) if rows else "There are none."
    data = {"albums": [asdict(a) for a in found], "next_cursor": following}
    session.out.reply(data, text + more(following))


def _show(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import albums

    with catalog_transaction(session) as tx:
        album = albums.get(tx, args.album)
        photos, following = albums.photos(tx, args.album, after=args.after, limit=limit_of(args))
    data = {"album": asdict(album), "photo_ids": photos, "next_cursor": following}
    session.out.reply(data, "\n".join([_told(album), *photos]) + more(following))


def _create(args: argparse.Namespace, session: Session) -> None:
    _changed(session, "create", args.name, args.photos, actor=ACTOR)


def _rename(args: argparse.Namespace, session: Session) -> None:
    _changed(session, "rename", args.album, args.name, ACTOR)


def _add(args: argparse.Namespace, session: Session) -> None:
    _changed(session, "add", args.album, args.photos, ACTOR)


def _remove(args: argparse.Namespace, session: Session) -> None:
    _changed(session, "remove", args.album, args.photos, ACTOR)


def _restore(args: argparse.Namespace, session: Session) -> None:
    _changed(session, "restore", args.album, ACTOR)


def _changed(session: Session, method: str, *args: object, **options: object) -> None:
    from photoorg.store.catalog import albums

    with catalog_transaction(session) as tx:
        album = getattr(albums, method)(tx, *args, **options)
    session.out.reply(asdict(album), _told(album))


def _delete(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import albums

    with catalog_transaction(session) as tx:
        album = albums.get(tx, args.album)
        albums.delete(tx, args.album, ACTOR)
    undo = f"photoorg albums restore {args.album}"
    session.out.reply(
        {"deleted": args.album, "undo": undo}, f"{_told(album)} deleted\nto take it back: {undo}"
    )


def _told(album: Album) -> str:
    return f"{album.album_id} {album.name}: {album.photos} photos"
