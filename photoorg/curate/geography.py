"""Where home is, which events are trips away from it, and what places are called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from photoorg.curate.timeline import Floats, Ints, Mask, distance_km

CELL_DEG = 0.05
COLUMNS = round(360 / CELL_DEG)
LEAST_DAYS = 5
LEAST_SHARE = 0.2
LEAST_SPAN_DAYS = 14
TRIP_PAUSE_DAYS = 4
FAR_KM = 60.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Place:
    """A settlement; `km` is how far it is from the point that was asked for."""

    city: str
    region: str
    country: str
    km: float


class Gazetteer(Protocol):
    """Names places without asking anybody."""

    def name(self, lat_n: Floats, lon_n: Floats) -> list[Place | None]:
        """The nearest settlement of each point, None where there is none within 60 km."""


class Settlements:
    """The settlements that the package reverse-geocode brings (GeoNames, CC BY 4.0)."""

    def __init__(self) -> None:
        import reverse_geocode

        self._search: Any = reverse_geocode.search

    def name(self, lat_n: Floats, lon_n: Floats) -> list[Place | None]:
        """As Gazetteer; its tree is over degrees, so the distance is measured afterwards."""
        if not len(lat_n):
            return []
        found = self._search(np.stack([lat_n, lon_n], axis=1).tolist())
        at = np.array([(one["latitude"], one["longitude"]) for one in found])
        km = distance_km(lat_n, lon_n, at[:, 0], at[:, 1])
        return [
            Place(one["city"], one.get("state", ""), one["country"], float(far))
            if far <= FAR_KM
            else None
            for one, far in zip(found, km, strict=True)
        ]


def gazetteer() -> Gazetteer | None:
    """The offline gazetteer, None where its package is not installed."""
    try:
        return Settlements()
    except ImportError:
        return None


def home(lat_n: Floats, lon_n: Floats, local_n: Floats) -> tuple[float, float] | None:
    """The place with photos on most days, None if no place stands out.

    `local_n` are seconds of local time. At least five days over two weeks or more, and a fifth of
    all days with a known place, within about five kilometres.
    """
    known = np.isfinite(lat_n) & np.isfinite(local_n)
    if not known.any():
        return None
    lat, lon, day = lat_n[known], lon_n[known], np.floor(local_n[known] / DAY_S).astype(np.int64)
    row = np.floor((lat + 90) / CELL_DEG).astype(np.int64)
    column = np.floor((lon + 180) / CELL_DEG).astype(np.int64)
    seen = np.unique(np.stack([row, column, day], axis=1), axis=0)
    days = np.unique(day).size
    cells, counts = np.unique(seen[:, :2], axis=0, return_counts=True)
    busiest = cells[counts.argmax()]
    beside = np.abs(column - busiest[1])
    near = (np.abs(row - busiest[0]) <= 1) & (np.minimum(beside, COLUMNS - beside) <= 1)
    there = np.unique(day[near])
    if len(there) < max(LEAST_DAYS, LEAST_SHARE * days) or np.ptp(there) < LEAST_SPAN_DAYS:
        return None
    return float(np.median(lat[near])), middle_longitude(lon[near])


def middle_longitude(lon_n: Floats) -> float:
    """The median of longitudes, NaN of none; those on both sides of the 180th are neighbours."""
    known = lon_n[np.isfinite(lon_n)]
    if not len(known):
        return float("nan")
    if np.ptp(known) > 180:
        known = np.where(known < 0, known + 360, known)
    middle = float(np.median(known))
    return middle - 360 if middle > 180 else middle


def kinds(
    lat_e: Floats,
    lon_e: Floats,
    starts_e: Floats,
    ends_e: Floats,
    at_home: tuple[float, float] | None,
    radius_km: float,
) -> tuple[list[str], Ints]:
    """For events in order of time: home, away, trip or unknown, and the trip's number or -1.

    `starts_e` and `ends_e` are local seconds (NaN: undated). A trip is a run of events away from
    home over two days or more, not broken by an event at home or by more than four days.
    """
    none = np.full(len(lat_e), -1, np.int64)
    if at_home is None:
        return ["unknown"] * len(lat_e), none
    km = distance_km(lat_e, lon_e, *(np.full(len(lat_e), degrees) for degrees in at_home))
    away: Mask = np.isfinite(km) & (km > radius_km) & np.isfinite(starts_e)
    near = np.isfinite(km) & (km <= radius_km)
    kind = ["home" if n else "away" if a else "unknown" for n, a in zip(near, away, strict=True)]
    number = 0
    for run in _runs(away, near, starts_e, ends_e):
        days = np.floor(ends_e[run[-1]] / DAY_S) - np.floor(starts_e[run[0]] / DAY_S)
        if days >= 1:
            for event in range(run[0], run[-1] + 1):
                if np.isfinite(starts_e[event]):
                    kind[event], none[event] = "trip", number
            number += 1
    return kind, none


def _runs(away: Mask, near: Mask, starts: Floats, ends: Floats) -> list[list[int]]:
    """Indices of the events away that make up each stay away from home."""
    runs: list[list[int]] = []
    current: list[int] = []
    for event in range(len(away)):
        if near[event] or (
            away[event] and current and starts[event] - ends[current[-1]] > TRIP_PAUSE_DAYS * DAY_S
        ):
            if current:
                runs.append(current)
            current = []
        if away[event]:
            current.append(event)
    return [*runs, current] if current else runs


def place_name(places: Sequence[Place | None]) -> str | None:
    """What to call a stretch of places: a city, else what most of them share; None if unknown."""
    known = [place for place in places if place is not None]
    if not known:
        return None
    for level in ("city", "region", "country"):
        names = [getattr(place, level) for place in known]
        most = max(dict.fromkeys(names), key=names.count)
        if most and names.count(most) >= 0.6 * len(names):
            return str(most)
    return " and ".join(list(dict.fromkeys(place.country for place in known))[:2]) or None
