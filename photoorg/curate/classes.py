"""Equal hashes as one: ten thousand copies of a hash are looked up once and paired as a star."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Rows = NDArray[np.int32]
Bits = NDArray[np.int16]

EXPANDED = 64
"""Two classes of equal hashes are paired member by member up to so many pairs, else by their first
members."""


class Classes:
    """Equal hashes collapsed: `codes` are the distinct ones, each standing for its rows."""

    def __init__(self, codes_nw: Words) -> None:
        self._order = np.lexsort(codes_nw.T[::-1]).astype(np.int32)
        ordered = codes_nw[self._order]
        new = np.ones(len(ordered), np.bool_)
        new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
        self._starts = np.flatnonzero(new)
        self._counts = np.diff(np.append(self._starts, len(ordered)))
        self.codes = np.ascontiguousarray(ordered[self._starts])

    def expanded(self, a: Rows, b: Rows, bits: Bits) -> tuple[Rows, Rows, Bits]:
        """Pairs of classes as pairs of rows, and the pairs inside each class."""
        first, second, between = across(self, self, a, b, bits)
        inside = [self._inside(int(c)) for c in np.flatnonzero(self._counts > 1)]
        left = [pair[0] for pair in inside]
        right = [pair[1] for pair in inside]
        equal = np.zeros(sum(map(len, left)), np.int16)
        return (
            np.concatenate([first, *left]),
            np.concatenate([second, *right]),
            np.concatenate([between, equal]),
        )

    def rows(self, number: int) -> Rows:
        """The rows of a class, ascending."""
        start = self._starts[number]
        return self._order[start : start + self._counts[number]]

    def heads(self, numbers: Rows) -> Rows:
        """The first row of each class."""
        return self._order[self._starts[numbers]]

    def sizes(self, numbers: Rows) -> NDArray[np.int64]:
        """How many rows each class has."""
        return self._counts[numbers]

    def _inside(self, number: int) -> tuple[Rows, Rows]:
        rows = self.rows(number)
        if len(rows) * (len(rows) - 1) // 2 <= EXPANDED // 2:
            at, to = np.triu_indices(len(rows), 1)
            return rows[at], rows[to]
        return np.full(len(rows) - 1, rows[0]), rows[1:]


def across(left: Classes, right: Classes, a: Rows, b: Rows, bits: Bits) -> tuple[Rows, Rows, Bits]:
    """Pairs of classes of two lists as pairs of rows."""
    products = left.sizes(a) * right.sizes(b)
    single = products == 1
    first, second = [left.heads(a[single])], [right.heads(b[single])]
    between = [bits[single]]
    for i in np.flatnonzero(~single):
        mine, theirs = left.rows(int(a[i])), right.rows(int(b[i]))
        if products[i] <= EXPANDED:
            x, y = np.repeat(mine, len(theirs)), np.tile(theirs, len(mine))
        else:
            x = np.concatenate([np.full(len(theirs), mine[0]), mine[1:]])
            y = np.concatenate([theirs, np.full(len(mine) - 1, theirs[0])])
        first.append(x)
        second.append(y)
        between.append(np.full(len(x), bits[i]))
    return np.concatenate(first), np.concatenate(second), np.concatenate(between)
