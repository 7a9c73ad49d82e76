from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.curate.reconcile import ANCHORED, MOVED, reconcile

PHOTOS = st.lists(
    st.tuples(st.integers(0, 4), st.sampled_from([-1, 10, 11, 12]), st.sampled_from([0, 1, 2])),
    max_size=30,
)


def told(found, old, pin, utc=None):
    utc = np.arange(len(found), dtype=float) if utc is None else np.array(utc, float)
    return reconcile(*(np.array(v, np.int64) for v in (found, old, pin)), utc).tolist()


def test_identities_follow_the_majority():
    assert told([0, 0, 0, 1, 1], [7, 7, 8, 8, 8], [0] * 5) == [7, 7, 7, 8, 8]
    assert told([0, 0, 1, 1, 1], [7, 7, 7, 7, 7], [0] * 5) == [-1, -1, 7, 7, 7]


def test_anchored_photos_draw_the_nearest_others():
    pins = [ANCHORED, 0, 0, ANCHORED]
    assert told([0] * 4, [7, -1, -1, 8], pins, [0, 1, 9, 10]) == [7, 7, 8, 8]


def test_moved_photos_stay_and_draw_nobody():
    assert told([0, 0, 0], [7, 7, 9], [0, 0, MOVED]) == [7, 7, 9]


@settings(max_examples=100, deadline=None)
@given(PHOTOS)
def test_pinned_photos_keep_their_event_and_no_photo_is_left_out(photos):
    found = [f for f, _, _ in photos]
    old = [o for _, o, _ in photos]
    pin = [p if o >= 0 else 0 for _, o, p in photos]
    answer = told(found, old, pin)
    assert all(a == o for a, o, p in zip(answer, old, pin, strict=True) if p)
    new = {a for a in answer if a < 0}
    assert new == set(range(-len(new), 0)) and all(a >= 10 for a in answer if a >= 0)
    for event in set(answer):
        groups = {f for f, a, p in zip(found, answer, pin, strict=True) if a == event and not p}
        drawn = {f for f, p in zip(found, pin, strict=True) if p == ANCHORED}
        assert len(groups - drawn) <= 1


def named(found, old, names, pin=None, utc=None):
    pin = [0] * len(found) if pin is None else pin
    utc = np.arange(len(found), dtype=float) if utc is None else np.array(utc, float)
    arrays = (np.array(v, np.int64) for v in (found, old, pin))
    return reconcile(*arrays, utc, named=names).tolist()


def test_a_name_outlives_being_found_with_more_photos_of_no_name():
    assert named([0] * 5, [7, 7, 8, 8, 8], [7]) == [7] * 5
    assert named([0] * 5, [7, 7, 8, 8, 8], []) == [8] * 5


def test_two_names_stay_two_events_where_they_are_found_as_one():
    assert named([0] * 5, [7, 7, -1, 8, 8], [7, 8]) == [7, 7, 7, 8, 8]


def test_a_name_stays_beside_what_somebody_split():
    pins = [ANCHORED, ANCHORED, 0, 0, 0]
    assert named([0] * 5, [7, 7, 7, 8, 8], [8], pins) == [7, 7, 7, 8, 8]


def test_of_a_named_event_that_falls_apart_the_larger_part_keeps_the_name():
    assert named([0, 1, 1, 1, 1], [7, 7, 7, 8, 8], [7]) == [-1, 7, 7, 7, 7]
