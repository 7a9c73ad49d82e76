"""`photoorg search`: one query in this process, without Ray."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from photoorg.cli.output import table
from photoorg.cli.parser import Commands, UsageError
from photoorg.cli.session import Session
from photoorg.config import PhotoOrgConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.models import Hit
from photoorg.search.ports import Box, SearchAnswer


def add_to(commands: Commands) -> None:
    """Add `search`."""
    parser = commands.add(
        "search",
        "find photos by an image, a text or a photo id",
        "photoorg search --image holiday.jpg --bbox 100,50,400,300 --k 10",
        _search,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--image", metavar="FILE", help="photos that look like this file")
    what.add_argument("--text", help="photos that show this (where the space has text)")
    what.add_argument("--id", metavar="PHOTO_ID", help="photos that look like this one")
    parser.add_argument(
        "--bbox", metavar="X,Y,W,H", type=_box, help="a part of the image, in pixels"
    )
    parser.add_argument("--k", type=int, metavar="N", help="how many results")


def _box(text: str) -> Box:
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H") from None
    return Box(x, y, width, height)


def _search(args: argparse.Namespace, session: Session) -> None:
    if args.bbox is not None and args.text is not None:
        raise UsageError("--bbox goes with --image or --id.", fix="Leave it out.")
    image = _read(args.image) if args.image is not None else None
    answer = asyncio.run(_answer(session.config(), args, image))
    kind = next(k for k in ("image", "text", "id") if getattr(args, k) is not None)
    data = {
        "query": {kind: getattr(args, kind)},
        "space": answer.space,
        "results": [_result(hit) for hit in answer.hits],
        "latency_ms": answer.latency_ms,
        "partial": answer.partial,
    }
    session.out.reply(data, _text(answer))


def _read(name: str) -> bytes:
    path = Path(name).expanduser()
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.", fix="Check the path.") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", fix="Name an image file."
        ) from None


async def _answer(
    config: PhotoOrgConfig, args: argparse.Namespace, image: bytes | None
) -> SearchAnswer:
    from photoorg.search.local import open_search

    with open_search(config) as service:
        if image is not None:
            return await service.by_image(config.tenant, image, args.k, box=args.bbox)
        if args.text is not None:
            return await service.by_text(config.tenant, args.text, args.k)
        return await service.similar(config.tenant, args.id, args.k, box=args.bbox)


def _result(hit: Hit) -> dict[str, object]:
    return {
        "photo_id": hit.photo_id,
        "uri": hit.uri,
        "score": hit.score,
        "signals": dict(hit.signals),
        "reasons": list(hit.reasons),
        "folded": list(hit.folded),
    }


def _text(answer: SearchAnswer) -> str:
    if not answer.hits:
        return "Nothing was found."
    rows = [
        (f"{hit.score:.3f}", hit.photo_id[:12], hit.uri, "; ".join(hit.reasons))
        for hit in answer.hits
    ]
    lines = table(rows, ("score", "photo", "file", "why"))
    return f"{lines}\n{len(answer.hits)} results in {answer.latency_ms:.0f} ms ({answer.space})"
