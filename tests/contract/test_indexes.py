"""What every registered index kind owes: the Index protocol, whatever lies beneath."""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from photoorg.errors import IndexCorruptError, NotFoundError
from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Index
from photoorg.registry import INDEXES, resolve
from tests.threads import at_once

DIM = 32
FACTORIES = {
    "flat": ["SQfp16", "Flat"],
    "ivfpq": ["IVF16,PQ16x4fs", "OPQ16,IVF16,PQ16x4fs", "OPQ8_16,IVF8,PQ8x4", "IVF16,SQ8"],
}
CASES = [(kind, factory) for kind in INDEXES for factory in FACTORIES[kind]]
each_index = pytest.mark.parametrize(("kind", "factory"), CASES)


def vectors(n: int, seed: int = 0, dim: int = DIM) -> FloatMatrix:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((20, dim))
    x = centers[rng.integers(0, 20, n)] + 0.3 * rng.standard_normal((n, dim))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


@lru_cache
def make(kind: str, factory: str, n: int = 2_000) -> Any:
    faiss_io.use_threads(1)
    index = resolve(INDEXES, kind, "index kind")(DIM, factory)
    x = vectors(n)
    index.train(vectors(1_500, seed=1))
    index.add(np.arange(n // 2), x[: n // 2])
    index.add(np.arange(n // 2, n), x[n // 2 :])
    return index


def full(index: Index) -> int:
    return index.max_effort


def test_every_registered_kind_is_covered() -> None:
    assert set(FACTORIES) == set(INDEXES)


@each_index
def test_search_finds_what_was_added_best_first(kind: str, factory: str) -> None:
    index = make(kind, factory)
    scores, ids = index.search(vectors(2_000)[:50], 10, effort=full(index))
    assert (index.kind, index.dim, len(index)) == (kind, DIM, 2_000)
    assert scores.shape == ids.shape == (50, 10)
    assert (scores.dtype, ids.dtype) == (np.float32, np.int64)
    assert (np.diff(scores, axis=1) <= 0).all()
    x = vectors(2_000)
    similar = np.einsum("nd,nkd->nk", x[:50], x[ids]).mean()
    best = -np.sort(-(x[:50] @ x.T), axis=1)[:, :10].mean()
    assert similar > (0.999 if index.exact else 0.9) * best


@each_index
def test_scores_are_inner_products(kind: str, factory: str) -> None:
    index = make(kind, factory)
    x = vectors(2_000)
    scores, ids = index.search(x[:20], 5, effort=full(index))
    true = np.einsum("nd,nkd->nk", x[:20], x[ids])
    assert np.abs(scores - true).max() < (2e-3 if index.exact else 0.5)


@each_index
def test_more_results_than_vectors_are_padded(kind: str, factory: str) -> None:
    index = resolve(INDEXES, kind, "index kind")(DIM, factory)
    index.train(vectors(1_500, seed=1))
    index.add(np.arange(7), vectors(7))
    scores, ids = index.search(vectors(3, seed=2), 12, effort=full(index))
    assert (ids[:, 7:] == -1).all() and (scores[:, 7:] == -np.inf).all()
    assert all(sorted(row[:7]) == list(range(7)) for row in ids)


@each_index
def test_an_empty_index_finds_nothing(kind: str, factory: str, tmp_path: Path) -> None:
    index = resolve(INDEXES, kind, "index kind")(DIM, factory)
    index.train(vectors(1_500, seed=1))
    index.save(tmp_path / "empty")
    for one in (index, type(index).load(tmp_path / "empty"), _mapped(index, tmp_path / "empty")):
        scores, ids = one.search(vectors(2), 3)
        assert len(one) == 0 and (ids == -1).all() and (scores == -np.inf).all()


@each_index
def test_only_allowed_ids_come_back(kind: str, factory: str) -> None:
    index = make(kind, factory)
    allowed = np.zeros(2_000, np.bool_)
    allowed[[3, 64, 65, 700, 1_999]] = True
    _, ids = index.search(vectors(20, seed=3), 10, effort=full(index), allowed=allowed)
    assert all(set(row) == {3, 64, 65, 700, 1_999, -1} for row in ids)
    _, none = index.search(vectors(2), 10, allowed=np.zeros(2_000, np.bool_))
    assert (none == -1).all()


@each_index
@pytest.mark.parametrize("mmap", [False, True])
def test_a_saved_index_answers_the_same(
    kind: str, factory: str, mmap: bool, tmp_path: Path
) -> None:
    index = make(kind, factory)
    index.save(tmp_path / "index", space="a-space")
    again = type(index).load(tmp_path / "index", mmap=mmap)
    queries = vectors(30, seed=4)
    before = index.search(queries, 10, effort=4)
    after = again.search(queries, 10, effort=4)
    np.testing.assert_allclose(after[0], before[0], atol=1e-6)
    assert (after[1] == before[1]).mean() > 0.99
    assert (len(again), again.dim, again.kind) == (2_000, DIM, kind)


@each_index
def test_effort_travels_in_the_call_and_does_not_leak_between_threads(
    kind: str, factory: str
) -> None:
    index = make(kind, factory)
    queries = vectors(64, seed=5)
    efforts = [1, 2, 4, index.max_effort]
    alone = {e: index.search(queries, 10, effort=e)[1] for e in efforts}
    default = index.search(queries, 10)[1]
    wrong: list[int] = []

    def ask(effort: int) -> None:
        for _ in range(20):
            if not np.array_equal(index.search(queries, 10, effort=effort)[1], alone[effort]):
                wrong.append(effort)

    at_once(*(partial(ask, e) for e in efforts))
    assert wrong == []
    assert np.array_equal(index.search(queries, 10)[1], default)


@each_index
def test_more_effort_finds_no_less(kind: str, factory: str) -> None:
    index = make(kind, factory)
    queries = vectors(64, seed=6)
    some = index.search(queries, 10, effort=1)[0]
    every = index.search(queries, 10, effort=index.max_effort)[0]
    assert (every >= some - 2e-2).all()
    assert every.sum() >= some.sum() - 1e-3


@each_index
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_refused(kind: str, factory: str, kept: float, tmp_path: Path) -> None:
    index = make(kind, factory, n=200)
    path = tmp_path / "index"
    index.save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(IndexCorruptError, match=str(path)):
        type(index).load(path)


@each_index
def test_an_altered_file_is_refused(kind: str, factory: str, tmp_path: Path) -> None:
    index = make(kind, factory, n=200)
    path = tmp_path / "index"
    index.save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(IndexCorruptError, match="altered"):
        type(index).load(path)


@each_index
def test_a_file_of_another_kind_is_refused(kind: str, factory: str, tmp_path: Path) -> None:
    other = next((k, f) for k, f in CASES if k != kind)
    make(*other, n=200).save(tmp_path / "index")
    with pytest.raises(IndexCorruptError, match="kind"):
        resolve(INDEXES, kind, "index kind").load(tmp_path / "index")


@each_index
def test_a_missing_file_is_not_found(kind: str, factory: str, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        resolve(INDEXES, kind, "index kind").load(tmp_path / "nowhere")


@each_index
def test_resident_bytes_are_near_the_size_of_the_file(
    kind: str, factory: str, tmp_path: Path
) -> None:
    index = make(kind, factory)
    index.save(tmp_path / "index")
    size = (tmp_path / "index").stat().st_size
    assert 0.6 * size < index.memory_bytes() < 1.4 * size


def _mapped(index: Any, path: Path) -> Any:
    return type(index).load(path, mmap=True)
