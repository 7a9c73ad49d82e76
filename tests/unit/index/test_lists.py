"""The delta with many rows: lists find what the flat search finds."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import pytest

from photoorg.index.delta import LIST_EVERY, LIST_FROM, Delta

DIM = 64


@dataclass
class Event:
    seq: int
    op: str
    photo_id: str
    vector: np.ndarray | None = None


def name(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """Photos come in clusters, as those of one event do."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(60, DIM))
    x_nd = centres[rng.integers(0, 60, 6_000)] + 0.4 * rng.normal(size=(6_000, DIM))
    return (x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)).astype(np.float32)


def filled(x_nd: np.ndarray, step: int) -> Delta:
    delta = Delta(DIM)
    for start in range(0, len(x_nd), step):
        rows = range(start, min(start + step, len(x_nd)))
        delta.apply([Event(r + 1, "add", name(r), x_nd[r]) for r in rows])
    return delta


def truth(
    x_nd: np.ndarray, x_d: np.ndarray, k: int, gone: frozenset[int] = frozenset()
) -> set[str]:
    order = [int(r) for r in np.argsort(-(x_nd @ x_d)) if int(r) not in gone]
    return {name(r) for r in order[:k]}


@pytest.mark.parametrize("step", [6_000, 700])
@pytest.mark.parametrize("k", [10, 100])
def test_lists_find_what_a_flat_search_finds(vectors, step, k):
    view = filled(vectors, step).view()
    assert view.lists is not None and len(view.lists) > len(vectors) - LIST_EVERY - 1
    queries = vectors[::97]
    found = view.search(queries, k)
    hits = [
        len({c.photo_id for c in f} & truth(vectors, q, k)) / k
        for q, f in zip(queries, found, strict=True)
    ]
    assert float(np.mean(hits)) >= 0.95
    assert all(f[0].score == pytest.approx(1.0, abs=1e-3) for f in found)
    assert all(
        len(f) == k and [c.score for c in f] == sorted((c.score for c in f), reverse=True)
        for f in found
    )


def test_few_rows_are_searched_exactly(vectors):
    few = vectors[: LIST_FROM - 1]
    view = filled(few, 100).view()
    assert view.lists is None
    for q in few[:20]:
        assert {c.photo_id for c in view.search(q[None], 10)[0]} == truth(few, q, 10)


def test_what_went_or_was_hidden_is_in_no_list(vectors):
    delta = filled(vectors, 6_000)
    before = delta.view()
    seq = delta.seq
    gone = frozenset(range(0, 2_000, 7))
    events = [
        Event(seq + n + 1, "delete" if r % 2 else "hide", name(r))
        for n, r in enumerate(sorted(gone))
    ]
    delta.apply(events)
    view = delta.view()
    for r in sorted(gone)[:40]:
        found = {c.photo_id for c in view.search(vectors[r][None], 20)[0]}
        assert len(found) == 20 and not found & {name(g) for g in gone}
    assert before.search(vectors[7][None], 1)[0][0].photo_id == name(7)


def test_the_newest_rows_are_found_at_once(vectors):
    delta = filled(vectors[:5_000], 5_000)
    for r in range(5_000, 5_040):
        delta.apply([Event(delta.seq + 1, "add", name(r), vectors[r])])
        assert delta.view().search(vectors[r][None], 1)[0][0].photo_id == name(r)


def test_rows_that_are_mostly_dead_are_rewritten_and_listed_again(vectors):
    delta = filled(vectors, 6_000)
    seq = delta.seq
    delta.apply([Event(seq + r + 1, "delete", name(r)) for r in range(4_000)])
    view = delta.view()
    assert len(view.live) == 2_000 and view.lists is not None
    assert view.search(vectors[5_000][None], 1)[0][0].photo_id == name(5_000)
    assert name(10) not in {c.photo_id for c in view.search(vectors[10][None], 50)[0]}
