"""What pairing needs to know of a QuickTime or MP4 video, read from its boxes alone.

Apple, "QuickTime File Format": `mvhd` for duration and creation, `meta` with `keys` and `ilst` for
com.apple.quicktime.* entries.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import BinaryIO

from photoorg.imaging.captured import parse_time

_CONTENT_ID = b"com.apple.quicktime.content.identifier"
_CREATED = b"com.apple.quicktime.creationdate"
_MAKE, _MODEL = b"com.apple.quicktime.make", b"com.apple.quicktime.model"
_EPOCH = datetime(1904, 1, 1, tzinfo=UTC)
_MAX_MOOV = 64_000_000
_MAX_BOXES = 10_000


@dataclass(frozen=True, slots=True)
class Movie:
    """Facts of one video; None where the file does not say. `created_at` is in UTC."""

    content_id: str | None = None
    duration_s: float | None = None
    created_at: datetime | None = None
    make: str | None = None
    model: str | None = None


def read_movie(stream: BinaryIO) -> Movie:
    """Read the `moov` box of a seekable file; never raises, an unreadable one is an empty Movie."""
    moov = _find_moov(stream)
    created, duration = _header(_child(moov, b"mvhd"))
    meta = _child(moov, b"meta")
    if meta[:4] == b"\0\0\0\0" and meta[8:12] == b"hdlr":
        meta = meta[4:]
    items = _items(meta)
    stated = parse_time(items.get(_CREATED, ""))
    if stated and stated[1] is not None:
        created = stated[0] - stated[1]
    return Movie(
        content_id=items.get(_CONTENT_ID),
        duration_s=duration,
        created_at=created,
        make=items.get(_MAKE),
        model=items.get(_MODEL),
    )


def _find_moov(stream: BinaryIO) -> bytes:
    stream.seek(0, 2)
    end, place = stream.tell(), 0
    for _ in range(_MAX_BOXES):
        stream.seek(place)
        head = stream.read(16)
        if len(head) < 8:
            break
        size, kind = struct.unpack_from(">I4s", head)
        start = 8
        if size == 1 and len(head) == 16:
            size, start = struct.unpack_from(">Q", head, 8)[0], 16
        size = end - place if size == 0 else size
        if size < start:
            break
        if kind == b"moov" and size <= _MAX_MOOV:
            stream.seek(place + start)
            return stream.read(size - start)
        place += size
    return b""


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    place = 0
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        size = len(data) - place if size == 0 else size
        if size < 8:
            return
        yield kind, data[place + 8 : place + size]
        place += size


def _child(data: bytes, kind: bytes) -> bytes:
    return next((body for found, body in _boxes(data) if found == kind), b"")


def _header(mvhd: bytes) -> tuple[datetime | None, float | None]:
    form, size = (">4xQQIQ", 32) if mvhd[:1] == b"\x01" else (">4xIIII", 20)
    if len(mvhd) < size:
        return None, None
    created, _, scale, length = struct.unpack_from(form, mvhd)
    seconds = length / scale if scale and length not in (0xFFFFFFFF, (1 << 64) - 1) else None
    moment = _EPOCH + timedelta(seconds=created) if 0 < created < 1 << 33 else None
    return moment if moment and moment.year >= 1990 else None, seconds


def _items(meta: bytes) -> dict[bytes, str]:
    keys, values = _child(meta, b"keys")[8:], _child(meta, b"ilst")
    names = [name for _, name in _boxes(keys)]
    items: dict[bytes, str] = {}
    for number, body in _boxes(values):
        index = int.from_bytes(number)
        data = _child(body, b"data")
        if 1 <= index <= len(names) and len(data) > 8:
            text = data[8:].decode("utf-8", errors="replace").strip("\0 ")
            items.setdefault(names[index - 1], text)
    return items
