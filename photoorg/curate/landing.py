"""Where photos land whose clock cannot be believed or that have none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.timeline import Floats, Ints, Mask, Timeline

NEAR_KM = 1.0
SURE = 0.8
NUMBERS = 50
SIMILAR = 0.9
ORDERLY = 0.8
VISUAL_ROWS = 20_000


def land(
    line: Timeline,
    utc: Floats,
    trusted: Mask,
    found_n: Ints,
    threshold_s: float,
    x_nd: NDArray[np.float32] | None = None,
) -> Ints:
    """`found_n` (-1: no event yet) with every photo in one.

    In turn: the event that nearly all photos of the same place are in; the event of the nearest
    file numbers of the same camera and folder, where these follow time; the event of a very similar
    photo; a file time that falls inside an event. What is left makes events of its own: by its
    untrusted clock, or one for each folder where there is no time at all.
    """
    found = found_n.copy()
    for step in (_by_place, _by_number):
        lost = np.flatnonzero(found < 0)
        settled = found >= 0
        if not len(lost):
            return found
        if settled.any():
            found[lost] = step(line, found, lost)
    if x_nd is not None:
        found = _by_looks(x_nd, found)
    found = _by_file_time(line, found, utc, trusted)
    return _alone(line, found, threshold_s)


def _by_place(line: Timeline, found: Ints, lost: Ints) -> Ints:
    """The event of nearly all settled photos within a kilometre; -1 where several compete."""
    from scipy.spatial import cKDTree

    answer = np.full(len(lost), -1, np.int64)
    known = np.flatnonzero((found >= 0) & np.isfinite(line.lat_n))
    placed = np.flatnonzero(np.isfinite(line.lat_n[lost]))
    if not len(known) or not len(placed):
        return answer
    tree = cKDTree(_unit(line.lat_n[known], line.lon_n[known]))
    wanted = _unit(line.lat_n[lost[placed]], line.lon_n[lost[placed]])
    k = min(64, len(known))
    reach = NEAR_KM / 6371.0
    distance, at = tree.query(wanted, k=k, distance_upper_bound=reach)
    distance, at = distance.reshape(len(wanted), k), at.reshape(len(wanted), k)
    near = np.isfinite(distance)
    events = np.where(near, found[known[np.minimum(at, len(known) - 1)]], -1)
    first = events[:, 0]
    share = ((events == first[:, None]) & near).sum(axis=1) / np.maximum(near.sum(axis=1), 1)
    sure = near[:, 0] & (share >= SURE)
    answer[placed[sure]] = first[sure]
    return answer


def _by_number(line: Timeline, found: Ints, lost: Ints) -> Ints:
    """The event of the settled photo of nearest running number, where numbers follow time."""
    answer = np.full(len(lost), -1, np.int64)
    group = line.folder_n * 1_000_003 + line.camera_n
    usable = (line.number_n >= 0) & (line.camera_n >= 0)
    for one in np.unique(group[lost][usable[lost]]):
        same = np.flatnonzero((group == one) & usable)
        settled = same[found[same] >= 0]
        settled = settled[np.argsort(line.number_n[settled], kind="stable")]
        if len(settled) < 10 or not _follows_time(line, settled):
            continue
        wanted = np.flatnonzero((group[lost] == one) & usable[lost])
        number, known = line.number_n[lost[wanted]], line.number_n[settled]
        at = np.searchsorted(known, number)
        before, after = np.maximum(at - 1, 0), np.minimum(at, len(known) - 1)
        nearer = np.where(
            np.abs(number - known[before]) <= np.abs(known[after] - number), before, after
        )
        close = np.abs(known[nearer] - number) <= NUMBERS
        answer[wanted[close]] = found[settled[nearer[close]]]
    return answer


def _follows_time(line: Timeline, settled: Ints) -> bool:
    """Whether times mostly grow with the numbers, and neighbours in number are so in time."""
    utc = line.utc_n[settled]
    believed = np.isfinite(utc) & line.trusted_n[settled]
    if np.count_nonzero(believed) < 10:
        return False
    steps = np.diff(utc[believed])
    return bool((steps >= -1).mean() >= ORDERLY)


def _by_looks(x_nd: NDArray[np.float32], found: Ints) -> Ints:
    """The event of the most similar settled photo, if it is very similar; up to 20,000 photos."""
    seen = x_nd.any(axis=1)
    lost, settled = np.flatnonzero((found < 0) & seen), np.flatnonzero((found >= 0) & seen)
    if not len(lost) or not len(settled) or len(lost) > VISUAL_ROWS:
        return found
    answer = found.copy()
    best = np.full(len(lost), SIMILAR, np.float32)
    for start in range(0, len(settled), VISUAL_ROWS):
        block = settled[start : start + VISUAL_ROWS]
        for low in range(0, len(lost), 1_000):
            some = slice(low, min(low + 1_000, len(lost)))
            cosine = x_nd[lost[some]] @ x_nd[block].T
            top = cosine.argmax(axis=1)
            value = cosine[np.arange(len(top)), top]
            better = value > best[some]
            best[some] = np.where(better, value, best[some])
            answer[lost[some][better]] = found[block[top[better]]]
    return answer


def _by_file_time(line: Timeline, found: Ints, utc: Floats, trusted: Mask) -> Ints:
    """File times that fall inside an event's time belong to it."""
    lost = np.flatnonzero((found < 0) & line.weak_n)
    settled = np.flatnonzero((found >= 0) & trusted)
    if not len(lost) or not len(settled):
        return found
    count = int(found.max()) + 1
    first, last = np.full(count, np.inf), np.full(count, -np.inf)
    np.minimum.at(first, found[settled], utc[settled])
    np.maximum.at(last, found[settled], utc[settled])
    order = np.argsort(first, kind="stable")
    at = np.searchsorted(first[order], utc[lost], side="right") - 1
    event = order[np.maximum(at, 0)]
    inside = (at >= 0) & (utc[lost] <= last[event])
    answer = found.copy()
    answer[lost[inside]] = event[inside]
    return answer


def _alone(line: Timeline, found: Ints, threshold_s: float) -> Ints:
    """Events of their own: by camera and untrusted clock, then by folder."""
    answer = found.copy()
    following = int(found.max(initial=-1)) + 1
    lost = np.flatnonzero((found < 0) & np.isfinite(line.utc_n))
    if len(lost):
        camera, t = np.where(line.weak_n, -2, line.camera_n)[lost], line.utc_n[lost]
        order = np.lexsort((t, camera))
        starts = np.ones(len(lost), bool)
        starts[1:] = (np.diff(camera[order]) != 0) | (np.diff(t[order]) > threshold_s)
        labels = np.cumsum(starts) - 1
        answer[lost[order]] = following + labels
        following += int(labels[-1]) + 1
    lost = np.flatnonzero(answer < 0)
    answer[lost] = following + np.unique(line.folder_n[lost], return_inverse=True)[1]
    return answer


def _unit(lat: Floats, lon: Floats) -> Floats:
    """Points on the unit sphere; chords are angles for the distances asked here."""
    a, b = np.radians(lat), np.radians(lon)
    return np.stack([np.cos(a) * np.cos(b), np.cos(a) * np.sin(b), np.sin(a)], axis=1)
