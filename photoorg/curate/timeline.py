"""Photos on a time line: when, where and by which camera, as arrays for event detection."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]

FIRST_YEAR = 1990
LAST_YEAR = 2060
EPOCH_DAY = 719_163
"""The first day of 1970 counted from the year 1."""
EARTH_KM = 6371.0
RARE = 20
DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class Shot:
    """What is known of one photo.

    `taken` is local clock time without a zone (its tzinfo is ignored), None if unknown;
    `offset_minutes` its distance from UTC, None if unknown. `source` is as models.Exif has it.
    Latitude and longitude are WGS-84 degrees. `name` is a path or file name, `camera` make and
    model, either may be empty.
    """

    name: str = ""
    taken: datetime | None = None
    offset_minutes: float | None = None
    source: str = "exif_local"
    latitude: float | None = None
    longitude: float | None = None
    camera: str = ""


@dataclass(frozen=True, slots=True)
class Timeline:
    """n photos as arrays; NaN where a value is unknown.

    `utc_n` is seconds since 1970 on a clock that all photos share as far as offsets are known, to
    which `offset_n` seconds are added for local time; `zoned_n` says whether the photo itself tells
    them, not another of that time. `trusted_n` says whether the clock can be believed: years before
    1990 or in the future, a clock that was just reset and file times cannot.
    `weak_n` marks file times, which are right only where nobody copied the file. `exact_n` marks
    times from satellites. `camera_n` is -1 for photos of no recognisable camera, `number_n` the
    running number in the file name or -1, `folder_n` the folder.
    """

    utc_n: Floats
    offset_n: Floats
    zoned_n: Mask
    trusted_n: Mask
    weak_n: Mask
    exact_n: Mask
    lat_n: Floats
    lon_n: Floats
    camera_n: Ints
    number_n: Ints
    folder_n: Ints

    def __len__(self) -> int:
        return len(self.utc_n)


def timeline(shots: Sequence[Shot], now: datetime | None = None) -> Timeline:
    """The arrays of `shots`, in their order; `now` is the latest a right clock can show."""
    now = now or datetime.now(UTC)
    local = _seconds([shot.taken for shot in shots])
    offset = np.array([shot.offset_minutes for shot in shots], np.float64) * 60
    lat, lon = _positions(shots)
    exact = np.array([shot.source == "gps" for shot in shots], bool)
    weak = np.array([shot.source == "file" for shot in shots], bool)
    local, offset = _satellite_clocks(local, offset, exact, lon)
    zoned = np.isfinite(offset)
    offset = _filled_offsets(local, offset)
    known = np.isfinite(local)
    possible = known & (local >= _epoch(FIRST_YEAR)) & (local <= _latest(local[known], now))
    trusted = possible & ~weak & ~_reset(local)
    names = [shot.name.replace("\\", "/") for shot in shots]
    parts = list(map(DIGITS.split, names))
    folders = [name.rpartition("/")[0] for name in names]
    return Timeline(
        utc_n=local - offset,
        offset_n=offset,
        zoned_n=zoned,
        trusted_n=trusted,
        weak_n=weak & possible,
        exact_n=exact & known,
        lat_n=lat,
        lon_n=lon,
        camera_n=_cameras([shot.camera for shot in shots], parts),
        number_n=_running_numbers(parts),
        folder_n=_codes(folders),
    )


def distance_km(lat_a: Floats, lon_a: Floats, lat_b: Floats, lon_b: Floats) -> Floats:
    """Great-circle distance by the haversine formula; NaN where a coordinate is."""
    a, b = np.radians(lat_a), np.radians(lat_b)
    half = np.sin((b - a) / 2) ** 2
    half = half + np.cos(a) * np.cos(b) * np.sin(np.radians(lon_b - lon_a) / 2) ** 2
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(half, 0, 1))))


def _seconds(taken: Sequence[datetime | None]) -> Floats:
    """Seconds since 1970 as the clocks show them."""
    # By hand, because numpy's own conversion of datetimes takes six times as long.
    unknown = float("nan")
    return np.array(
        [
            unknown
            if t is None
            else (t.toordinal() - EPOCH_DAY) * 86_400
            + (t.hour * 3_600 + t.minute * 60 + t.second)
            + t.microsecond / 1e6
            for t in taken
        ],
        np.float64,
    )


def _epoch(year: int) -> float:
    return datetime(year, 1, 1, tzinfo=UTC).timestamp()


def _latest(known: Floats, now: datetime) -> float:
    """The latest time to believe: a day from now, unless so many are later that `now` is wrong."""
    limit = now.replace(tzinfo=UTC).timestamp() + 86_400
    believable = known[known < _epoch(LAST_YEAR)]
    if np.count_nonzero(believable > limit) > max(10, 0.05 * len(known)):
        return _epoch(LAST_YEAR)
    return limit


def _reset(local: Floats) -> Mask:
    """Which clocks show the first minutes of a year's first day, as after a flat battery."""
    reset = np.zeros(len(local), bool)
    early = np.flatnonzero(np.isfinite(local))
    early = early[local[early] % 86_400 < 300]
    moments = np.floor(local[early]).astype("datetime64[s]")
    years = moments.astype("datetime64[Y]")
    first_day = moments.astype("datetime64[D]") == years.astype("datetime64[D]")
    on_the_minute = local[early] % 86_400 < 1
    old = years <= np.datetime64("2010", "Y")
    reset[early] = first_day & (old | on_the_minute)
    return reset


