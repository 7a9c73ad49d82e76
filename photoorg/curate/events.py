"""Events: runs of photos between pauses that are long for the time, the place and what is seen.

Pauses are judged against a threshold in the valley between pauses within and between events, drawn
towards the local mean of log pauses (Platt, Czerwinski, Field, "PhotoTOC", 2003); a change of place
or of what is seen lowers it, staying raises it. Photos whose clock cannot be believed are laid into
these events afterwards: by a shift of their camera's clock, their place, their neighbours in file
numbering, or what they show.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.clocks import ClockShift, clock_shifts, on_journeys, shifted
from photoorg.curate.landing import land
from photoorg.curate.pauses import local_limit, local_mean, log_limits, valley
from photoorg.curate.timeline import Floats, Ints, Mask, Timeline, distance_km
from photoorg.curation_config import EventsConfig

FIX_KEPT_S = 3600.0
STREAM_KM = 30.0
STREAM_KMH = 900.0
WIDTH = 3
"""Photos on either side of a pause whose looks are compared."""
BLOCK = 4_096


@dataclass(frozen=True, slots=True)
class Detected:
    """An event for each of n photos: numbers from 0 in order of time, undated ones last.

    `utc_n` are the times used (NaN: unknown or not believed), `shifts` the clocks that were put
    right, `threshold_s` the usual pause between events.
    """

    event_n: Ints
    utc_n: Floats
    shifts: tuple[ClockShift, ...]
    threshold_s: float


def detect(
    line: Timeline, config: EventsConfig, x_nd: NDArray[np.float32] | None = None
) -> Detected:
    """Find the events of a library; every photo lands in exactly one.

    `x_nd` are unit-norm vectors of what the photos show, a row of zeros where there is none.
    Takes n log n time, whatever the photos are: no two are compared but neighbours.
    """
    shifts = clock_shifts(line, config)
    utc, trusted = shifted(line, shifts)
    utc, journeys = on_journeys(line, config, utc)
    shifts += journeys
    order = np.flatnonzero(trusted)
    order = order[np.argsort(utc[order], kind="stable")]
    found = np.full(len(line), -1, np.int64)
    threshold = config.max_gap_hours * 3600.0
    if len(order):
        t = utc[order]
        lat, lon = line.lat_n[order], line.lon_n[order]
        threshold = valley(np.diff(t), config)
        starts = _boundaries(t, lat, lon, x_nd, order, threshold, config)
        labels = np.cumsum(starts) - 1
        found[order] = _streams(t, lat, lon, labels, line.camera_n[order])
    found = land(line, utc, trusted, found, threshold, x_nd)
    believed = trusted | line.weak_n
    utc = np.where(believed, utc, np.nan)
    return Detected(_in_order(found, utc), utc, tuple(shifts), threshold)


def _boundaries(
    t: Floats,
    lat: Floats,
    lon: Floats,
    x_nd: NDArray[np.float32] | None,
    order: Ints,
    threshold: float,
    config: EventsConfig,
) -> Mask:
    """Which photos, in order of time, start an event."""
    gaps = np.diff(t)
    if not len(gaps):
        return np.ones(len(t), bool)
    logs = np.log(np.maximum(gaps, 1.0))
    low, high = log_limits(config)
    limit = (2 * np.log(threshold) + local_limit(logs, config)) / 3
    limit = limit - _place_change(t, lat, lon)
    if x_nd is not None:
        limit = limit - _visual_change(x_nd, order)
    limit = np.clip(limit, low - np.log(2), high + np.log(1.5))
    return np.concatenate([[True], logs > limit])


def _place_change(t: Floats, lat: Floats, lon: Floats) -> Floats:
    """How much a change of place lowers the log threshold: -0.7 staying to +1.2 far; 0 unknown."""
    known = np.isfinite(lat)
    at = np.arange(len(t))
    last = np.maximum.accumulate(np.where(known, at, -1))
    following = np.minimum.accumulate(np.where(known, at, len(t))[::-1])[::-1]
    before, after = last[:-1], following[1:]
    usable = (before >= 0) & (after < len(t))
    before, after = np.maximum(before, 0), np.minimum(after, len(t) - 1)
    usable &= (t[:-1] - t[before] <= FIX_KEPT_S) & (t[after] - t[1:] <= FIX_KEPT_S)
    km = np.nan_to_num(distance_km(lat[before], lon[before], lat[after], lon[after]))
    logs = np.log10(np.maximum(km, 0.05))
    change = np.interp(logs, (-0.7, 0.0, 1.3), (-0.7, 0.0, 1.2))
    # On the road every step is far: what counts is a step that is far for its neighbourhood.
    usual = local_mean(np.where(usable, logs, -1.0))
    change = np.where(change > 0, change * np.clip(logs - usual, 0.0, 1.0), change)
    return np.where(usable, change, 0.0)


def _visual_change(x_nd: NDArray[np.float32], order: Ints) -> Floats:
    """How much what is seen before and after differs, for this library: -0.4 to +0.4.

    `order` are the rows in order of time. In blocks, so that no copy of all vectors is made.
    """
    n = len(order)
    cosine, norms = np.zeros(n - 1), np.zeros(n - 1)
    for start in range(0, n - 1, BLOCK):
        # Window i sums the photos i-WIDTH+1 to i; beyond either end there is nothing to add.
        end = min(start + BLOCK, n - 1)
        low, high = max(0, start - WIDTH + 1), min(n, end + WIDTH)
        near = x_nd[order[low:high]]
        spare = (low - (start - WIDTH + 1), end + WIDTH - high)
        near = np.pad(near, (spare, (0, 0))) if any(spare) else near
        windows = near[: len(near) - WIDTH + 1].copy()
        for shift in range(1, WIDTH):
            windows += near[shift : len(near) - WIDTH + 1 + shift]
        before, after = windows[: end - start], windows[WIDTH : WIDTH + end - start]
        lengths = np.sqrt(np.einsum("nd,nd->n", windows, windows))
        norms[start:end] = lengths[: end - start] * lengths[WIDTH : WIDTH + end - start]
        cosine[start:end] = np.einsum("nd,nd->n", before, after)
    known = norms > 1e-6
    if not known.any():
        return np.zeros(len(norms))
    cosine /= np.maximum(norms, 1e-6)
    low, middle, high = np.quantile(cosine[known], (0.05, 0.5, 0.95))
    if high - low < 1e-6:
        return np.zeros(len(norms))
    change = (
        np.interp(cosine, (low, middle, high), (0.4, 0.0, -0.4)) if low < middle < high else 0.0
    )
    return np.where(known, change, 0.0)


def _streams(t: Floats, lat: Floats, lon: Floats, labels: Ints, cameras: Ints) -> Ints:
    """Events parted where two cameras were at far places at the same time.

    A run whose photos keep jumping faster than any aeroplane is parted into places; photos without
    a place follow their camera, else the photo before them.
    """
    located = np.flatnonzero(np.isfinite(lat))
    if len(located) < 2:
        return labels
    km = distance_km(lat[located[:-1]], lon[located[:-1]], lat[located[1:]], lon[located[1:]])
    hours = np.maximum(np.diff(t[located]) / 3600, 1 / 60)
    same = labels[located[:-1]] == labels[located[1:]]
    jumps = same & (km > STREAM_KM) & (km / hours > STREAM_KMH)
    parted = labels.copy()
    following = int(labels[-1]) + 1
    for label in np.unique(labels[located[1:]][jumps]):
        first, last = np.searchsorted(labels, [label, label + 1])
        places = _places(lat[first:last], lon[first:last])
        if int(places.max()) < 1 or np.count_nonzero(jumps[labels[located[1:]] == label]) < 2:
            continue
        places = _follow(places, cameras[first:last])
        others = places > 0
        parted[first:last][others] = following + places[others] - 1
        following += int(places.max())
    return parted


def _places(lat: Floats, lon: Floats) -> Ints:
    """Numbers of groups of cells of about 30 km that touch; -1 for photos without a place."""
    from scipy.ndimage import label

    known = np.isfinite(lat)
    cell = STREAM_KM / 111.0
    rows = np.floor(lat[known] / cell).astype(np.int64)
    squeeze = max(0.05, float(np.cos(np.radians(np.abs(lat[known]).mean()))))
    columns = np.floor(lon[known] * squeeze / cell).astype(np.int64)
    # Only which rows and columns are next to each other matters, so empty ranges shrink to one.
    rows, columns = _dense(rows), _dense(columns)
    places = np.full(len(lat), -1, np.int64)
    if (int(rows.max()) + 1) * (int(columns.max()) + 1) > 4_000_000:
        places[known] = 0
        return places
    grid = np.zeros((int(rows.max()) + 1, int(columns.max()) + 1), bool)
    grid[rows, columns] = True
    numbered = label(grid, structure=np.ones((3, 3)))[0]
    places[known] = np.unique(numbered[rows, columns], return_inverse=True)[1]
    return places


def _dense(values: Ints) -> Ints:
    """Values renumbered so that neighbours stay neighbours and gaps become one."""
    seen, inverse = np.unique(values, return_inverse=True)
    steps = np.minimum(np.diff(seen, prepend=seen[:1]), 2)
    return np.asarray(np.cumsum(steps)[inverse])


def _follow(places: Ints, cameras: Ints) -> Ints:
    followed = places.copy()
    for camera in np.unique(cameras):
        own = np.flatnonzero(cameras == camera)
        known = np.maximum.accumulate(np.where(places[own] >= 0, np.arange(len(own)), -1))
        followed[own] = np.where(known >= 0, places[own][np.maximum(known, 0)], -1)
    last = np.maximum.accumulate(np.where(followed >= 0, np.arange(len(followed)), -1))
    return np.where(last >= 0, followed[np.maximum(last, 0)], 0)


def _in_order(found: Ints, utc: Floats) -> Ints:
    """Events renumbered by their first moment; those without any come last, as they came."""
    if not len(found):
        return found
    _, codes = np.unique(found, return_inverse=True)
    first = np.full(int(codes.max()) + 1, np.inf)
    known = np.isfinite(utc)
    np.minimum.at(first, codes[known], utc[known])
    rank = np.empty(len(first), np.int64)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return np.asarray(rank[codes])
