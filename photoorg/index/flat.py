"""Exact search over vectors stored flat, in float16 or float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from photoorg.errors import ConfigError
from photoorg.index import faiss_io, seal
from photoorg.index.base import FloatMatrix, Ids, Mask

KIND = "flat"


class FlatIndex:
    """Every vector compared with every query; ids must be 0, 1, 2, ... in the order of adding.

    `factory` is "SQfp16" (2 bytes a value: vectors are stored as float16 elsewhere too, so nothing
    is lost) or "Flat" (float32).
    """

    def __init__(self, dim: int, factory: str = "SQfp16") -> None:
        faiss = faiss_io.library()

        if factory == "SQfp16":
            sq = faiss.ScalarQuantizer.QT_fp16
            self._index = faiss.IndexScalarQuantizer(dim, sq, faiss.METRIC_INNER_PRODUCT)
            self._index.is_trained = True
        elif factory == "Flat":
            self._index = faiss.IndexFlatIP(dim)
        else:
            raise ConfigError(
                f"A flat index cannot be made from {factory!r}.", fix='Use "SQfp16" or "Flat".'
            )
        self._mapped = False

    @property
    def kind(self) -> str:
        """The registry name, "flat"."""
        return KIND

    @property
    def dim(self) -> int:
        """Dimension of its vectors."""
        return int(self._index.d)

    @property
    def exact(self) -> bool:
        """True: its scores are final."""
        return True

    @property
    def max_effort(self) -> int:
        """1: everything is looked at."""
        return 1

    @property
    def faiss(self) -> Any:
        """The FAISS index beneath."""
        return self._index

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def train(self, x_nd: FloatMatrix) -> None:
        """Nothing to learn."""

    def add(self, ids_n: Ids, x_nd: FloatMatrix) -> None:
        """Append vectors; ids go on from len(self) without gaps."""
        assert not self._mapped, "a mapped index is read-only"
        assert np.array_equal(ids_n, np.arange(len(self), len(self) + len(ids_n))), "dense ids"
        if len(x_nd):
            self._index.add(faiss_io.rows_of(x_nd, self.dim))

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

    def search_parameters(self, effort: int | None, allowed: Mask | Any | None) -> Any:
        """A selector where there is a mask, else None; effort means nothing here."""
        faiss = faiss_io.library()

        if allowed is None:
            return None
        return faiss.SearchParameters(sel=faiss_io.selector(allowed))

    def share(self, other: Self) -> None:
        """Nothing to share."""

    def memory_bytes(self) -> int:
        """Bytes of the vectors, 0 where they are mapped."""
        return 0 if self._mapped else int(self._index.sa_code_size()) * len(self)

    def save(self, path: Path, *, space: str = "") -> seal.Seal:
        """Write one sealed file."""
        return faiss_io.write(self._index, path, part="base", kind=KIND, space=space)

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False, verify: bool = True) -> Self:
        """Read or map what save wrote."""
        found = seal.check(path, part="base", kind=KIND, verify=verify)
        index = cls.__new__(cls)
        index._index = faiss_io.read(path, found, mmap=mmap)
        index._mapped = mmap
        return index
