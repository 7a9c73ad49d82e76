"""A random sample of a stream that does not depend on its order, and can be merged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.index.base import FloatMatrix, PhotoKeys
from photoorg.index.photo_ids import as_keys, comparable
from photoorg.index.rescore import unit

MIX = np.array(
    [0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB, 0xD6E8FEB86659FD93], np.uint64
)


class Sample:
    """At most `size` photos: those whose hashed ids are smallest (bottom-k sampling).

    Any split of the same photos over tasks, in any order, merges to the same sample. Vectors are
    kept as float16, as they are stored: `views` of them side by side for each photo. With `share`
    below 1 only ids whose hash lies in that lowest part are looked at: a task that sees a part of
    the photos then sends no more than its part of the sample.
    """

    def __init__(self, size: int, dim: int, *, views: int = 1, share: float = 1.0) -> None:
        self._size = size
        self._bound = np.uint64(min(int(share * 2**64), 2**64 - 1))
        self._dim = dim
        self.keys: PhotoKeys = np.zeros((0, 32), np.uint8)
        self._rank = np.zeros(0, np.uint64)
        self._x_nd = np.zeros((0, dim * views), np.float16)

    def __len__(self) -> int:
        return len(self._rank)

    @property
    def x_nd(self) -> FloatMatrix:
        """Unit-norm vectors [n * views, dim] in the order of the ids' hashes, photo by photo."""
        return unit(self._x_nd.reshape(-1, self._dim).astype(np.float32))

    def add(self, photo_ids: Sequence[str] | PhotoKeys, x_nd: NDArray[Any]) -> None:
        """Offer rows."""
        keys = as_keys(photo_ids)
        rank = _rank(keys)
        offered = rank <= self._bound
        keys, rank, x_nd = keys[offered], rank[offered], x_nd[offered]
        if len(self) == self._size and len(self):
            low = rank <= self._rank[-1]
            keys, rank, x_nd = keys[low], rank[low], x_nd[low]
        sound = np.isfinite(x_nd).all(axis=1)
        self._take(keys[sound], rank[sound], np.asarray(x_nd[sound], np.float16))

    def merge(self, other: Sample) -> None:
        """Take in the sample of another part of the photos."""
        self._take(other.keys, other._rank, other._x_nd)

    def _take(self, keys: PhotoKeys, rank: NDArray[np.uint64], x_nd: NDArray[np.float16]) -> None:
        if len(rank) == 0:
            return
        keys = np.concatenate([self.keys, keys])
        rank = np.concatenate([self._rank, rank])
        x_nd = np.concatenate([self._x_nd, x_nd])
        # Later rows of a photo replace earlier ones: order by hash, then by time backwards.
        order = np.lexsort((-np.arange(len(rank)), comparable(keys), rank))
        names = comparable(keys)[order]
        first = np.ones(len(order), np.bool_)
        first[1:] = names[1:] != names[:-1]
        order = order[first][: self._size]
        self.keys, self._rank, self._x_nd = keys[order], rank[order], x_nd[order]


def _rank(keys: PhotoKeys) -> NDArray[np.uint64]:
    """All four words of an id mixed (splitmix64's finaliser): ids need not be random themselves."""
    words_n4 = np.ascontiguousarray(keys).view("<u8").reshape(-1, 4)
    h = (words_n4 * MIX).sum(axis=1, dtype=np.uint64)
    h = (h ^ (h >> np.uint64(30))) * MIX[1]
    h = (h ^ (h >> np.uint64(27))) * MIX[2]
    return np.asarray(h ^ (h >> np.uint64(31)), np.uint64)
