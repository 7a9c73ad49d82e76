"""What every index kind over one FAISS object shares."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from photoorg.index import faiss_io, seal
from photoorg.index.base import FloatMatrix, Ids, Mask


class FaissIndex(ABC):
    """The part of an Index that is the same whatever FAISS object lies beneath."""

    kind: str
    exact: bool
    _index: Any

    @property
    def dim(self) -> int:
        """Dimension of its vectors."""
        return int(self._index.d)

    @property
    def faiss(self) -> Any:
        """The FAISS index beneath."""
        return self._index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(
        self,
        x_nd: FloatMatrix,
        k: int,
        *,
        effort: int | None = None,
        allowed: Mask | Any | None = None,
    ) -> tuple[FloatMatrix, Ids]:
        """Scores and ids, both [n, k]; see Index.search."""
        return faiss_io.search(self._index, x_nd, k, self.search_parameters(effort, allowed))

    @abstractmethod
    def search_parameters(self, effort: int | None, allowed: Mask | Any | None) -> Any:
        """Effort and mask as FAISS takes them for one call."""

    def save(self, path: Path, *, space: str = "") -> seal.Seal:
        """Write one sealed file."""
        return faiss_io.write(self._index, path, part="base", kind=self.kind, space=space)
