"""Pairs of near hashes by multi-index hashing: exact, in bounded memory, never all pairs.

Norouzi, Punjani, Fleet, "Fast Exact Search in Hamming Space with Multi-Index Hashing" (2014), with
the general pigeonhole: cut a hash into chunks i with thresholds t_i such that sum(t_i + 1) is
radius + 1; two hashes within the radius then agree within t_i on some chunk i. Chunks are looked up
in direct-address tables, all rows at once, and every hit is checked on the whole hash.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.classes import Classes, across

Words = NDArray[np.uint64]
Rows = NDArray[np.int32]
Bits = NDArray[np.int16]

BRUTE_ROWS = 2048
"""So few hashes are compared directly: 2 million comparisons cost less than one table."""
CHECKED = 1 << 20
"""Pairs checked at once; some 60 bytes each."""
WINDOW = 4096
"""A row meets at most so many rows of one bucket: photos that share 20 bits by being all alike."""
MAX_WIDTH = 22
LOOKUP_NS, PAIR_NS, MASK_NS = 6.0, 40.0, 30_000.0


@dataclass(frozen=True, slots=True)
class NearPairs:
    """Rows first < second, [n] each, whose hashes differ in `bits`, every pair once, in order.

    `saturated` rows have more partners than were asked for and are given some of them.
    """

    first: Rows
    second: Rows
    bits: Bits
    saturated: int = 0

    def __len__(self) -> int:
        return len(self.first)


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some bits of a hash, and how many of them may differ."""

    positions: tuple[int, ...]
    threshold: int


def near_pairs(
    codes_nw: Words,
    radius: int,
    *,
    per_row: int = 256,
    threads: int = 2,
    others: Words | None = None,
) -> NearPairs:
    """All pairs of rows within `radius` bits; codes are [n, words] of 64 bits.

    Exact, but for what would grow with the square of a crowd: equal hashes are paired with the
    first of them (each with each up to 8), rows that have `per_row` partners meet no others in
    later chunks, and a crowd of over WINDOW hashes that share a whole chunk is searched in windows.
    With `others` ([n, words] too), row i is paired with row j where codes[i] is near others[j].
    """
    n = len(codes_nw)
    if n < 2 or radius < 0:
        return _none()
    classes = Classes(codes_nw)
    if others is None:
        first, second, bits, full = _self_pairs(classes.codes, radius, per_row, threads)
        first, second, bits = classes.expanded(first, second, bits)
    else:
        theirs = Classes(others)
        first, second, bits, full = _cross_pairs(
            classes.codes, theirs.codes, radius, per_row, threads
        )
        first, second, bits = across(classes, theirs, first, second, bits)
    low, high = np.minimum(first, second), np.maximum(first, second)
    keep = low != high
    low, high, bits = low[keep], high[keep], bits[keep]
    order = np.lexsort((bits, high, low))
    low, high, bits = low[order], high[order], bits[order]
    once = np.ones(len(low), np.bool_)
    once[1:] = (low[1:] != low[:-1]) | (high[1:] != high[:-1])
    return NearPairs(low[once], high[once], bits[once], full)


def plan(width: int, radius: int, rows: int) -> tuple[Chunk, ...]:
    """The cheapest chunks for so many rows of random hashes; thresholds differ by one at most."""
    return min(
        (_chunks(width, radius, count) for count in range(1, radius + 2)),
        key=lambda chunks: _cost(chunks, rows),
    )


def _chunks(width: int, radius: int, count: int) -> tuple[Chunk, ...]:
    """`count` chunks of interleaved bits: neighbouring frequencies of a picture are alike."""
    base, more = divmod(radius + 1, count)
    return tuple(
        Chunk(tuple(range(i, width, count))[:MAX_WIDTH], base - 1 + (i < more))
        for i in range(count)
    )


def _cost(chunks: Sequence[Chunk], rows: int) -> float:
    total = 0.0
    for chunk in chunks:
        bits = len(chunk.positions)
        masks = sum(math.comb(bits, flips) for flips in range(chunk.threshold + 1))
        pairs = rows * rows / 2 * masks / 2**bits
        total += masks * (MASK_NS + rows / 2 * LOOKUP_NS) + pairs * PAIR_NS + 2**bits
    return total


def hamming(a_nw: Words, b_nw: Words) -> Bits:
    """Bits in which each row of one differs from the same row of the other, [n]."""
    bits: Bits = np.bitwise_count(a_nw ^ b_nw).sum(axis=-1, dtype=np.int16)
    return bits


Found = tuple[Rows, Rows, Bits]


