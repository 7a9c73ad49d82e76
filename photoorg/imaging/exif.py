"""EXIF as cameras really write it, normalised (EXIF 2.32, CIPA DC-008)."""

from __future__ import annotations

import math
from datetime import datetime

from photoorg.imaging import tiff
from photoorg.imaging.captured import captured
from photoorg.imaging.tiff import Entry, Ifd
from photoorg.models import Exif

_MAKE, _MODEL, _SOFTWARE, _UNIQUE_MODEL = 0x010F, 0x0110, 0x0131, 0xC614
_EXPOSURE, _SHUTTER, _F_NUMBER, _APERTURE = 0x829A, 0x9201, 0x829D, 0x9202
_ISO, _SENSITIVITY, _ISO_SPEED, _FOCAL = 0x8827, 0x8832, 0x8833, 0x920A
_LENS_SPECIFICATION, _LENS_MAKE, _LENS = 0xA432, 0xA433, 0xA434
_LATITUDE, _LONGITUDE, _ALTITUDE = 0x0002, 0x0004, 0x0006
_APPLE, _APPLE_BURST, _APPLE_CONTENT = b"Apple iOS\0", 0x000B, 0x0011


def read_exif(block: bytes, *, filename: str = "", file_time: datetime | None = None) -> Exif:
    """What the EXIF block (Decoded.exif) says; never raises, nonsense becomes None.

    `filename` and `file_time` are used for the capture time only where EXIF has none.
    """
    block = tiff.strip_prefix(block)
    main = tiff.first_ifd(block)
    exif = tiff.child_ifd(block, main, tiff.EXIF_IFD)
    gps = tiff.child_ifd(block, main, tiff.GPS_IFD)
    when = captured(main, exif, gps, filename, file_time)
    latitude, longitude = _position(gps)
    apple = _apple_note(exif)
    return Exif(
        captured_at=when.at,
        captured_offset_minutes=when.offset_minutes,
        captured_source=when.source,
        latitude=latitude,
        longitude=longitude,
        altitude_m=_altitude(gps),
        make=_text(main, _MAKE),
        model=_text(main, _MODEL) or _text(main, _UNIQUE_MODEL),
        lens=_lens(exif),
        exposure_s=_exposure(exif),
        f_number=_f_number(exif),
        iso=_iso(exif),
        focal_mm=_within(_number(exif, _FOCAL), 0.1, 20_000),
        software=_text(main, _SOFTWARE),
        content_id=_text(apple, _APPLE_CONTENT),
        burst_id=_text(apple, _APPLE_BURST),
        subsec=when.subsec,
        orientation=tiff.orientation(block),
    )


def _position(gps: Ifd) -> tuple[float | None, float | None]:
    """Both or neither: decimal degrees, None for (0, 0), for a missing hemisphere and nonsense."""
    latitude = _degrees(gps, _LATITUDE, "NS", 90.0)
    longitude = _degrees(gps, _LONGITUDE, "EW", 180.0)
    if latitude is None or longitude is None or (latitude == 0.0 and longitude == 0.0):
        return None, None
    return latitude, longitude


def _degrees(gps: Ifd, tag: int, hemispheres: str, limit: float) -> float | None:
    reference = (_text(gps, tag - 1) or "?")[0].upper()
    parts = gps[tag].numbers()[:3] if tag in gps else []
    if reference not in hemispheres or not parts or None in parts:
        return None
    degrees, minutes, seconds = ([float(p or 0.0) for p in parts] + [0.0, 0.0])[:3]
    if not (0 <= degrees <= limit and 0 <= minutes < 60 and 0 <= seconds < 60.0001):
        return None
    if degrees % 1 and (minutes or seconds):
        return None
    value = degrees + minutes / 60 + seconds / 3600
    return None if value > limit else -value if reference == hemispheres[1] else value


def _altitude(gps: Ifd) -> float | None:
    value = _number(gps, _ALTITUDE)
    reference = gps.get(_ALTITUDE - 1)
    below = reference is not None and reference.raw[:1] in (b"\x01", b"1")
    if value is None:
        return None
    return _within(-value if below else value, -11_000, 100_000)


def _exposure(exif: Ifd) -> float | None:
    """Seconds, from ExposureTime, else from the APEX shutter speed."""
    seconds = _within(_number(exif, _EXPOSURE), 1e-7, 1e6)
    apex = _within(_number(exif, _SHUTTER), -20, 23)
    return seconds if seconds is not None or apex is None else 2.0**-apex


def _f_number(exif: Ifd) -> float | None:
    """From FNumber, else from the APEX aperture."""
    number = _within(_number(exif, _F_NUMBER), 0.3, 1_000)
    apex = _within(_number(exif, _APERTURE), 0.01, 20)
    return number if number is not None or apex is None else round(math.sqrt(2.0) ** apex, 2)


def _iso(exif: Ifd) -> int | None:
    """PhotographicSensitivity, or the 32-bit tags beside it where it overflows (65535)."""
    for tag in (_ISO, _SENSITIVITY, _ISO_SPEED):
        value = _within(_number(exif, tag), 1, 10_000_000)
        if value is not None and not (tag == _ISO and value == 65_535):
            return int(value)
    return None


def _lens(exif: Ifd) -> str | None:
    """LensModel, else a name made of LensSpecification, such as "24-70mm f/2.8"."""
    named = _text(exif, _LENS)
    entry = exif.get(_LENS_SPECIFICATION)
    if named or entry is None:
        return named or _text(exif, _LENS_MAKE)
    parts = entry.numbers()
    shortest, longest, widest = ([*parts, None, None, None])[:3]
    if not shortest or not longest:
        return None
    span = f"{shortest:g}mm" if shortest == longest else f"{shortest:g}-{longest:g}mm"
    return f"{span} f/{widest:g}" if widest else span


def _apple_note(exif: Ifd) -> Ifd:
    """Apple's maker note: its own directory at byte 14, offsets counted from the note's start."""
    note = exif.get(tiff.MAKER_NOTE)
    if note is None or not note.raw.startswith(_APPLE) or len(note.raw) < 16:
        return {}
    return tiff.read_ifd(note.raw, 14, "<" if note.raw[12:14] == b"II" else ">")[0]


def _text(ifd: Ifd, tag: int) -> str | None:
    return ifd[tag].text() if tag in ifd else None


def _number(ifd: Ifd, tag: int) -> float | None:
    entry: Entry | None = ifd.get(tag)
    return entry.number() if entry else None


def _within(value: float | None, low: float, high: float) -> float | None:
    return value if value is not None and low <= value <= high else None
