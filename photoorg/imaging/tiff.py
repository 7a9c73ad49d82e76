"""A reader of TIFF directories that survives any bytes, for EXIF, maker notes and RAW headers.

Structure after TIFF 6.0 (1992) section 2 and EXIF 2.32 section 4.6. Whatever points outside the
data, overflows or has an unknown type is left out; nothing here raises.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

Order = Literal["<", ">"]

EXIF_IFD = 0x8769
GPS_IFD = 0x8825
SUB_IFDS = 0x014A
ORIENTATION = 0x0112
MAKER_NOTE = 0x927C

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 129: 1}
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I"}
_MAGICS = {42, 0x4F52, 0x5352, 0x55}
_MAX_ENTRIES = 1_000
_MAX_NUMBERS = 64
_MAX_TEXT = 256
_MAX_BYTES = 2**20
"""Of all values of a directory: they may overlap, so a small file can announce any amount."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag's value, still in the bytes of the file."""

    type: int
    count: int
    raw: bytes
    order: Order

    def text(self) -> str | None:
        """The value as text without NUL bytes, controls and outer blanks; None if there is none."""
        if self.type not in (1, 2, 7, 129):
            return None
        raw = self.raw.strip(b"\0 \t\r\n").split(b"\0")[0][:_MAX_TEXT]
        try:
            text = raw.decode("utf-8")
        except UnicodeDecodeError:
            text = raw.decode("latin-1")
        return "".join(c for c in text if c.isprintable()).strip() or None

    def numbers(self) -> list[float | None]:
        """The value as numbers, at most 64; None where a denominator is zero or it is no number."""
        count = min(self.count, _MAX_NUMBERS)
        if self.type in _INTEGERS:
            form = _INTEGERS[self.type]
            return [float(v) for v in struct.unpack_from(f"{self.order}{count}{form}", self.raw)]
        if self.type in (5, 10):
            form = "II" if self.type == 5 else "ii"
            pairs = struct.iter_unpack(self.order + form, self.raw[: 8 * count])
            return [n / d if d else None for n, d in pairs]
        if self.type in (11, 12):
            form = "f" if self.type == 11 else "d"
            floats = struct.unpack_from(f"{self.order}{count}{form}", self.raw)
            return [v if math.isfinite(v) else None for v in floats]
        return []

    def number(self) -> float | None:
        """The first of numbers()."""
        return next(iter(self.numbers()), None)


Ifd = dict[int, Entry]


def byte_order(data: bytes) -> Order | None:
    """The byte order that a TIFF header announces, None if there is no such header.

    The headers of Olympus and Panasonic RAW files count as TIFF, BigTIFF does not.
    """
    orders: dict[bytes, Order] = {b"II": "<", b"MM": ">"}
    order = orders.get(data[:2])
    if order is None or len(data) < 8 or struct.unpack_from(order + "H", data, 2)[0] not in _MAGICS:
        return None
    return order


def strip_prefix(block: bytes) -> bytes:
    """An EXIF block without the "Exif" marker that some containers put before the TIFF header."""
    start = 0
    while block[start : start + 6] in (b"Exif\0\0", b"Exif\0\xff"):
        start += 6
    return block[start:]


def first_ifd(data: bytes) -> Ifd:
    """The tags of the first directory; empty if there is none."""
    return next(directories(data), {})


def directories(data: bytes, limit: int = 64) -> Iterator[Ifd]:
    """The tags of each directory of the main chain, at most `limit`, each place visited once."""
    order = byte_order(data)
    if order is None:
        return
    offset = struct.unpack_from(order + "I", data, 4)[0]
    seen: set[int] = set()
    while offset and offset not in seen and len(seen) < limit:
        seen.add(offset)
        ifd, offset = read_ifd(data, offset, order)
        yield ifd


def child_ifd(data: bytes, parent: Ifd, tag: int) -> Ifd:
    """The directory that `tag` of `parent` points to (EXIF, GPS); empty if it is not there."""
    return next(child_ifds(data, parent, tag), {})


def child_ifds(data: bytes, parent: Ifd, tag: int) -> Iterator[Ifd]:
    """Every directory that `tag` of `parent` points to."""
    entry, order = parent.get(tag), byte_order(data)
    if entry is None or order is None:
        return
    for offset in entry.numbers():
        if offset is not None and offset > 0:
            yield read_ifd(data, int(offset), order)[0]