def _self_pairs(
    codes: Words, radius: int, per_row: int, threads: int
) -> tuple[Rows, Rows, Bits, int]:
    n = len(codes)
    if n <= BRUTE_ROWS:
        return (*_joined(list(_compared(codes, codes, radius, ordered=True))), 0)
    return _indexed(codes, None, radius, per_row, threads)


def _cross_pairs(
    codes: Words, others: Words, radius: int, per_row: int, threads: int
) -> tuple[Rows, Rows, Bits, int]:
    if max(len(codes), len(others)) <= BRUTE_ROWS:
        return (*_joined(list(_compared(codes, others, radius, ordered=False))), 0)
    return _indexed(codes, others, radius, per_row, threads)


def _indexed(
    codes: Words, others: Words | None, radius: int, per_row: int, threads: int
) -> tuple[Rows, Rows, Bits, int]:
    """The first chunk alone: the crowds it finds are left out of all others, whatever the order."""
    base = codes if others is None else others
    chunks = plan(64 * codes.shape[1], radius, len(base))
    keys = [_keys(codes, chunk) for chunk in chunks]
    theirs = keys if others is None else [_keys(base, chunk) for chunk in chunks]
    search = _Search(codes, base, keys, theirs, chunks, radius, per_row, same=others is None)
    degree = np.zeros(len(codes), np.int32), np.zeros(len(base), np.int32)
    found = [search.chunk(0, *degree)]
    with ThreadPoolExecutor(threads, thread_name_prefix="candidates") as pool:
        rest = pool.map(
            lambda i: search.chunk(i, degree[0].copy(), degree[1].copy()), range(1, len(chunks))
        )
        found += list(rest)
    first, second, bits = _joined(found)
    partners = np.bincount(first, minlength=len(codes))
    if others is None:
        partners = partners + np.bincount(second, minlength=len(codes))
    return first, second, bits, int((partners >= per_row).sum())


