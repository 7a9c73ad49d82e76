"""Event detection over a catalog: read, find, reconcile with what people decided, store."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.events import Detected, detect
from photoorg.curate.geography import (
    Gazetteer,
    Place,
    home,
    kinds,
    middle_longitude,
    place_name,
)
from photoorg.curate.reconcile import reconcile
from photoorg.curate.timeline import Floats, Ints, Shot, Timeline, timeline
from photoorg.curate.titles import coordinates, title, trip_title
from photoorg.curation_config import EventsConfig
from photoorg.store.catalog import Catalog, audit, events
from photoorg.store.catalog.events import EventRow, PhotoRow

Vectors = Callable[[Sequence[bytes]], NDArray[np.float32] | None]
"""Vectors [n, dim] of the photos in that order, None if there are none to be had."""

POINTS = 5


@dataclass(frozen=True, slots=True)
class DetectSummary:
    """What a detection came to. `clocks` tells which cameras' clocks were put right."""

    photos: int
    events: int
    new: int
    trips: int
    undated: int
    clocks: tuple[dict[str, Any], ...]
    threshold_s: float
    home_found: bool
    visual: bool
    places: bool
    detect_seconds: float
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


def detect_events(
    catalog: Catalog,
    tenant: str,
    config: EventsConfig,
    *,
    actor: str,
    gazetteer: Gazetteer | None = None,
    vectors: Vectors | None = None,
) -> DetectSummary:
    """Find the tenant's events anew; names, splits, merges and moves stay as people made them.

    One transaction: a failure changes nothing. Without a gazetteer titles tell coordinates.
    """
    started = time.monotonic()
    with catalog.tenant(tenant) as tx:
        events.lock(tx)
        rows = list(events.photo_rows(tx))
        began = time.monotonic()
        line = timeline([_shot(row) for row in rows])
        wanted = vectors is not None and 0 < len(rows) <= config.visual_up_to
        x_nd = vectors([row.photo_id for row in rows]) if vectors is not None and wanted else None
        detected = detect(line, config, x_nd)
        old = np.array([-1 if r.event_id is None else r.event_id for r in rows], np.int64)
        pins = np.array([r.pin or 0 for r in rows], np.int64)
        event_n = reconcile(detected.event_n, old, pins, detected.utc_n, events.named(tx))
        detect_seconds = time.monotonic() - began
        new = np.unique(event_n[event_n < 0])[::-1]
        ids = np.array(events.new_ids(tx, len(new)), np.int64)
        event_n = event_n.copy()
        event_n[event_n < 0] = ids[-1 - event_n[event_n < 0]] if len(ids) else 0
        local = detected.utc_n + line.offset_n
        described = _described(line, local, event_n, rows, config, gazetteer)
        moments = _moments(local)
        photos = zip((row.photo_id for row in rows), event_n.tolist(), moments, strict=True)
        events.store(tx, described.rows, photos)
        summary = DetectSummary(
            photos=len(rows),
            events=len(described.rows),
            new=len(ids),
            trips=described.trips,
            undated=int(np.isnan(local).sum()),
            clocks=_clocks(detected, line, rows),
            threshold_s=round(detected.threshold_s, 1),
            home_found=described.home_found,
            visual=x_nd is not None,
            places=gazetteer is not None,
            detect_seconds=round(detect_seconds, 3),
            seconds=round(time.monotonic() - started, 3),
        )
        told = {"photos": summary.photos, "events": summary.events, "new": summary.new}
        audit.record(tx, actor, "events.detect", "events", "all", told)
    return summary


def _shot(row: PhotoRow) -> Shot:
    taken = row.captured_at
    if taken is not None and row.captured_offset_minutes is not None:
        taken = taken + timedelta(minutes=row.captured_offset_minutes)
    return Shot(
        name=row.uri,
        taken=taken,
        offset_minutes=row.captured_offset_minutes,
        source=row.captured_source or "none",
        latitude=row.latitude,
        longitude=row.longitude,
        camera=f"{row.make or ''} {row.model or ''}".strip(),
    )


def _clocks(
    detected: Detected, line: Timeline, rows: Sequence[PhotoRow]
) -> tuple[dict[str, Any], ...]:
    told = []
    for shift in detected.shifts:
        row = rows[int(np.argmax(line.camera_n == shift.camera))]
        camera = f"{row.make or ''} {row.model or ''}".strip() or row.uri
        told.append(
            {
                "camera": camera,
                "seconds": shift.seconds,
                "photos": shift.photos,
                "agreeing": shift.agreeing,
            }
        )
    return tuple(told)


