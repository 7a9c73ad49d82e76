from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from photoorg.errors import SpaceMismatchError
from photoorg.index.delta import Delta
from tests.unit.index.vectors import clustered, photo_id

DIM = 8
X = clustered(1_000, DIM)


@dataclass(frozen=True)
class Logged:
    seq: int
    op: Literal["add", "delete"]
    photo_id: str
    vector: NDArray[np.float32] | None = None


def add(seq: int, name: object, row: int) -> Logged:
    return Logged(seq, "add", photo_id(name), X[row])


def delete(seq: int, name: object) -> Logged:
    return Logged(seq, "delete", photo_id(name))


def found(delta: Delta, row: int, k: int = 10) -> list[str]:
    return [c.photo_id for c in delta.view().search(X[row : row + 1], k)[0]]


def test_an_added_photo_is_found() -> None:
    delta = Delta(DIM)
    delta.apply([add(1, "a", 0), add(2, "b", 1)])
    assert found(delta, 0)[0] == photo_id("a")
    assert (len(delta), delta.seq) == (2, 2)


def test_an_upsert_replaces_the_vector() -> None:
    delta = Delta(DIM)
    delta.apply([add(1, "a", 0)])
    delta.apply([add(2, "a", 1)])
    [[hit]] = delta.view().search(X[1:2], 5)
    assert hit.photo_id == photo_id("a") and hit.score == pytest.approx(1, abs=1e-3)


def test_a_deleted_photo_is_gone_and_comes_back_when_added_again() -> None:
    delta = Delta(DIM)
    delta.apply([add(1, "a", 0), delete(2, "a")])
    assert found(delta, 0) == [] and delta.masking == {photo_id("a")}
    delta.apply([add(3, "a", 0)])
    assert found(delta, 0) == [photo_id("a")]


def test_events_count_by_their_number_not_by_arrival() -> None:
    delta = Delta(DIM)
    delta.apply([delete(2, "a"), add(1, "a", 0), add(3, "b", 1)])
    assert found(delta, 0) == [photo_id("b")]


def test_events_seen_before_are_passed_over() -> None:
    delta = Delta(DIM)
    delta.apply([add(1, "a", 0), delete(2, "a")])
    assert delta.apply([add(1, "a", 0)]) == []
    assert found(delta, 0) == []


def test_growth_past_the_first_array_keeps_every_vector() -> None:
    delta = Delta(DIM)
    for seq in range(1, 1_000):
        delta.apply([add(seq, seq, seq)])
    assert len(delta) == 999
    for row in (1, 300, 999):
        assert photo_id(row) in found(delta, row, k=1)
        np.testing.assert_allclose(delta.view().vector(photo_id(row)), X[row], atol=1e-3)


def test_dead_rows_are_given_back() -> None:
    delta = Delta(DIM)
    for seq in range(1, 20_000):
        delta.apply([add(seq, seq % 10, seq % 1_000)])
    assert len(delta) == 10
    assert delta.memory_bytes() < 1_000 * (4 * DIM + 210)


def test_a_view_does_not_see_later_events() -> None:
    delta = Delta(DIM)
    delta.apply([add(1, "a", 0)])
    view = delta.view()
    delta.apply([delete(2, "a"), *(add(i, i, i) for i in range(3, 900))])
    assert [c.photo_id for c in view.search(X[:1], 5)[0]] == [photo_id("a")]


def test_equal_scores_come_in_order_of_photo_id_at_the_cut_too() -> None:
    delta = Delta(DIM)
    delta.apply([add(seq, seq, 0) for seq in range(1, 30)])
    assert found(delta, 0, k=5) == sorted(photo_id(s) for s in range(1, 30))[:5]


def test_a_vector_of_another_dimension_is_refused() -> None:
    with pytest.raises(SpaceMismatchError):
        Delta(DIM).apply([Logged(1, "add", photo_id(1), np.ones(4, np.float32))])
