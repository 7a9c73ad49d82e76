"""RowLists: rows of the delta in inverted lists, so that many of them do not slow queries down."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Mask

ROWS_PER_LIST = 80
TRAIN_PER_LIST = 20
ITERATIONS = 6
CODE_ITERATIONS = 8
CODES = 256
"""4-bit codes a row, fewer where there are fewer dimensions."""
PROBES = 12
LOOK_AT = 8
"""Rows looked at for each result, at least."""
CANDIDATES = 3
"""Rows given for each result: scores of so short codes only say which are worth a second look."""
LEAST = 60


class RowLists:
    """Rows 0..n-1 by their nearest centroid, as short codes; never changed: searches need no lock.

    Product quantization with 4-bit fast scan (Andre et al., VLDB 2015), as in a base shard, but
    with its own centroids, about one list for 80 rows, so that it fits what came, whatever that is.
    """

    def __init__(self, index: Any, trained_on: int) -> None:
        self._index = index
        self._nlist = int(index.nlist)
        self._rows = int(index.ntotal)
        self.trained_on = trained_on

    def __len__(self) -> int:
        return self._rows

    @classmethod
    def train(cls, x_nd: FloatMatrix) -> RowLists:
        """Learn centroids and codes from a sample of the rows and file all of them."""
        faiss = faiss_io.library()

        faiss_io.use_threads(1)
        n, dim = x_nd.shape
        nlist = max(1, n // ROWS_PER_LIST)
        codes = next(m for m in range(min(CODES, dim), 0, -1) if dim % m == 0)
        index = faiss.index_factory(dim, f"IVF{nlist},PQ{codes}x4fs", faiss.METRIC_INNER_PRODUCT)
        index.cp.niter = ITERATIONS
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = TRAIN_PER_LIST
        index.pq.cp.niter = CODE_ITERATIONS
        index.pq.cp.min_points_per_centroid = 1
        step = max(1, n // max(1_024, TRAIN_PER_LIST * nlist))
        index.train(np.ascontiguousarray(x_nd[::step]))
        index.add(np.ascontiguousarray(x_nd))
        return cls(index, n)

    def extended(self, x_nd: FloatMatrix) -> RowLists:
        """A copy with further rows filed under the same centroids."""
        faiss = faiss_io.library()

        faiss_io.use_threads(1)
        index = faiss.clone_index(self._index)
        index.add(np.ascontiguousarray(x_nd))
        return RowLists(index, self.trained_on)

    def search(self, x_nd: FloatMatrix, k: int, live: Mask) -> list[NDArray[np.int64]]:
        """Per query live rows among which the k nearest very probably are, in no certain order."""
        faiss = faiss_io.library()

        faiss_io.use_threads(1)
        n = self._rows
        probes = max(PROBES, math.ceil(LOOK_AT * k * self._nlist / max(1, n)))
        parameters = faiss.SearchParametersIVF(nprobe=min(self._nlist, probes))
        if not live[:n].all():
            parameters = faiss.SearchParametersIVF(
                nprobe=parameters.nprobe, sel=faiss_io.selector(live[:n])
            )
        wanted = min(max(LEAST, CANDIDATES * k), n)
        _, rows_nk = self._index.search(np.ascontiguousarray(x_nd), wanted, params=parameters)
        return [rows_k[rows_k >= 0] for rows_k in rows_nk]

    def memory_bytes(self) -> int:
        """Bytes of codes, ids and centroids."""
        size = int(self._index.code_size) + 8
        return len(self) * size + 4 * self._nlist * int(self._index.d)