@dataclass(frozen=True, slots=True)
class _Described:
    rows: list[EventRow]
    trips: int
    home_found: bool


def _described(
    line: Timeline,
    local: Floats,
    event_n: Ints,
    rows: Sequence[PhotoRow],
    config: EventsConfig,
    gazetteer: Gazetteer | None,
) -> _Described:
    """Rows of all events in order of time, with kinds, places and titles."""
    if not len(rows):
        return _Described([], 0, False)
    order = np.lexsort((np.arange(len(rows)), np.nan_to_num(local, nan=np.inf), event_n))
    edges = np.flatnonzero(np.diff(event_n[order], prepend=event_n[order[0]] - 1))
    groups = np.split(order, edges[1:])
    first = np.array([local[g[0]] for g in groups])
    by_time = np.argsort(np.where(np.isnan(first), np.inf, first), kind="stable")
    groups = [groups[i] for i in by_time]
    starts = np.array([local[g[0]] for g in groups])
    ends = np.array([_latest(local[g]) for g in groups])
    lat = np.array([_middle(line.lat_n[g]) for g in groups])
    lon = np.array([middle_longitude(line.lon_n[g]) for g in groups])
    at_home = home(line.lat_n, line.lon_n, local)
    kind, trip = kinds(lat, lon, starts, ends, at_home, config.home_radius_km)
    places = _places(line, groups, gazetteer)
    names = [
        place_name(p) or (coordinates(a, o) if np.isfinite(a) else None)
        for p, a, o in zip(places, lat.tolist(), lon.tolist(), strict=True)
    ]
    begin, finish = _moments(starts), _moments(ends)
    trips = _trips(trip, places, begin, finish)
    ids = [int(event_n[g[0]]) for g in groups]
    described = []
    for i, group in enumerate(groups):
        number = int(trip[i])
        described.append(
            EventRow(
                event_id=ids[i],
                auto_title=title(begin[i], finish[i], names[i], kind[i]),
                starts_at=begin[i],
                ends_at=finish[i],
                latitude=_or_none(lat[i]),
                longitude=_or_none(lon[i]),
                place=names[i],
                kind=kind[i],
                trip_id=ids[trips[number][0]] if number >= 0 else None,
                trip_title=trips[number][1] if number >= 0 else None,
                photos=len(group),
                cover_id=rows[group[len(group) // 2]].photo_id,
            )
        )
    return _Described(described, len(trips), at_home is not None)


def _places(
    line: Timeline, groups: Sequence[Ints], gazetteer: Gazetteer | None
) -> list[list[Place | None]]:
    """Names of a few points of each event, asked for all at once."""
    if gazetteer is None:
        return [[] for _ in groups]
    chosen: list[Ints] = []
    for group in groups:
        located = group[np.isfinite(line.lat_n[group])]
        some = np.linspace(0, len(located) - 1, min(POINTS, len(located))).astype(np.int64)
        chosen.append(located[some])
    flat = np.concatenate(chosen) if chosen else np.zeros(0, np.int64)
    named = iter(gazetteer.name(line.lat_n[flat], line.lon_n[flat]))
    return [[next(named) for _ in points] for points in chosen]


def _trips(
    trip: Ints,
    places: Sequence[Sequence[Place | None]],
    begin: Sequence[Any],
    finish: Sequence[Any],
) -> dict[int, tuple[int, str]]:
    """For each trip the index of its first event, and its title."""
    told = {}
    for number in np.unique(trip[trip >= 0]).tolist():
        members: list[int] = np.flatnonzero(trip == number).tolist()
        everywhere = [p for i in members for p in places[i] if p is not None]
        end = max(finish[i] for i in members)
        where = place_name(everywhere)
        told[number] = (members[0], trip_title(begin[members[0]], end, where))
    return told


def _moments(seconds: Floats) -> list[Any]:
    """Datetimes without a zone, None for NaN."""
    whole = np.where(np.isfinite(seconds), np.round(np.nan_to_num(seconds) * 1e6), 0)
    moments = whole.astype(np.int64).astype("datetime64[us]")
    moments[~np.isfinite(seconds)] = np.datetime64("NaT")
    listed: list[Any] = moments.tolist()
    return listed


def _latest(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.max()) if len(known) else float("nan")


def _middle(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else float("nan")


def _or_none(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
