"""HEIC and HEIF through libheif, which already turns and mirrors as the file says."""

from __future__ import annotations

import struct

from PIL import Image

from photoorg.imaging import tiff
from photoorg.imaging.colour import Colour
from photoorg.imaging.picture import Limits, Picture, Wanted, library


def decode_heif(data: bytes, wanted: Wanted, limits: Limits, colour: Colour) -> Picture:
    """Decode the primary image.

    EXIF orientation is not applied: ISO/IEC 23008-12 makes the file's own transformations the
    only ones that count.
    """
    import pillow_heif

    limits.check_size(*_largest_extent(data))
    heif = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
    limits.check_frames(len(heif))
    limits.check_size(*heif.size)
    image = Image.frombuffer(heif.mode, heif.size, heif.data, "raw", heif.mode, heif.stride, 1)
    icc = heif.info.get("icc_profile") or b""
    rgb = colour.to_rgb(image, icc, wanted, heif.size)
    exif = tiff.strip_prefix(heif.info.get("exif") or b"")
    width, height = heif.size
    return Picture(rgb, width, height, library("pillow-heif"), 1, len(heif), exif)


def _largest_extent(data: bytes) -> tuple[int, int]:
    """Width and height of the largest `ispe` property: what libheif will allocate at most."""
    largest = (1, 1)
    place = data.find(b"ispe", 0, 1 << 20)
    while 0 <= place <= len(data) - 16:
        width, height = struct.unpack_from(">II", data, place + 8)
        largest = max(largest, (width, height), key=lambda s: s[0] * s[1])
        place = data.find(b"ispe", place + 4, 1 << 20)
    return largest
