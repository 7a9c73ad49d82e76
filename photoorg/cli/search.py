"""`photoorg search`: one query in this process, without Ray; filters, modes and pages."""

from __future__ import annotations

import argparse
import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

from photoorg.cli.output import table
from photoorg.cli.parser import Commands, Parser, UsageError
from photoorg.cli.session import Session, override
from photoorg.config import PhotoOrgConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.models import Hit
from photoorg.search.filters import Filter, parse_filter
from photoorg.search.ports import Box, Mode, SearchAnswer
from photoorg.search.questions import Terms
from photoorg.search.tuning import Cutoff
from photoorg.views import part_of

COLD_MS = 120_000
"""A command opens the index for its one query, from a bucket if need be: that is waited for."""


def add_to(commands: Commands) -> None:
    """Add `search`."""
    parser = commands.add(
        "search",
        "find photos by an image, a text or a photo id",
        "photoorg search --image holiday.jpg --bbox 100,50,400,300 --k 10\n"
        'photoorg search --text "dogs last summer" --near 52.5,13.4,20 --tag park',
        _search,
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--image", metavar="FILE", help="photos that look like this file")
    what.add_argument("--text", help="photos that show or say this; may hold a date")
    what.add_argument("--id", metavar="PHOTO_ID", help="photos that look like this one")
    parser.add_argument(
        "--bbox", metavar="X,Y,W,H", type=_box, help="a part of the image, in pixels"
    )
    parser.add_argument("--k", type=int, metavar="N", help="how many results")
    parser.add_argument(
        "--mode",
        choices=get_args(Mode),
        help="search a text by words (keyword), by what it shows (semantic), or both (hybrid)",
    )
    parser.add_argument("--cursor", help="the next page: next_cursor of the page before")
    parser.add_argument(
        "--cutoff",
        type=_cutoff,
        metavar="auto|off|COSINE",
        help="leave out what chance brings as near (auto), nothing (off), or lower cosines",
    )
    add_filter_to(parser)


def add_filter_to(parser: Parser) -> None:
    """Options that say which photos may be found; all of them must hold."""
    some = parser.add_argument_group("filter options (all that are given must hold)")
    some.add_argument("--filter", metavar="JSON", help="a filter as over HTTP")
    some.add_argument("--after", metavar="TIME", help="taken on this day or time, or later")
    some.add_argument("--before", metavar="TIME", help="taken before this day or time")
    some.add_argument("--near", metavar="LAT,LON,KM", type=_near, help="taken around a place")
    some.add_argument("--tag", action="append", metavar="LABEL", help="has this tag")
    some.add_argument("--person", action="append", metavar="NAME", help="shows this person")
    some.add_argument("--album", metavar="NAME", help="is in this album (a name or an id)")
    some.add_argument("--mime", action="append", metavar="TYPE", help="such as image/png, image/*")
    some.add_argument("--device", action="append", metavar="NAME", help="part of maker and model")
    some.add_argument("--min-quality", type=float, metavar="0..1", help="technical quality")
    some.add_argument("--max-nsfw", type=float, metavar="0..1", help="known to be this decent")


def filter_of(args: argparse.Namespace) -> Filter | None:
    """The filter that the options say, None if they say none; InputError."""
    said: dict[str, Any] = {
        "taken": _given(after=args.after, before=args.before),
        "near": args.near,
        "tags": _given(all=args.tag),
        "people": _given(all=[_named(p) for p in args.person or ()]),
        "album": args.album and _named(args.album),
        "mime": args.mime,
        "device": args.device,
        "quality": _given(min=args.min_quality),
        "nsfw": _given(max=args.max_nsfw),
    }
    chosen = parse_filter({k: v for k, v in said.items() if v})
    if args.filter is not None:
        chosen = parse_filter(args.filter).also(chosen)
    return None if chosen.empty else chosen


def _given(**parts: Any) -> dict[str, Any]:
    return {k: v for k, v in parts.items() if v not in (None, [])}


def _named(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


def _near(text: str) -> dict[str, float]:
    try:
        lat, lon, km = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not LAT,LON,KM") from None
    return {"lat": lat, "lon": lon, "km": km}


def _cutoff(text: str) -> Cutoff:
    if text in ("auto", "off"):
        return cast(Cutoff, text)
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not auto, off or a number") from None


def _box(text: str) -> Box:
    try:
        x, y, width, height = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not X,Y,W,H") from None
    return Box(x, y, width, height)


def _search(args: argparse.Namespace, session: Session) -> None:
    if args.bbox is not None and args.text is not None:
        raise UsageError("--bbox goes with --image or --id.", fix="Leave it out.")
    chosen = filter_of(args)
    kinds = [k for k in ("image", "text", "id") if getattr(args, k) is not None]
    if not kinds and chosen is None:
        raise UsageError(
            "There is nothing to search for.",
            fix="Give --image, --text or --id, or a filter such as --after 2019-06-01.",
        )
    image = _read(args.image) if args.image is not None else None
    answer = asyncio.run(_answer(session.config(), args, image, chosen))
    data = {
        "query": {kind: getattr(args, kind) for kind in kinds},
        "filter": None if chosen is None else json.loads(chosen.to_json()),
        "mode": answer.mode,
        "notes": list(answer.notes),
        "next_cursor": answer.next_cursor,
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
    config: PhotoOrgConfig,
    args: argparse.Namespace,
    image: bytes | None,
    chosen: Filter | None,
) -> SearchAnswer:
    from photoorg.search.local import open_search

    patient = max(config.search.deadline_ms, COLD_MS)
    with open_search(override(config, search={"deadline_ms": patient})) as service:
        terms = Terms(chosen, args.cursor, args.cutoff)
        if image is not None:
            return await service.by_image(config.tenant, image, args.k, terms, box=args.bbox)
        if args.id is not None:
            return await service.similar(config.tenant, args.id, args.k, terms, box=args.bbox)
        text = args.text or ""
        return await service.by_text(config.tenant, text, args.k, terms, mode=args.mode)


def _result(hit: Hit) -> dict[str, object]:
    return {
        "photo_id": hit.photo_id,
        "uri": hit.uri,
        "score": hit.score,
        "signals": dict(hit.signals),
        "reasons": list(hit.reasons),
        "folded": list(hit.folded),
        "view": {"name": hit.view, **asdict(part_of(hit.view))} if hit.view else None,
    }


def _text(answer: SearchAnswer) -> str:
    notes = [f"({note})" for note in answer.notes]
    if not answer.hits:
        return "\n".join([*notes, "Nothing was found."])
    rows = [
        (f"{hit.score:.3f}", hit.photo_id[:12], hit.uri, "; ".join(hit.reasons))
        for hit in answer.hits
    ]
    lines = table(rows, ("score", "photo", "file", "why"))
    end = f"{len(answer.hits)} results in {answer.latency_ms:.0f} ms ({answer.space})"
    more = [f"more: --cursor {answer.next_cursor}"] if answer.next_cursor else []
    return "\n".join([*notes, lines, end, *more])
