"""Events found anew, told in terms of the events there are: identities and decisions stay."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from photoorg.curate.timeline import Floats, Ints

MOVED, ANCHORED = 1, 2


def reconcile(
    found_n: Ints, old_n: Ints, pin_n: Ints, utc_n: Floats, named: Sequence[int] = ()
) -> Ints:
    """The event of each photo: an id there was, or -1, -2, ... for new events.

    `found_n` are the detected groups, `old_n` the ids the photos had (-1: none), `pin_n` 0 for
    photos nobody placed, MOVED for those that stay where somebody put them, ANCHORED for those that
    also draw along whatever is found with them. A pinned photo keeps its event. In a group with
    anchored photos the others follow the one nearest in time. Any other group takes the id of the
    old event it shares most photos with, each id once, larger overlaps first; else it is new.
    Events that somebody `named` are not lost to larger ones: where most of their photos are found
    together, these are anchored.
    """
    pin_n = _with_named(found_n, old_n, pin_n, named)
    result = np.where(pin_n > 0, old_n, np.iinfo(np.int64).min)
    loose = pin_n == 0
    anchored = np.isin(found_n, np.unique(found_n[pin_n == ANCHORED]))
    order = np.argsort(found_n, kind="stable")
    for group in np.unique(found_n[anchored & loose]):
        first, last = np.searchsorted(found_n[order], [group, group + 1])
        members = order[first:last]
        _draw(members, result, pin_n, utc_n)
    rest = np.flatnonzero(loose & ~anchored)
    taken = np.unique(old_n[pin_n == ANCHORED])
    if len(rest):
        result[rest] = _matched(found_n[rest], old_n[rest], taken)
    return result


def _with_named(found_n: Ints, old_n: Ints, pin_n: Ints, named: Sequence[int]) -> Ints:
    """The pins, with the largest found part of each named event anchored."""
    rows = np.flatnonzero((pin_n == 0) & np.isin(old_n, np.asarray(named, np.int64)))
    if not len(rows):
        return pin_n
    _, event = np.unique(old_n[rows], return_inverse=True)
    _, group = np.unique(found_n[rows], return_inverse=True)
    width = int(group.max()) + 1
    keys, counts = np.unique(event * width + group, return_counts=True)
    order = np.lexsort((keys, -counts, keys // width))
    first = np.unique(keys[order] // width, return_index=True)[1]
    together = np.isin(event * width + group, keys[order][first])
    pins = pin_n.copy()
    pins[rows[together]] = ANCHORED
    return pins


def _draw(members: Ints, result: Ints, pin_n: Ints, utc_n: Floats) -> None:
    anchors = members[pin_n[members] == ANCHORED]
    loose = members[pin_n[members] == 0]
    times = np.nan_to_num(utc_n[anchors], nan=np.inf)
    order = np.argsort(times, kind="stable")
    anchors, times = anchors[order], times[order]
    wanted = np.nan_to_num(utc_n[loose], nan=np.inf)
    after = np.minimum(np.searchsorted(times, wanted), len(anchors) - 1)
    before = np.maximum(after - 1, 0)
    with np.errstate(invalid="ignore"):
        nearer = np.abs(wanted - times[before]) <= np.abs(times[after] - wanted)
    result[loose] = result[np.where(nearer, anchors[before], anchors[after])]


def _matched(found: Ints, old: Ints, taken: Ints) -> Ints:
    groups, group = np.unique(found, return_inverse=True)
    known = (old >= 0) & ~np.isin(old, taken)
    ids, old_code = np.unique(old[known], return_inverse=True)
    answer = np.full(len(groups), np.iinfo(np.int64).min)
    if len(ids):
        keys, counts = np.unique(group[known] * len(ids) + old_code, return_counts=True)
        used = np.zeros(len(ids), bool)
        for at in np.argsort(-counts, kind="stable"):
            one, code = divmod(int(keys[at]), len(ids))
            if answer[one] < 0 and not used[code]:
                answer[one], used[code] = ids[code], True
    new = np.flatnonzero(answer < 0)
    answer[new] = -1 - np.arange(len(new))
    return answer[group]
