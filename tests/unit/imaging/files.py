"""Files that no library writes for us: EXIF blocks, DNGs, QuickTime boxes."""

import struct
from collections.abc import Mapping

import numpy as np

Value = str | bytes | int | list[int] | list[tuple[int, int]]


def ifd(tags: Mapping[int, tuple[int, Value]], start: int, order: str = "<") -> bytes:
    """A TIFF directory at offset `start`: tag -> (type, value)."""
    rows, values = [], b""
    place = start + 6 + 12 * len(tags)
    for tag, (kind, value) in sorted(tags.items()):
        raw, count = _raw(kind, value, order)
        if len(raw) <= 4:
            field = raw.ljust(4, b"\0")
        else:
            field = struct.pack(order + "I", place + len(values))
            values += raw + b"\0" * (len(raw) % 2)
        rows.append(struct.pack(order + "HHI", tag, kind, count) + field)
    return struct.pack(order + "H", len(rows)) + b"".join(rows) + b"\0" * 4 + values


def _raw(kind: int, value: Value, order: str) -> tuple[bytes, int]:
    if isinstance(value, str):
        value = value.encode() + b"\0"
    if isinstance(value, bytes):
        return value, len(value)
    numbers = value if isinstance(value, list) else [value]
    form = {1: "B", 3: "H", 4: "I", 5: "II", 9: "i", 10: "ii", 13: "I"}[kind]
    flat = [n if isinstance(n, tuple) else (n,) for n in numbers]
    return b"".join(struct.pack(order + form, *n) for n in flat), len(numbers)


def exif_block(
    main: Mapping[int, tuple[int, Value]] | None = None,
    exif: Mapping[int, tuple[int, Value]] | None = None,
    gps: Mapping[int, tuple[int, Value]] | None = None,
    order: str = "<",
) -> bytes:
    """An EXIF block as a camera writes it."""
    tags = dict(main or {})
    parts = {0x8769: exif, 0x8825: gps}
    for tag, part in parts.items():
        if part:
            tags[tag] = (4, 0)
    place = 8 + len(ifd(tags, 8, order))
    tail = b""
    for tag, part in parts.items():
        if part:
            tags[tag] = (4, place + len(tail))
            tail += ifd(part, place + len(tail), order)
    head = b"II*\0" if order == "<" else b"MM\0*"
    return head + struct.pack(order + "I", 8) + ifd(tags, 8, order) + tail


def apple_note(content_id: str, burst_id: str) -> bytes:
    """Apple's maker note with the two identifiers that pairing reads."""
    tags: dict[int, tuple[int, Value]] = {0x000B: (2, burst_id), 0x0011: (2, content_id)}
    return b"Apple iOS\0\0\x01MM" + ifd(tags, 14, ">")


def dng(rgb: np.ndarray, *, orientation: int = 1, preview: bytes = b"") -> bytes:
    """A DNG with a 16-bit RGGB mosaic of `rgb` and, if given, an embedded JPEG preview."""
    height, width = rgb.shape[:2]
    linear = (rgb.astype(np.float64) / 255) ** 2.2 * 65_535
    mosaic = np.empty((height, width), np.uint16)
    mosaic[0::2, 0::2] = linear[0::2, 0::2, 0]
    mosaic[0::2, 1::2] = linear[0::2, 1::2, 1]
    mosaic[1::2, 0::2] = linear[1::2, 0::2, 1]
    mosaic[1::2, 1::2] = linear[1::2, 1::2, 2]
    strip = mosaic.tobytes()
    matrix = [3.2405, -1.5371, -0.4985, -0.9693, 1.8760, 0.0416, 0.0556, -0.2040, 1.0572]
    sensor: dict[int, tuple[int, Value]] = {
        0x00FE: (4, 0),
        0x0100: (4, width),
        0x0101: (4, height),
        0x0102: (3, 16),
        0x0103: (3, 1),
        0x0106: (3, 32803),
        0x0111: (4, 0),
        0x0112: (3, orientation),
        0x0115: (3, 1),
        0x0116: (4, height),
        0x0117: (4, len(strip)),
        0x828D: (3, [2, 2]),
        0x828E: (1, b"\x00\x01\x01\x02"),
        0xC61D: (4, 65_535),
    }
    main: dict[int, tuple[int, Value]] = {
        0x010F: (2, "Maker"),
        0x0110: (2, "Model One"),
        0x0132: (2, "2021:05:06 07:08:09"),
        0xC612: (1, b"\x01\x04\x00\x00"),
        0xC614: (2, "Maker Model One"),
        0xC621: (10, [(round(v * 10_000), 10_000) for v in matrix]),
        0xC628: (5, [(1, 1), (1, 1), (1, 1)]),
        0xC65A: (3, 21),
    }
    if not preview:
        main.update(sensor)
        place = 8 + len(ifd(main, 8))
        main[0x0111] = (4, place)
        return b"II*\0" + struct.pack("<I", 8) + ifd(main, 8) + strip
    main.update(
        {
            0x00FE: (4, 1),
            0x0100: (4, width),
            0x0101: (4, height),
            0x0102: (3, [8, 8, 8]),
            0x0103: (3, 7),
            0x0106: (3, 6),
            0x0111: (4, 0),
            0x0112: (3, orientation),
            0x0115: (3, 3),
            0x0116: (4, height),
            0x0117: (4, len(preview)),
            0x014A: (4, 0),
        }
    )
    child = 8 + len(ifd(main, 8))
    image = child + len(ifd(sensor, child))
    sensor[0x0111] = (4, image)
    main[0x014A] = (4, child)
    main[0x0111] = (4, image + len(strip))
    head = b"II*\0" + struct.pack("<I", 8)
    return head + ifd(main, 8) + ifd(sensor, child) + strip + preview


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def movie(content_id: str, seconds: float = 2.5, made: str = "") -> bytes:
    """A QuickTime file without pictures, as far as pairing reads it."""
    names = {b"com.apple.quicktime.content.identifier": content_id}
    if made:
        names[b"com.apple.quicktime.creationdate"] = made
    keys = struct.pack(">II", 0, len(names)) + b"".join(box(b"mdta", n) for n in names)
    values = b"".join(
        box(struct.pack(">I", n), box(b"data", struct.pack(">II", 1, 0) + text.encode()))
        for n, text in enumerate(names.values(), 1)
    )
    header = struct.pack(">IIIII", 0, 3_700_000_000, 0, 600, round(seconds * 600)) + bytes(80)
    meta = box(b"hdlr", bytes(24)) + box(b"keys", keys) + box(b"ilst", values)
    return (
        box(b"ftyp", b"qt  \0\0\0\0qt  ")
        + box(b"mdat", bytes(5_000))
        + box(b"moov", box(b"mvhd", header) + box(b"meta", meta))
    )
