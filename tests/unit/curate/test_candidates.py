"""Candidate pairs against brute force, and crowds that must not blow up."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.curate import candidates
from photoorg.curate.candidates import hamming, near_pairs, plan


def random_codes(rng, n: int, words: int) -> np.ndarray:
    return rng.integers(0, 2**64, (n, words), dtype=np.uint64)


def with_neighbours(rng, n: int, words: int, flips: int) -> np.ndarray:
    """Random hashes, half of them followed by a copy with some bits flipped."""
    base = random_codes(rng, n // 2, words)
    near = base.copy()
    for row in near:
        for bit in rng.choice(64 * words, rng.integers(0, flips + 1), replace=False):
            row[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return rng.permutation(np.concatenate([base, near]))


def brute(a: np.ndarray, radius: int, b: np.ndarray | None = None) -> set[tuple[int, int, int]]:
    b = a if b is None else b
    found: dict[tuple[int, int], int] = {}
    for i in range(len(a)):
        for j, bits in enumerate(hamming(np.broadcast_to(a[i], b.shape), b)):
            if i != j and bits <= radius:
                pair = (min(i, j), max(i, j))
                found[pair] = min(found.get(pair, 999), int(bits))
    return {(i, j, bits) for (i, j), bits in found.items()}


def as_set(pairs) -> set[tuple[int, int, int]]:
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), pairs.bits.tolist(), strict=True))


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([(4, 31), (4, 40), (1, 6), (1, 8), (1, 0), (4, 5)]))
def test_every_pair_that_brute_force_finds_is_found_once(seed, shape):
    words, radius = shape
    codes = with_neighbours(np.random.default_rng(seed), 600, words, radius + 4)
    brute_rows = candidates.BRUTE_ROWS
    direct = near_pairs(codes, radius)
    candidates.BRUTE_ROWS = 0
    try:
        indexed = near_pairs(codes, radius)
    finally:
        candidates.BRUTE_ROWS = brute_rows
    assert as_set(indexed) == as_set(direct) == brute(codes, radius)
    assert len(indexed) == len(as_set(indexed))


def test_pairs_of_two_sets_are_those_of_brute_force():
    rng = np.random.default_rng(3)
    codes = with_neighbours(rng, 3000, 4, 30)
    turned = codes ^ np.uint64(0xFFFF)
    some = rng.integers(0, len(codes), 400)
    turned[some] = codes[rng.permutation(some)]
    assert as_set(near_pairs(codes, 31, others=turned)) == brute(codes, 31, turned)


@pytest.mark.parametrize("width", [64, 256])
@pytest.mark.parametrize("rows", [3000, 10**6])
def test_the_chunks_satisfy_the_pigeonhole(width, rows):
    for radius in (0, 3, 8, 31) if width == 256 else (0, 3, 8):
        chunks = plan(width, radius, rows)
        assert sum(chunk.threshold + 1 for chunk in chunks) == radius + 1
        bits = [p for chunk in chunks for p in chunk.positions]
        assert len(bits) == len(set(bits))


def test_ten_thousand_equal_hashes_give_a_star_not_fifty_million_pairs():
    codes = np.tile(random_codes(np.random.default_rng(1), 1, 4), (10_000, 1))
    pairs = near_pairs(codes, 31)
    assert len(pairs) == 9_999
    assert set(pairs.first.tolist()) == {0}


def test_a_crowd_of_slightly_different_hashes_stays_bounded():
    rng = np.random.default_rng(2)
    codes = np.tile(random_codes(rng, 1, 4), (6_000, 1))
    for _ in range(6):
        bit = rng.integers(0, 256, len(codes))
        codes[np.arange(len(codes)), bit // 64] ^= np.uint64(1) << (bit % 64).astype(np.uint64)
    pairs = near_pairs(codes, 31, per_row=50)
    assert pairs.saturated > 5_000
    assert len(pairs) < 6_000 * 6_000 / 8
    partners = np.bincount(np.concatenate([pairs.first, pairs.second]), minlength=6_000)
    assert partners.min() >= 1
    again = near_pairs(codes, 31, per_row=50, threads=1)
    assert as_set(again) == as_set(pairs)


@pytest.mark.parametrize("n", [0, 1])
def test_nothing_to_pair(n):
    assert len(near_pairs(np.zeros((n, 4), np.uint64), 31)) == 0
