"""When a photo was taken, from whatever says so, with its provenance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from photoorg.imaging.tiff import Entry, Ifd

_ORIGINAL, _DIGITIZED, _CHANGED = 0x9003, 0x9004, 0x0132
_OFFSET_ORIGINAL, _OFFSET_DIGITIZED, _OFFSET = 0x9011, 0x9012, 0x9010
_SUBSEC = {_ORIGINAL: 0x9291, _DIGITIZED: 0x9292, _CHANGED: 0x9290}
_GPS_TIME, _GPS_DATE = 0x0007, 0x001D

_DATE_TIME = re.compile(
    r"(\d{4})[:\-/.](\d{1,2})[:\-/.](\d{1,2})"
    r"(?:[ T]+(\d{1,2})[:.](\d{1,2})(?:[:.](\d{1,2}))?)?"
    r"(?:[.,](\d{1,9}))?\s*(Z|[+-]\d{2}:?\d{2})?"
)
_OFFSET_TEXT = re.compile(r"([+-])\s?(\d{1,2}):?(\d{2})")
_YEARS = range(1826, 2101)
_ZONES = (timedelta(hours=-12), timedelta(hours=14))
_MINUTE = timedelta(minutes=1)
_FIXES = ((15 * _MINUTE, 2 * _MINUTE), (30 * _MINUTE, 12 * _MINUTE))
"""Zone step and oldest fix, tried in turn: rare quarter-hour zones need a fresh fix."""

_DAY = r"(?<!\d)((?:19|20)\d\d)([-_.]?)(0[1-9]|1[0-2])\2(0[1-9]|[12]\d|3[01])"
_CLOCK = r"([01]\d|2[0-3]|\d(?=[.:-]))([-_.:h ]?)([0-5]\d)\6([0-5]\d)"
_NAME_TIME = re.compile(
    _DAY + r"(?:[-_ T.]|\s+at\s+|\s+um\s+){0,3}" + _CLOCK + r"(\d{3})?(?!\d)(?:\s?([AP])M)?", re.I
)
_NAME_DAY = re.compile(_DAY + r"(?!\d)")
_NAME_EPOCH = re.compile(r"(?<!\d)(1\d{9})(\d{3})?(?!\d)")


@dataclass(frozen=True, slots=True)
class Captured:
    """The capture moment as models.Exif holds it; `subsec` are the digits behind the second."""

    at: datetime | None = None
    offset_minutes: int | None = None
    source: str = "none"
    subsec: str | None = None


def captured(
    main: Ifd, exif: Ifd, gps: Ifd, filename: str = "", file_time: datetime | None = None
) -> Captured:
    """The best known capture moment.

    EXIF time with OffsetTimeOriginal, else with another OffsetTime, else with the zone that GPS
    time implies (or GPS time itself), else local time without a zone, else what the file name says,
    else the file's time. Zone offsets found by GPS are whole quarters of an hour at least.
    """
    local, tag, inline = _local_time(main, exif)
    subsec = _subsec(exif, tag) or (f"{local.microsecond:06d}".rstrip("0") if local else None)
    if local is not None:
        local = local.replace(microsecond=_microseconds(subsec)) if subsec else local
        known = _with_offset(local, tag, inline, exif, subsec or None)
        if known is not None:
            return known
    fix = _gps_time(gps)
    if fix is not None:
        return _by_gps(local, fix, subsec or None)
    if local is not None:
        return Captured(local, None, "exif_local", subsec or None)
    named = time_in_name(filename)
    if named is not None:
        return Captured(named, None, "filename")
    if file_time is not None:
        aware = file_time if file_time.tzinfo else file_time.replace(tzinfo=UTC)
        return Captured(aware.astimezone(UTC), None, "file")
    return Captured()


def time_in_name(filename: str) -> datetime | None:
    """The time that phones, messengers and cameras put in file names; noon where only a day is.

    Pixel names (PXL_) and Unix times are in UTC, all others in local time of unknown zone.
    """
    name = filename.replace("\\", "/").rsplit("/", 1)[-1]
    if found := _NAME_TIME.search(name):
        year, month, day, hour, minute, second = (int(found[n]) for n in (1, 3, 4, 5, 7, 8))
        if found[10]:
            hour = hour % 12 + (12 if found[10].upper() == "P" else 0)
        return _build(year, month, day, hour, minute, second, 1000 * int(found[9] or 0))
    if found := _NAME_DAY.search(name):
        return _build(int(found[1]), int(found[3]), int(found[4]), 12)
    if found := _NAME_EPOCH.search(name):
        return datetime.fromtimestamp(int(found[1]), UTC) + timedelta(
            milliseconds=int(found[2] or 0)
        )
    return None


def parse_time(text: str) -> tuple[datetime, timedelta | None] | None:
    """An EXIF time and the zone offset some programs append; None for defaults and nonsense."""
    found = _DATE_TIME.match(text.strip())
    if found is None:
        return None
    year, month, day, hour, minute, second = (int(g or 0) for g in found.groups()[:6])
    if (year, month, day) == (1970, 1, 1):
        return None
    at = _build(year, month, day, hour, minute, second, _microseconds(found[7] or ""))
    return (at, parse_offset(found[8] or "")) if at else None


def parse_offset(text: str) -> timedelta | None:
    """An offset such as "+02:00" or "Z", None if it is none that exists."""
    if text.strip().upper() == "Z":
        return timedelta(0)
    found = _OFFSET_TEXT.fullmatch(text.strip())
    if found is None or int(found[3]) > 59:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3]))
    offset = -offset if found[1] == "-" else offset
    return offset if _ZONES[0] <= offset <= _ZONES[1] else None


def _local_time(main: Ifd, exif: Ifd) -> tuple[datetime | None, int, timedelta | None]:
    for tag, ifd in ((_ORIGINAL, exif), (_DIGITIZED, exif), (_CHANGED, main)):
        text = _text(ifd, tag)
        parsed = parse_time(text) if text else None
        if parsed is not None:
            return parsed[0], tag, parsed[1]
    return None, 0, None


def _with_offset(
    local: datetime, tag: int, inline: timedelta | None, exif: Ifd, subsec: str | None
) -> Captured | None:
    own = {_ORIGINAL: _OFFSET_ORIGINAL, _DIGITIZED: _OFFSET_DIGITIZED, _CHANGED: _OFFSET}[tag]
    for candidate in dict.fromkeys((_OFFSET_ORIGINAL, own, _OFFSET, _OFFSET_DIGITIZED)):
        offset = parse_offset(_text(exif, candidate) or "")
        if offset is not None:
            exact = candidate == _OFFSET_ORIGINAL
            return _placed(local, offset, "offset_original" if exact else "offset", subsec)
    return _placed(local, inline, "offset", subsec) if inline is not None else None


def _placed(local: datetime, offset: timedelta, source: str, subsec: str | None) -> Captured:
    return Captured(local - offset, int(offset.total_seconds() // 60), source, subsec)


def _by_gps(local: datetime | None, fix: datetime, subsec: str | None) -> Captured:
    """The camera's own time in the zone that a fix just before it implies, else the fix itself."""
    if local is not None:
        for step, oldest in _FIXES:
            offset = (local - fix + 2 * _MINUTE) // step * step
            age = local - fix - offset
            if age <= oldest and _ZONES[0] <= offset <= _ZONES[1]:
                return _placed(local, offset, "gps", subsec)
    return Captured(fix, None, "gps")


