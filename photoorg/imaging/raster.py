"""PNG, WebP, GIF, BMP and TIFF through Pillow, each opened only as what its content says it is."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from PIL import Image

from photoorg.errors import DecodeError
from photoorg.imaging import sniff, tiff
from photoorg.imaging.colour import Colour
from photoorg.imaging.picture import Limits, Picture, Wanted, library, truncated

_PNG_NEEDED = {b"IHDR", b"PLTE", b"tRNS", b"IDAT"}
_PNG_END = b"\0\0\0\0IEND\xaeB`\x82"
_MAX_PROFILE = 4_000_000
_DEFLATE_RATIO = 1032
_MAX_BLOCKS = 4_000_000


@dataclass(slots=True)
class RasterHeader:
    """What the container says; `data` is the file, or of a PNG only what its pixels need."""

    width: int
    height: int
    data: bytes
    frames: int = 1
    exif: bytes = b""
    icc: bytes = b""


def read_header(data: bytes, mime: str) -> RasterHeader:
    """Sizes, frames, EXIF and profile without decoding a pixel; DecodeError if it is broken.

    Of a TIFF, whose directories Pillow reads itself, width and height are the first page's.
    """
    readers = {
        sniff.PNG: _read_png,
        sniff.WEBP: _read_webp,
        sniff.GIF: _read_gif,
        sniff.BMP: _read_bmp,
        sniff.TIFF: _read_tiff,
    }
    try:
        return readers[mime](data)
    except struct.error:
        raise truncated(sniff.name_of(mime)) from None


def decode_raster(
    data: bytes, mime: str, wanted: Wanted, limits: Limits, colour: Colour
) -> Picture:
    """Decode the first frame or page."""
    header = read_header(data, mime)
    limits.check_size(header.width, header.height)
    limits.check_frames(header.frames)
    stream = io.BytesIO(header.data)
    if mime not in (sniff.GIF, sniff.TIFF):
        image = _load(stream, mime)
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = _load(stream, mime)
    limits.check_size(*image.size)
    rgb = colour.to_rgb(image, header.icc or image.info.get("icc_profile", b""), wanted, image.size)
    turn = 1 if mime == sniff.TIFF else tiff.orientation(header.exif)
    return Picture(rgb, *image.size, library("pillow"), turn, header.frames, header.exif)


def _load(stream: io.BytesIO, mime: str) -> Image.Image:
    image = Image.open(stream, formats=[sniff.name_of(mime).upper()])
    image.load()
    return image


def _read_png(data: bytes) -> RasterHeader:
    header = RasterHeader(0, 0, b"")
    kept = [data[:8]]
    compressed = frames = 0
    for kind, start, end in _png_chunks(data):
        body = data[start:end]
        if kind == b"IHDR" and not header.width:
            header.width, header.height, depth, colours = struct.unpack_from(">IIBB", body)
            bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colours, 1)
        elif kind == b"fcTL":
            frames += 1
        elif kind == b"eXIf":
            header.exif = tiff.strip_prefix(body)
        elif kind == b"iCCP":
            header.icc = _inflate_profile(body)
        compressed += len(body) if kind == b"IDAT" else 0
        if kind in _PNG_NEEDED:
            kept.append(data[start - 8 : end + 4])
    if not header.width or not header.height:
        raise DecodeError("The PNG file is damaged: its header chunk is missing or empty.")
    if compressed * _DEFLATE_RATIO < header.width * bits // 8 * header.height:
        raise truncated("PNG")
    header.frames = max(1, frames)
    header.data = b"".join([*kept, _PNG_END])
    return header


def _png_chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk's body up to IEND; a last one cut off is still given."""
    place = 8
    while place + 8 <= len(data):
        size, kind = struct.unpack_from(">I4s", data, place)
        yield kind, place + 8, min(place + 8 + size, len(data))
        if kind == b"IEND":
            return
        place += 12 + size


def _inflate_profile(body: bytes) -> bytes:
    packed = body.partition(b"\0")[2][1:]
    try:
        return zlib.decompressobj().decompress(packed, _MAX_PROFILE)
    except zlib.error:
        return b""


def _read_webp(data: bytes) -> RasterHeader:
    header = RasterHeader(0, 0, data)
    frames = 0
    place = 12
    while place + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, place)
        body = data[place + 8 : min(place + 8 + size, place + 8 + 64)]
        if kind == b"VP8X" and len(body) >= 10:
            header.width = 1 + int.from_bytes(body[4:7], "little")
            header.height = 1 + int.from_bytes(body[7:10], "little")
        elif kind == b"VP8 " and not header.width and len(body) >= 10:
            width, height = struct.unpack_from("<HH", body, 6)
            header.width, header.height = width & 0x3FFF, height & 0x3FFF
        elif kind == b"VP8L" and not header.width and len(body) >= 5:
            bits = struct.unpack_from("<I", body, 1)[0]
            header.width, header.height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        elif kind == b"EXIF":
            header.exif = tiff.strip_prefix(data[place + 8 : place + 8 + size])
        elif kind == b"ICCP":
            header.icc = data[place + 8 : place + 8 + size]
        frames += kind == b"ANMF"
        place += 8 + size + size % 2
    header.frames = max(1, frames)
    if not header.width:
        raise truncated("WebP")
    return header


def _read_bmp(data: bytes) -> RasterHeader:
    small = struct.unpack_from("<I", data, 14)[0] == 12
    width, height = struct.unpack_from("<HH" if small else "<ii", data, 18)
    return RasterHeader(width, abs(height), data)


def _read_gif(data: bytes) -> RasterHeader:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    table = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    return RasterHeader(width, height, data, max(1, _gif_frames(data, 13 + table)))


def _gif_frames(data: bytes, place: int) -> int:
    """How many image descriptors follow; what comes behind broken blocks is not counted."""
    frames = 0
    for _ in range(_MAX_BLOCKS):
        if place >= len(data) or data[place] not in (0x21, 0x2C):
            break
        if data[place] == 0x2C:
            frames += 1
            flags = data[place + 9] if place + 9 < len(data) else 0
            place += 11 + (3 << ((flags & 7) + 1) if flags & 0x80 else 0)
        else:
            place += 2
        while place < len(data) and data[place]:
            place += 1 + data[place]
        place += 1
    return frames


def _read_tiff(data: bytes) -> RasterHeader:
    pages = list(tiff.directories(data, limit=20_000))
    first = pages[0] if pages else {}
    width, height = (_size(first, tag) for tag in (0x0100, 0x0101))
    return RasterHeader(width, height, data, max(1, len(pages)), tiff.compact(data))


def _size(ifd: tiff.Ifd, tag: int) -> int:
    value = ifd[tag].number() if tag in ifd else None
    return int(value) if value and value > 0 else 1