def read_ifd(data: bytes, offset: int, order: Order) -> tuple[Ifd, int]:
    """The tags of the directory at `offset`, and the offset of the next one (0 for none).

    Values that together are larger than 1 MiB are left out.
    """
    if not 0 <= offset <= len(data) - 2:
        return {}, 0
    announced = struct.unpack_from(order + "H", data, offset)[0]
    count = min(announced, (len(data) - offset - 2) // 12, _MAX_ENTRIES)
    ifd: Ifd = {}
    room = _MAX_BYTES
    for place in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, amount = struct.unpack_from(order + "HHI", data, place)
        size = _SIZES.get(kind, 0) * amount
        start = place + 8 if size <= 4 else struct.unpack_from(order + "I", data, place + 8)[0]
        if 0 < size <= min(len(data) - start, room):
            room -= size
            ifd.setdefault(tag, Entry(kind, amount, data[start : start + size], order))
    end = offset + 2 + 12 * announced
    follows = announced == count and end + 4 <= len(data)
    return ifd, struct.unpack_from(order + "I", data, end)[0] if follows else 0


def orientation(block: bytes) -> int:
    """The orientation 1..8 of an EXIF block, 1 where none or nonsense is written."""
    entry = first_ifd(strip_prefix(block)).get(ORIENTATION)
    value = entry.number() if entry else None
    return int(value) if value is not None and value in range(1, 9) else 1


_KEPT = (0x010E, 0x010F, 0x0110, 0x0112, 0x0131, 0x0132, 0x013B, 0x8298, 0xC614)
_MAX_VALUE = 65_536


def compact(data: bytes) -> bytes:
    """The EXIF of a whole TIFF or TIFF-based RAW file as a small block of its own.

    Thumbnails, strips and maker notes other than Apple's (whose offsets are relative to the note)
    are left out. Empty if `data` has no directory.
    """
    order = byte_order(data)
    if order is None:
        return b""
    main = first_ifd(data)
    return pack(main, child_ifd(data, main, EXIF_IFD), child_ifd(data, main, GPS_IFD), order)


def pack(main: Ifd, exif: Ifd, gps: Ifd, order: Order) -> bytes:
    """One EXIF block from directories read from elsewhere; all must have byte order `order`."""
    tags = {tag: main[tag] for tag in _KEPT if tag in main}
    if not (tags or exif or gps):
        return b""
    parts = [b"II*\0" if order == "<" else b"MM\0*", struct.pack(order + "I", 8)]
    pointers = [(tag, ifd) for tag, ifd in ((EXIF_IFD, exif), (GPS_IFD, gps)) if ifd]
    size = _packed_size(tags, len(pointers))
    offsets: dict[int, Entry] = {}
    rest = []
    place = 8 + size
    for tag, ifd in pointers:
        kept = {t: e for t, e in ifd.items() if _worth(t, e)}
        body = _pack_ifd(kept, place, order)
        offsets[tag] = Entry(4, 1, struct.pack(order + "I", place), order)
        rest.append(body)
        place += len(body)
    return b"".join([*parts, _pack_ifd({**tags, **offsets}, 8, order), *rest])


def _worth(tag: int, entry: Entry) -> bool:
    if tag == MAKER_NOTE:
        return entry.raw.startswith(b"Apple iOS") and len(entry.raw) <= _MAX_VALUE
    return len(entry.raw) <= _MAX_VALUE


def _packed_size(tags: Mapping[int, Entry], pointers: int) -> int:
    return 6 + 12 * (len(tags) + pointers) + _outside(e.raw for e in tags.values())


def _outside(values: Iterable[bytes]) -> int:
    return sum(len(v) + len(v) % 2 for v in values if len(v) > 4)


def _pack_ifd(tags: Mapping[int, Entry], start: int, order: Order) -> bytes:
    place = start + 6 + 12 * len(tags)
    rows, values = [], []
    for tag, entry in sorted(tags.items()):
        field = entry.raw.ljust(4, b"\0")
        if len(entry.raw) > 4:
            field = struct.pack(order + "I", place)
            values.append(entry.raw + b"\0" * (len(entry.raw) % 2))
            place += len(values[-1])
        rows.append(struct.pack(order + "HHI", tag, entry.type, entry.count) + field)
    return b"".join([struct.pack(order + "H", len(rows)), *rows, b"\0\0\0\0", *values])
