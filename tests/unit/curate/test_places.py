"""Faces found again by their place."""

import pytest

from photoorg.curate.places import match, overlap


def test_overlap_is_intersection_over_union():
    assert overlap((0, 0, 2, 2), (1, 0, 2, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 1, 1), (0, 0, 1, 1)) == 1.0
    assert overlap((0, 0, 1, 1), (2, 2, 1, 1)) == 0.0
    assert overlap((0, 0, 0, 0), (0, 0, 0, 0)) == 0.0


def test_boxes_are_matched_one_to_one_the_best_first():
    known = [(0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.4, 0.4)]
    found = [(0.52, 0.5, 0.4, 0.4), (0.05, 0.0, 0.4, 0.4), (0.01, 0.0, 0.4, 0.4)]
    assert match(known, found) == {0: 2, 1: 0}
    assert match(known, []) == {} and match([], found) == {}
    assert match([(0.0, 0.0, 0.1, 0.1)], found) == {}
