from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from photoorg.index.sample import Sample
from tests.unit.index.vectors import clustered, keys

N, DIM = 300, 8
KEYS, X = keys(N), clustered(N, DIM)


def drawn(sample: Sample) -> list[bytes]:
    return [bytes(k) for k in sample.keys]


def of(parts: list[np.ndarray], size: int) -> Sample:
    sample = Sample(size, DIM)
    for part in parts:
        sample.add(KEYS[part], X[part])
    return sample


@given(st.permutations(range(N)), st.integers(1, N + 10), st.integers(1, 7))
def test_order_and_batches_do_not_matter(order: list[int], size: int, batches: int) -> None:
    whole = of([np.arange(N)], size)
    shuffled = of(np.array_split(np.array(order), batches), size)
    assert drawn(shuffled) == drawn(whole)
    assert len(whole) == min(size, N)
    np.testing.assert_array_equal(shuffled.x_nd, whole.x_nd)


@given(st.integers(1, N), st.integers(0, N))
def test_samples_of_parts_merge_to_the_sample_of_the_whole(size: int, cut: int) -> None:
    left, right = of([np.arange(cut)], size), of([np.arange(cut, N)], size)
    left.merge(right)
    assert drawn(left) == drawn(of([np.arange(N)], size))


def test_vectors_stay_with_their_photos() -> None:
    sample = of([np.arange(N)], 50)
    where = {bytes(k): i for i, k in enumerate(KEYS)}
    rows = [where[k] for k in drawn(sample)]
    np.testing.assert_allclose(sample.x_nd, X[rows], atol=1e-3)


def test_a_photo_counts_once_and_its_last_vector_wins() -> None:
    sample = Sample(10, DIM)
    sample.add(KEYS[:5], X[:5])
    sample.add(KEYS[:1], X[9:10])
    assert len(sample) == 5
    row = drawn(sample).index(bytes(KEYS[0]))
    np.testing.assert_allclose(sample.x_nd[row], X[9], atol=1e-3)


def test_ids_that_are_no_hashes_are_spread_too() -> None:
    counted = np.zeros((10_000, 32), np.uint8)
    counted[:, -2:] = np.arange(10_000, dtype=">u2").view(np.uint8).reshape(-1, 2)
    sample = Sample(1_000, DIM)
    sample.add(counted, np.ones((10_000, DIM), np.float32))
    low = (sample.keys[:, -2:].astype(int) @ [256, 1] < 5_000).mean()
    assert 0.4 < low < 0.6


def test_vectors_that_are_not_finite_are_never_drawn() -> None:
    x = X[:10].copy()
    x[3, 2] = np.nan
    sample = Sample(10, DIM)
    sample.add(KEYS[:10], x)
    assert len(sample) == 9


@given(st.integers(1, 40), st.integers(1, 7))
def test_parts_that_look_at_a_share_of_the_photos_merge_to_the_same_sample(
    size: int, parts: int
) -> None:
    merged = Sample(size, DIM)
    offered = 0
    for part in np.array_split(np.arange(N), parts):
        sample = Sample(size, DIM, share=0.5)
        sample.add(KEYS[part], X[part])
        offered += len(sample)
        merged.merge(sample)
    assert drawn(merged) == drawn(of([np.arange(N)], size))
    everything = Sample(N, DIM, share=0.5)
    everything.add(KEYS, X)
    assert 0.35 * N < len(everything) < 0.65 * N and offered <= len(everything)
