"""Two stages of a search: candidates by their codes, then the best of them by re-scoring."""

from __future__ import annotations

from typing import Any, Protocol

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Ids, Index, Mask
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.index.rescore import Rescorer

USUAL = 64
"""So many parameters of searches without a filter are kept: they cost as much as a small search."""


class Searcher(Protocol):
    """What a shard asks for its rows, wherever candidates are looked for."""

    def best(
        self,
        x_nd: FloatMatrix,
        k: int,
        *,
        wanted: int,
        effort: int,
        allowed: Mask | Any | None = None,
        lists: Ids | None = None,
    ) -> tuple[FloatMatrix, Ids]:
        """Scores and rows of the k best, both [n, k], best first; -inf and -1 pad.

        `wanted` candidates of the `effort` nearest lists are re-scored; exact kinds look at every
        row. `allowed` is a mask over rows or a FAISS selector, `lists` the only ones to look in.
        """


class CpuSearcher:
    """FAISS's own two stages: it only borrows both indices, which are kept alive here."""

    def __init__(self, index: Index, rescorer: Rescorer) -> None:
        faiss = faiss_io.library()

        self._index = index
        self._rescorer = rescorer
        self._stages = None if index.exact else faiss.IndexRefine(index.faiss, rescorer.faiss)
        self._usual: dict[tuple[int, float], Any] = {}

    def best(
        self,
        x_nd: FloatMatrix,
        k: int,
        *,
        wanted: int,
        effort: int,
        allowed: Mask | Any | None = None,
        lists: Ids | None = None,
    ) -> tuple[FloatMatrix, Ids]:
        """See Searcher."""
        if self._stages is None:
            return self._index.search(x_nd, k, allowed=allowed)
        rows = len(self._index)
        factor = max(1.0, min(wanted, rows) / max(1, min(k, rows)))
        if allowed is None and lists is None:
            parameters = self._usual.get((effort, factor))
            if parameters is None:
                parameters = self._parameters(effort, factor)
                if len(self._usual) < USUAL:
                    self._usual[effort, factor] = parameters
        else:
            parameters = self._parameters(effort, factor, allowed, lists)
        return faiss_io.search(self._stages, x_nd, k, parameters)

    def _parameters(
        self,
        effort: int,
        factor: float,
        allowed: Mask | Any | None = None,
        lists: Ids | None = None,
    ) -> Any:
        if lists is None:
            first = self._index.search_parameters(effort, allowed)
        else:
            assert isinstance(self._index, IvfPqIndex), "only inverted files have lists"
            first = self._index.search_parameters(effort, allowed, lists=lists)
        return faiss_io.library().IndexRefineSearchParameters(
            k_factor=factor, base_index_params=first
        )
