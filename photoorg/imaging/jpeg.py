"""JPEG: header facts, and a decode that is scaled in the DCT domain.

Structure after ITU-T T.81; APP14 after Adobe Technical Note 5116; MPO after CIPA DC-007.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import simplejpeg
from PIL import Image

from photoorg.errors import DecodeError
from photoorg.imaging import tiff
from photoorg.imaging.colour import Colour
from photoorg.imaging.picture import Limits, Picture, Wanted, library, truncated
from photoorg.models import Rgb

_SIZES = {*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC}
_ALONE = {0x01, *range(0xD0, 0xD9)}
_END = b"\xff\xd9"
_FLAT_ROWS = 0.02
_MAX_SEGMENTS = 20_000


@dataclass(slots=True)
class JpegHeader:
    """What the markers before the first scan say."""

    width: int = 0
    height: int = 0
    components: int = 0
    progressive: bool = False
    pictures: int = 1
    exif: bytes = b""
    icc: bytes = b""
    scan: int = 0
    kept: list[tuple[int, int]] = field(default_factory=list)


def read_header(data: bytes) -> JpegHeader:
    """Walk the markers up to the first scan; DecodeError if they are broken or end too early."""
    header = JpegHeader()
    profile: dict[int, bytes] = {}
    place = 2
    for _ in range(_MAX_SEGMENTS):
        marker, place = _next_marker(data, place)
        if marker in _ALONE:
            continue
        if marker == 0xD9 or place + 2 > len(data):
            raise truncated("JPEG")
        end = place + struct.unpack_from(">H", data, place)[0]
        body = data[place + 2 : end]
        if marker == 0xDA:
            header.scan = place - 2
            break
        _note(header, profile, marker, body)
        if marker not in (0xE1, 0xE2, 0xED, 0xFE):
            header.kept.append((place - 2, end))
        place = max(end, place + 2)
    else:
        raise DecodeError(
            f"The JPEG file has more than {_MAX_SEGMENTS:,} parts before its picture."
        )
    header.icc = b"".join(profile[n] for n in sorted(profile))
    if not header.components:
        raise DecodeError("The JPEG file is damaged: it does not say how large its picture is.")
    return header


def _next_marker(data: bytes, place: int) -> tuple[int, int]:
    place = data.find(b"\xff", place)
    while 0 <= place < len(data) - 1:
        if data[place + 1] not in (0x00, 0xFF):
            return data[place + 1], place + 2
        place = data.find(b"\xff", place + 1)
    raise truncated("JPEG")


def _note(header: JpegHeader, profile: dict[int, bytes], marker: int, body: bytes) -> None:
    if marker in _SIZES and len(body) >= 6 and not header.components:
        header.height, header.width, header.components = struct.unpack_from(">HHB", body, 1)
        header.progressive = marker in (0xC2, 0xC6, 0xCA, 0xCE)
    elif marker == 0xE1 and body.startswith(b"Exif\0") and not header.exif:
        header.exif = tiff.strip_prefix(body)
    elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0") and len(body) > 14:
        profile.setdefault(body[12], body[14:])
    elif marker == 0xE2 and body.startswith(b"MPF\0"):
        count = tiff.first_ifd(body[4:]).get(0xB001)
        header.pictures = max(1, int((count.number() if count else None) or 1))


def scans(data: bytes, header: JpegHeader) -> int:
    """At most how many scans a progressive picture has; each costs a pass over all pixels."""
    return data.count(b"\xff\xda", header.scan) if header.progressive else 1


def decode_jpeg(data: bytes, wanted: Wanted, limits: Limits, colour: Colour) -> Picture:
    """Decode the first picture, by eighths no larger than needed.

    A missing end marker or bytes behind it are tolerated, missing picture data is not. Damage
    inside the data is decoded as far as it goes, as viewers do.
    """
    header = read_header(data)
    size = (header.width, header.height)
    limits.check_size(*size)
    limits.check_frames(header.pictures)
    if header.components in (1, 3):
        rgb = colour.pixels_to_rgb(_scaled(data, header, wanted), header.icc, wanted, size)
        decoded_by = library("simplejpeg")
    else:
        rgb = colour.to_rgb(_with_pillow(data, header, wanted), header.icc, wanted, size)
        decoded_by = library("pillow")
    turn = tiff.orientation(header.exif)
    return Picture(rgb, *size, decoded_by, turn, header.pictures, header.exif)


def _scaled(data: bytes, header: JpegHeader, wanted: Wanted) -> Rgb:
    width, height = _eighths(header.width, header.height, wanted)
    gray = header.components == 1
    options = {
        "colorspace": "GRAY" if gray else "RGB",
        "min_width": width,
        "min_height": height,
    }
    try:
        pixels: Rgb = simplejpeg.decode_jpeg(data, **options)
    except ValueError as error:
        pixels = _second_try(data, header, options, str(error))
    return np.ascontiguousarray(pixels[..., 0]) if gray and pixels.ndim == 3 else pixels


def _second_try(data: bytes, header: JpegHeader, options: Mapping[str, object], said: str) -> Rgb:
    """Decode what the strict decoder complained about, unless picture data is missing.

    Without an end marker libjpeg says "premature end of JPEG file" whether or not the picture is
    whole; with one put behind, it complains only if data is missing.
    """
    lean = _lean(data, header)
    try:
        whole: Rgb = simplejpeg.decode_jpeg(lean, **options)
        return whole
    except ValueError as error:
        if "Premature end of JPEG file" in said:
            raise truncated("JPEG") from None
        said = str(error)
    pixels: Rgb = simplejpeg.decode_jpeg(lean, strict=False, **options)
    if "premature end" in said and (header.progressive or _ends_flat(pixels)):
        raise truncated("JPEG")
    return pixels


def _ends_flat(pixels: Rgb) -> bool:
    """Whether the last rows are the one colour that libjpeg fills missing data with."""
    rows = max(2, int(len(pixels) * _FLAT_ROWS))
    tail = pixels[-rows:].reshape(rows, -1, pixels.shape[2] if pixels.ndim == 3 else 1)
    return bool((np.ptp(tail.astype(np.int16), axis=(0, 1)) <= 1).all())


def _eighths(width: int, height: int, wanted: Wanted) -> tuple[int, int]:
    for n in range(1, 9):
        scaled = (-(-width * n // 8), -(-height * n // 8))
        scale = wanted.scale(width, height)
        if scaled[0] >= width * scale - 1e-6 and scaled[1] >= height * scale - 1e-6:
            return scaled
    return width, height


def _with_pillow(data: bytes, header: JpegHeader, wanted: Wanted) -> Image.Image:
    """Four-component JPEG: CMYK, and YCCK, which Adobe stores inverted."""
    image = Image.open(io.BytesIO(_lean(data, header)), formats=["JPEG"])
    scale = wanted.scale(header.width, header.height)
    image.draft(None, (int(header.width * scale), int(header.height * scale)))
    image.load()
    return image


def _lean(data: bytes, header: JpegHeader) -> bytes:
    """Only the markers that decoding needs, the picture data, and an end marker in any case."""
    kept = b"".join(data[start:end] for start, end in header.kept)
    return b"".join([b"\xff\xd8", kept, data[header.scan :], _END])
