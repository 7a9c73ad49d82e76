"""Camera RAW through LibRaw: the embedded preview where it is large enough, else demosaiced."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
from PIL import Image

from photoorg.errors import DecodeError, PhotoOrgError
from photoorg.imaging import tiff
from photoorg.imaging.colour import Colour
from photoorg.imaging.jpeg import decode_jpeg
from photoorg.imaging.jpeg import read_header as read_jpeg_header
from photoorg.imaging.picture import Limits, Picture, Wanted, library
from photoorg.models import Rgb

_TURNS = {0: 1, 3: 3, 5: 8, 6: 6}
_ASPECT = 0.06


def decode_raw(data: bytes, wanted: Wanted, limits: Limits, colour: Colour) -> Picture:
    """Decode to sRGB with the camera's white balance; `turn` carries the camera's rotation."""
    import rawpy

    with rawpy.imread(io.BytesIO(data)) as raw:
        sizes = raw.sizes
        size = (int(sizes.width), int(sizes.height))
        limits.check_size(*size)
        turn = _TURNS.get(int(sizes.flip), 1)
        exif = _exif(data, raw)
        decoded_by = library("rawpy")
        preview = _preview(raw, wanted, limits, colour)
        if preview is not None and _stands_for(preview, size, turn, wanted):
            upright = turn >= 5 and (preview.width > preview.height) != (size[0] > size[1])
            shown = Picture(preview.rgb, *size, decoded_by + "-preview", turn, 1, exif)
            return _already_upright(shown) if upright else shown
        rgb = _demosaic(raw, wanted, size, colour)
        return Picture(rgb, *size, decoded_by, turn, 1, exif)


def _already_upright(picture: Picture) -> Picture:
    p = picture
    return Picture(p.rgb, p.height, p.width, p.library, 1, p.frames, p.exif)


def _preview(raw: Any, wanted: Wanted, limits: Limits, colour: Colour) -> Picture | None:
    """The embedded preview as stored, None if there is none that can be read."""
    import rawpy

    try:
        thumb = raw.extract_thumb()
        if thumb.format == rawpy.ThumbFormat.JPEG:
            return decode_jpeg(thumb.data, wanted, limits, colour)
        if thumb.format == rawpy.ThumbFormat.BITMAP:
            image = Image.fromarray(np.asarray(thumb.data))
            rgb = colour.to_rgb(image, b"", wanted, image.size)
            return Picture(rgb, *image.size, "")
    except (rawpy.LibRawError, PhotoOrgError, ValueError, TypeError, OSError):
        return None
    return None


def _stands_for(preview: Picture, size: tuple[int, int], turn: int, wanted: Wanted) -> bool:
    """Whether the preview is as large as needed and has the photo's shape (no black bars)."""
    short, long = sorted((preview.width, preview.height))
    raw_short, raw_long = sorted(size)
    same_shape = abs((short / long) / (raw_short / raw_long) - 1) < _ASPECT
    return same_shape and wanted.fits(raw_long, raw_short, (long, short))


def _demosaic(raw: Any, wanted: Wanted, size: tuple[int, int], colour: Colour) -> Rgb:
    """Half-size demosaic (each 2 x 2 cell one pixel) where that is enough, else the full one."""
    import rawpy

    half = wanted.fits(*size, (size[0] // 2, size[1] // 2))
    try:
        pixels = raw.postprocess(
            use_camera_wb=True,
            half_size=half,
            output_bps=8,
            output_color=rawpy.ColorSpace.sRGB,
            user_flip=0,
        )
    except rawpy.LibRawError as error:
        reason = str(error.args[0] if error.args else error)
        reason = error.args[0].decode() if isinstance(error.args[0], bytes) else reason
        raise DecodeError(
            f"The RAW file has no usable preview and cannot be developed: {reason}.",
            fix="Convert it to DNG or JPEG with the camera maker's program.",
        ) from None
    return colour.pixels_to_rgb(np.ascontiguousarray(pixels), b"", wanted, size)


def _exif(data: bytes, raw: Any) -> bytes:
    """EXIF from the file's own directories, its Canon boxes, or its preview, in this order."""
    if tiff.byte_order(data):
        return tiff.compact(data)
    if data[4:8] == b"ftyp":
        return _canon_boxes(data)
    start = data.find(b"\xff\xd8\xff", 0, 4096)
    try:
        return read_jpeg_header(data[start:]).exif if start >= 0 else b""
    except DecodeError:
        return b""


def _canon_boxes(data: bytes) -> bytes:
    """CR3 keeps its main, EXIF and GPS directories in the boxes CMT1, CMT2 and CMT4 of moov."""
    ifds: dict[bytes, tiff.Ifd] = {}
    blocks = {name: _box(data, name) for name in (b"CMT1", b"CMT2", b"CMT4")}
    order = tiff.byte_order(blocks[b"CMT1"])
    if order is None:
        return b""
    for name, block in blocks.items():
        ifds[name] = tiff.first_ifd(block) if tiff.byte_order(block) == order else {}
    return tiff.pack(ifds[b"CMT1"], ifds[b"CMT2"], ifds[b"CMT4"], order)


def _box(data: bytes, name: bytes) -> bytes:
    place = data.find(name, 4, 1 << 20)
    if place < 0:
        return b""
    size = struct.unpack_from(">I", data, place - 4)[0]
    return data[place + 4 : place - 4 + max(size, 8)]
