"""`photoorg scenes`: photos grouped by what they show, and albums made of them."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction, open_catalog
from photoorg.config import PhotoOrgConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.registry import load

if TYPE_CHECKING:
    from photoorg.curate.scene_albums import SceneAlbums
    from photoorg.store.catalog import Catalog


def add_to(commands: Commands) -> None:
    """Add the `scenes` group."""
    group = commands.group(
        "scenes", "group photos by what they show, make albums", "photoorg scenes list"
    )
    cluster = group.add(
        "cluster",
        "group the photos into scenes",
        "photoorg scenes cluster --method agglomerative --linkage average",
        _cluster,
    )
    cluster.add_argument("--method", choices=("hdbscan", "kmeans", "agglomerative"))
    cluster.add_argument("--linkage", choices=("complete", "average", "single", "ward"))
    cluster.add_argument(
        "--k", type=_count, metavar="N", help="how many scenes, or auto (kmeans, agglomerative)"
    )
    cluster.add_argument("--space", metavar="ID", help="embedding space (default: the tenant's)")
    listing = group.add("list", "list scenes, largest first", "photoorg scenes list", _list)
    show = group.add("show", "show a scene's photos", "photoorg scenes show 3", _show)
    show.add_argument("scene", type=int, metavar="ID")
    for parser in (listing, show):
        add_page(parser)
    group.add(
        "suggest-albums",
        "suggest albums from the scenes",
        "photoorg scenes suggest-albums",
        _suggest,
    )
    accept = group.add("accept", "keep a suggested album", "photoorg scenes accept 5", _accept)
    accept.add_argument("--name", help="call it so")
    refuse = group.add("refuse", "drop a suggested album", "photoorg scenes refuse 5", _refuse)
    for parser in (accept, refuse):
        parser.add_argument("album", type=int, metavar="ALBUM")
    plot = group.add("plot", "draw the scenes on a map", "photoorg scenes plot scenes.png", _plot)
    plot.add_argument("file", metavar="FILE", help="the PNG to write")


def _count(text: str) -> str:
    """A number of scenes as it was given."""
    if text != "auto" and not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is neither auto nor a number from 1 on")
    return text


def _service(catalog: Catalog, config: PhotoOrgConfig) -> SceneAlbums:
    from photoorg.curate.scene_albums import SceneAlbums

    return SceneAlbums(catalog, config.tenant, config.scenes, ACTOR)


def _cluster(args: argparse.Namespace, session: Session) -> None:
    settings = {"method": args.method, "linkage": args.linkage, "clusters": args.k}
    config = session.config(scenes=settings)
    summary = load("pipelines.cluster:scenes")(config, actor=ACTOR, space=args.space)
    session.out.reply(
        summary.to_dict(),
        f"{summary.photos} photos: {summary.scenes} scenes, {summary.noise} of none; "
        f"{summary.seconds:.1f} s",
    )


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import scenes

    with catalog_transaction(session) as tx:
        found, following = scenes.page(tx, after=args.after, limit=limit_of(args))
    rows = [(s.scene_id, s.name, s.size, f"{s.cohesion:.2f}") for s in found]
    header = ("id", "name", "photos", "cohesion")
    text = table(rows, header) if rows else "There are no scenes: `photoorg scenes cluster`."
    data = {"scenes": [asdict(s) for s in found], "next_cursor": following}
    session.out.reply(data, text + more(following))


def _show(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import scenes

    with catalog_transaction(session) as tx:
        scene = scenes.get(tx, args.scene)
        found, following = scenes.members(tx, args.scene, after=args.after, limit=limit_of(args))
    rows = [(m.photo_id, f"{m.score:.2f}") for m in found]
    text = f"{scene.scene_id} {scene.name}: {scene.size} photos\n" + table(rows, ("photo", "alike"))
    data = {**asdict(scene), "photos": [asdict(m) for m in found], "next_cursor": following}
    session.out.reply(data, text + more(following))


def _suggest(args: argparse.Namespace, session: Session) -> None:
    config = session.config()
    with open_catalog(config) as catalog:
        made = _service(catalog, config).suggest()
    rows = [(a.album_id, a.name, a.photos, a.reason) for a in made]
    text = (
        table(rows, ("album", "name", "photos", "why")) if rows else "There is nothing to suggest."
    )
    session.out.reply({"albums": [asdict(a) for a in made]}, text)


def _accept(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import albums

    with catalog_transaction(session) as tx:
        album = albums.accept(tx, args.album, ACTOR, args.name)
    session.out.reply(asdict(album), f"{album.album_id} {album.name}: {album.photos} photos.")


def _refuse(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import albums

    with catalog_transaction(session) as tx:
        if albums.get(tx, args.album).kind != "suggested":
            raise InputError(f"Album {args.album} is no suggestion.", fix="It is the user's own.")
        albums.delete(tx, args.album, ACTOR)
    text = f"It will not be suggested again.\nto take it back: photoorg albums restore {args.album}"
    session.out.reply({"refused": args.album}, text)


def _plot(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import scenes

    file = Path(args.file).expanduser()
    config = session.config()
    with open_catalog(config) as catalog:
        with catalog.tenant(config.tenant) as tx:
            if not scenes.page(tx, limit=1)[0]:
                raise NotFoundError(
                    "There are no scenes to draw.", fix="`photoorg scenes cluster` looks for them."
                )
        picture = _service(catalog, config).map()
    try:
        file.write_bytes(picture)
    except OSError as error:
        raise InputError(
            f"{file} cannot be written: {error.strerror}.", fix="Name another file."
        ) from None
    session.out.reply({"file": str(file), "bytes": len(picture)}, f"{file} written.")