class _Search:
    """Finds the pairs that agree on one chunk and on no chunk before it."""

    def __init__(
        self,
        codes: Words,
        base: Words,
        keys: list[NDArray[np.uint32]],
        theirs: list[NDArray[np.uint32]],
        chunks: Sequence[Chunk],
        radius: int,
        per_row: int,
        *,
        same: bool,
    ) -> None:
        self._codes, self._base = codes, base
        self._keys, self._theirs = keys, theirs
        self._chunks, self._radius, self._per_row, self._same = chunks, radius, per_row, same

    def chunk(self, number: int, mine: Rows, theirs: Rows) -> Found:
        """Pairs of one chunk; rows that have enough partners in `mine`, `theirs` meet no other."""
        chunk = self._chunks[number]
        left = _Buckets(self._keys[number], np.flatnonzero(mine < self._per_row))
        right = left
        if not self._same:
            right = _Buckets(self._theirs[number], np.flatnonzero(theirs < self._per_row))
        slots = right.table(len(chunk.positions))
        degrees = mine, (mine if self._same else theirs)
        found: list[Found] = []
        for mask in _masks(len(chunk.positions), chunk.threshold):
            for at, to in self._meetings(left, right, slots, mask):
                pairs = self._checked(number, at, to, degrees)
                if len(pairs[0]):
                    np.add.at(degrees[0], pairs[0], 1)
                    np.add.at(degrees[1], pairs[1], 1)
                    found.append(pairs)
        return _joined(found)

    def _meetings(
        self, left: _Buckets, right: _Buckets, slots: Rows, mask: int
    ) -> Iterator[tuple[Rows, Rows]]:
        """Rows whose chunks differ by `mask`, in slices; each pair of one table once."""
        keys = left.keys
        if mask == 0 and self._same:
            yield from left.inside()
            return
        if self._same:
            at = np.flatnonzero(keys & np.uint32(1 << (mask.bit_length() - 1)) == 0)
        else:
            at = np.arange(len(keys))
        to = slots[keys[at] ^ np.uint32(mask)]
        there = to >= 0
        yield from _slices(left, right, at[there], to[there])

    def _checked(self, number: int, at: Rows, to: Rows, degrees: tuple[Rows, Rows]) -> Found:
        crowded = (degrees[0][at] >= self._per_row) & (degrees[1][to] >= self._per_row)
        if crowded.any():
            at, to = at[~crowded], to[~crowded]
        bits = np.zeros(len(at), np.int16)
        # Half a hash tells nearly all strangers apart; the rest is read for the others only.
        words = self._codes.shape[1]
        for some in (range(0, (words + 1) // 2), range((words + 1) // 2, words)):
            for word in some:
                bits += np.bitwise_count(self._codes[at, word] ^ self._base[to, word])
            near = bits <= self._radius
            at, to, bits = at[near], to[near], bits[near]
        for earlier in range(number):
            apart = np.bitwise_count(self._keys[earlier][at] ^ self._theirs[earlier][to])
            new = apart > self._chunks[earlier].threshold
            at, to, bits = at[new], to[new], bits[new]
        return at.astype(np.int32), to.astype(np.int32), bits


class _Buckets:
    """Rows sorted by the value of a chunk."""

    def __init__(self, keys: NDArray[np.uint32], rows: NDArray[np.int64]) -> None:
        mine = keys[rows]
        order = np.argsort(mine, kind="stable")
        self.rows = rows[order].astype(np.int32)
        ordered = mine[order]
        new = np.ones(len(ordered), np.bool_)
        new[1:] = ordered[1:] != ordered[:-1]
        self.starts = np.flatnonzero(new).astype(np.int32)
        self.counts = np.diff(np.append(self.starts, len(ordered))).astype(np.int32)
        self.keys = ordered[self.starts]

    def table(self, width: int) -> Rows:
        """Number of the bucket of every value of the chunk, -1 where there is none."""
        slots = np.full(1 << width, -1, np.int32)
        slots[self.keys] = np.arange(len(self.keys), dtype=np.int32)
        return slots

    def inside(self) -> Iterator[tuple[Rows, Rows]]:
        """Each row with the rows after it in its bucket, WINDOW at most."""
        many = np.flatnonzero(self.counts > 1)
        counts = self.counts[many]
        rows = _ranges(self.starts[many], counts)
        ends = np.repeat(self.starts[many] + counts, counts)
        lengths = np.minimum(ends - rows - 1, WINDOW)
        for part in _cuts(lengths):
            at = np.repeat(rows[part], lengths[part])
            to = _ranges(rows[part] + 1, lengths[part])
            yield self.rows[at], self.rows[to]


def _slices(
    left: _Buckets, right: _Buckets, at: NDArray[np.int64], to: Rows
) -> Iterator[tuple[Rows, Rows]]:
    """Each row of the buckets `at` with the rows of the bucket beside it in `to`."""
    rows = _ranges(left.starts[at], left.counts[at])
    starts = np.repeat(right.starts[to], left.counts[at])
    lengths = np.minimum(np.repeat(right.counts[to], left.counts[at]), WINDOW)
    for part in _cuts(lengths):
        a = np.repeat(rows[part], lengths[part])
        b = _ranges(starts[part], lengths[part])
        yield left.rows[a], right.rows[b]


def _cuts(lengths: NDArray[np.int32]) -> Iterator[slice]:
    """Slices of rows whose lengths sum up to about CHECKED each."""
    if not len(lengths):
        return
    ends = np.cumsum(lengths, dtype=np.int64)
    start = 0
    while start < len(lengths):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + CHECKED, side="right")))
        yield slice(start, stop)
        start = stop


def _ranges(starts: NDArray[np.int32], counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """start, start + 1, ... of every range, one after the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    shift = np.repeat(starts - (ends - counts), counts)
    result: NDArray[np.int32] = (np.arange(total) + shift).astype(np.int32)
    return result


def _masks(width: int, threshold: int) -> Iterator[int]:
    for flips in range(threshold + 1):
        for bits in combinations(range(width), flips):
            yield sum(1 << bit for bit in bits)


def _keys(codes: Words, chunk: Chunk) -> NDArray[np.uint32]:
    keys = np.zeros(len(codes), np.uint32)
    for place, position in enumerate(chunk.positions):
        word, bit = divmod(position, 64)
        keys |= ((codes[:, word] >> np.uint64(bit)) & np.uint64(1)).astype(np.uint32) << place
    return keys


def _compared(a: Words, b: Words, radius: int, *, ordered: bool) -> Iterator[Found]:
    block = max(1, CHECKED // max(1, len(b)))
    for start in range(0, len(a), block):
        bits = np.bitwise_count(a[start : start + block, None] ^ b[None]).sum(-1, dtype=np.int16)
        at, to = np.nonzero(bits <= radius)
        near = bits[at, to]
        at = at + start
        if ordered:
            later = to > at
            at, to, near = at[later], to[later], near[later]
        yield at.astype(np.int32), to.astype(np.int32), near


def _joined(found: Sequence[Found]) -> Found:
    if not found:
        none = _none()
        return none.first, none.second, none.bits
    first, second, bits = (np.concatenate(part) for part in zip(*found, strict=True))
    return first, second, bits


def _none() -> NearPairs:
    rows = np.zeros(0, np.int32)
    return NearPairs(rows, rows, np.zeros(0, np.int16))