def _positions(shots: Sequence[Shot]) -> tuple[Floats, Floats]:
    """Coordinates, NaN for 0,0 (a receiver without a fix) and what is not on Earth."""
    lat = np.array([shot.latitude for shot in shots], np.float64)
    lon = np.array([shot.longitude for shot in shots], np.float64)
    with np.errstate(invalid="ignore"):
        wrong = ~((np.abs(lat) <= 90) & (np.abs(lon) <= 180))
        wrong |= (np.abs(lat) < 1e-3) & (np.abs(lon) < 1e-3)
    return np.where(wrong, np.nan, lat), np.where(wrong, np.nan, lon)


def _satellite_clocks(
    local: Floats, offset: Floats, exact: Mask, lon: Floats
) -> tuple[Floats, Floats]:
    """Satellite time without a zone is UTC; the longitude tells the zone to about an hour."""
    guess = np.round(np.where(np.isnan(lon), 0.0, lon) / 15) * 3600
    bare = exact & np.isnan(offset)
    return np.where(bare, local + guess, local), np.where(bare, guess, offset)


def _filled_offsets(local: Floats, offset: Floats) -> Floats:
    """A photo of unknown zone gets the zone of the photo nearest in local time that has one."""
    known = np.flatnonzero(np.isfinite(offset) & np.isfinite(local))
    if not len(known):
        return np.zeros(len(local))
    known = known[np.argsort(local[known], kind="stable")]
    missing = np.isnan(offset)
    at = np.searchsorted(local[known], np.nan_to_num(local[missing]))
    before, after = np.maximum(at - 1, 0), np.minimum(at, len(known) - 1)
    wanted = np.nan_to_num(local[missing])
    nearer = (wanted - local[known[before]]) <= (local[known[after]] - wanted)
    filled = offset.copy()
    filled[missing] = offset[known[np.where(nearer, before, after)]]
    return filled


def _running_numbers(parts: Sequence[Sequence[str]]) -> Ints:
    """The last number of the file name itself, -1 if it has none."""
    return np.array(
        [int(p[-2]) if len(p) > 1 and len(p[-2]) <= 9 and "/" not in p[-1] else -1 for p in parts],
        np.int64,
    )


def _cameras(given: Sequence[str], parts: Sequence[Sequence[str]]) -> Ints:
    """Codes of make and model; without these, of what file names of one camera share."""
    keys = [f"c {camera}" if camera else "" for camera in given]
    bare = [at for at, camera in enumerate(given) if not camera]
    for at, shape in zip(bare, _name_shapes([parts[at] for at in bare]), strict=True):
        keys[at] = f"n {shape}"
    counts = Counter(keys)
    least = min(RARE, max(2, len(keys) // 50))
    return _codes([key if counts[key] >= least else "" for key in keys], nothing="")


def _name_shapes(parts: Sequence[Sequence[str]]) -> list[str]:
    """File names without the digits that count photos: `cam2/IMG_0007.jpg` is `cam0/IMG_0.jpg`.

    A number before the last stays if it takes few values, each often: it then names a camera.
    `parts` are texts and numbers by turns.
    """
    shapes = ["0".join(p[::2]) for p in parts]
    values: dict[tuple[str, int], Counter[str]] = {}
    for shape, found in zip(shapes, parts, strict=True):
        if len(found) > 3:
            for place, text in enumerate(found[1:-3:2][:4]):
                values.setdefault((shape, place), Counter())[text] += 1
    kept = {
        key
        for key, counts in values.items()
        if len(counts) <= 8 and min(counts.values()) >= max(RARE, counts.total() / 50)
    }
    if not kept:
        return shapes
    return [
        shape + "".join(f" {t}" for p, t in enumerate(found[1:-3:2][:4]) if (shape, p) in kept)
        for shape, found in zip(shapes, parts, strict=True)
    ]


def _codes(keys: Sequence[str], nothing: str | None = None) -> Ints:
    """Numbers for keys, in order of first appearance; -1 for `nothing`."""
    seen: dict[str, int] = {}
    return np.array(
        [-1 if key == nothing else seen.setdefault(key, len(seen)) for key in keys], np.int64
    )