def _gps_time(gps: Ifd) -> datetime | None:
    day, clock = _text(gps, _GPS_DATE), gps.get(_GPS_TIME)
    parts = clock.numbers()[:3] if clock else []
    parsed = parse_time(day) if day else None
    if parsed is None or len(parts) != 3 or parsed[0].year < 1995:
        return None
    hour, minute, second = parts
    if hour is None or minute is None or second is None:
        return None
    if not (0 <= hour < 24 and 0 <= minute < 60 and 0 <= second <= 60):
        return None
    clock_time = timedelta(hours=hour, minutes=minute, seconds=second)
    return parsed[0].replace(hour=0, minute=0, second=0, microsecond=0) + clock_time


def _subsec(exif: Ifd, tag: int) -> str | None:
    text = _text(exif, _SUBSEC[tag]) if tag else None
    return text[:9] if text and text.isascii() and text.isdigit() else None


def _microseconds(digits: str) -> int:
    return int(digits[:6].ljust(6, "0")) if digits else 0


def _build(
    year: int,
    month: int,
    day: int,
    hour: int = 0,
    minute: int = 0,
    second: int = 0,
    microsecond: int = 0,
) -> datetime | None:
    """The moment labelled UTC; second 60 and hour 24, which some cameras write, roll over."""
    if year not in _YEARS or hour > 24 or minute > 59 or second > 60:
        return None
    try:
        start = datetime(year, month, day, tzinfo=UTC)
    except ValueError:
        return None
    clock = timedelta(hours=hour, minutes=minute, seconds=second, microseconds=microsecond)
    return start + clock


def _text(ifd: Mapping[int, Entry], tag: int) -> str | None:
    return ifd[tag].text() if tag in ifd else None
