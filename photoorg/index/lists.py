"""RowLists: rows of the delta in inverted lists, so that many of them do not slow queries down."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Mask

ROWS_PER_LIST = 64
TRAIN_PER_LIST = 20
ITERATIONS = 6
PROBES = 8
LOOK_AT = 8
"""Rows looked at for each result, at least."""


class RowLists:
    """Rows 0..n-1 by their nearest centroid, as float16; never changed, so searches need no lock.

    Much smaller than a base shard and searched without a second look: about one list for 64 rows,
    of which a search reads eight or more.
    """

    def __init__(self, index: Any, trained_on: int) -> None:
        self._index = index
        self.trained_on = trained_on

    def __len__(self) -> int:
        return int(self._index.ntotal)

    @classmethod
    def train(cls, x_nd: FloatMatrix) -> RowLists:
        """Learn centroids from a sample of the rows and file all of them."""
        faiss = faiss_io.library()

        faiss_io.use_threads(1)
        n, dim = x_nd.shape
        nlist = max(1, n // ROWS_PER_LIST)
        quantizer = faiss.IndexFlatIP(dim)
        index = faiss.IndexIVFScalarQuantizer(
            quantizer,
            dim,
            nlist,
            faiss.ScalarQuantizer.QT_fp16,
            faiss.METRIC_INNER_PRODUCT,
            False,
        )
        # The quantizer goes by way of the index: Python must not free it first.
        quantizer.this.disown()
        index.own_fields = True
        index.cp.niter = ITERATIONS
        index.cp.min_points_per_centroid = 1
        index.cp.max_points_per_centroid = TRAIN_PER_LIST
        index.train(np.ascontiguousarray(x_nd))
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
        """Per query up to k live rows among the nearest, best first."""
        faiss = faiss_io.library()

        faiss_io.use_threads(1)
        n, nlist = len(self), int(self._index.nlist)
        rows_per_list = max(1.0, n / nlist)
        probes = max(PROBES, int(np.ceil(LOOK_AT * k / rows_per_list)))
        wanted: dict[str, Any] = {"nprobe": min(nlist, probes)}
        if not live[:n].all():
            wanted["sel"] = faiss_io.selector(live[:n])
        parameters = faiss.SearchParametersIVF(**wanted)
        _, rows_nk = self._index.search(np.ascontiguousarray(x_nd), min(k, n), params=parameters)
        return [rows_k[rows_k >= 0] for rows_k in rows_nk]

    def memory_bytes(self) -> int:
        """Bytes of codes, ids and centroids."""
        size = int(self._index.code_size) + 8
        return len(self) * size + 4 * int(self._index.nlist) * int(self._index.d)
