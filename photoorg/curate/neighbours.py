"""Nearest photos by embedding: candidates that hashes cannot give, such as crops."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photoorg.config import IndexConfig
from photoorg.index.build import Batch, build_local
from photoorg.index.shard import Shard, open_shard
from photoorg.space import EmbeddingSpace
from photoorg.views import ONE

Floats = NDArray[np.float64]
Rows = NDArray[np.int32]
QUERIES = 1_000
STRANGERS = 20_000


class Neighbours:
    """Vectors of photos in an index of their own, to be asked by row of a list of photos.

    `row_n` gives the index row of each photo, -1 where it has no vector.
    """

    def __init__(self, shard: Shard, keys_n32: NDArray[np.uint8]) -> None:
        self._shard = shard
        self._row_n = shard.ids.rows(keys_n32)
        self._photo_m = np.full(len(shard), -1, np.int32)
        known = np.flatnonzero(self._row_n >= 0)
        self._photo_m[self._row_n[known]] = known
        self._typical = self._of_strangers()

    @classmethod
    def build(
        cls,
        batches: Iterable[Batch],
        keys_n32: NDArray[np.uint8],
        space: EmbeddingSpace,
        config: IndexConfig,
        folder: Path,
    ) -> Neighbours:
        """Index the vectors [n, dim] of whole photos in `folder`.

        Exactly while they are few, by an inverted file else.
        """
        single = config.model_copy(update={"shards": 1})
        whole = replace(space, views=ONE)
        manifest = build_local(batches, folder, whole, single, version="duplicates")
        return cls(open_shard(folder, manifest, 0, threads=config.threads or 1), keys_n32)

    def over(self, keys_n32: NDArray[np.uint8]) -> Neighbours:
        """The same vectors for another list of photos."""
        return Neighbours(self._shard, keys_n32)

    def pairs(self, k: int, least: float) -> tuple[Rows, Rows]:
        """Each photo with those of its k nearest that are above strangers by `least` (0..1).

        Every pair once, first < second.
        """
        codes = [np.zeros(0, np.int64)]
        queries = np.flatnonzero(self._row_n >= 0)
        n = len(self._row_n)
        for start in range(0, len(queries), QUERIES):
            photos = queries[start : start + QUERIES]
            x_nd = self._shard.vectors(self._row_n[photos])
            scores, rows = self._shard.search(x_nd, min(k + 1, len(self._shard)))
            found = np.where(rows >= 0, self._photo_m[rows], -1)
            asked = np.broadcast_to(photos[:, None], found.shape)
            good = (found >= 0) & (found != asked) & (self._above(scores) >= least)
            a, b = asked[good], found[good]
            codes.append(np.minimum(a, b).astype(np.int64) * n + np.maximum(a, b))
        once = np.unique(np.concatenate(codes))
        return (once // max(n, 1)).astype(np.int32), (once % max(n, 1)).astype(np.int32)

    def nearest(self, x_nd: NDArray[np.float32], k: int) -> tuple[Rows, Floats]:
        """The k photos nearest to each vector of the same space: rows [n, k] and cosines.

        Cosines are above strangers as in `cosines`; a row is -1 where there are fewer photos.
        """
        scores, rows = self._shard.search(x_nd, min(k, len(self._shard)))
        found = np.where(rows >= 0, self._photo_m[rows], -1)
        return found.astype(np.int32), self._above(scores)

    def cosines(self, first: Rows, second: Rows) -> Floats:
        """Cosine of each pair above that of strangers: 0 as two photos at random, 1 equal.

        NaN where one has no vector.
        """
        result = np.full(len(first), np.nan)
        known = np.flatnonzero((self._row_n[first] >= 0) & (self._row_n[second] >= 0))
        for start in range(0, len(known), QUERIES):
            part = known[start : start + QUERIES]
            a = self._shard.vectors(self._row_n[first[part]])
            b = self._shard.vectors(self._row_n[second[part]])
            result[part] = self._above(np.einsum("nd,nd->n", a, b))
        return result

    def _above(self, cosines: NDArray[np.floating]) -> Floats:
        above: Floats = (np.asarray(cosines, np.float64) - self._typical) / (1 - self._typical)
        return above

    def _of_strangers(self) -> float:
        """The median cosine of photos taken at random: each space has another."""
        n = len(self._shard)
        if n < 2:
            return 0.0
        rng = np.random.default_rng(0)
        some = np.sort(rng.integers(0, n, min(STRANGERS, 8 * n)))
        others = rng.permutation(some)
        cosines = [
            np.einsum(
                "nd,nd->n",
                self._shard.vectors(some[i : i + QUERIES]),
                self._shard.vectors(others[i : i + QUERIES]),
            )
            for i in range(0, len(some), QUERIES)
        ]
        apart = np.concatenate(cosines)[some != others]
        return min(0.99, float(np.median(apart))) if len(apart) else 0.0
