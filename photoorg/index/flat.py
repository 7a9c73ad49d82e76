"""Exact search over vectors stored flat, in float16 or float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import numpy as np

from photoorg.errors import ConfigError
from photoorg.index import faiss_io, seal
from photoorg.index.base import FloatMatrix, Ids, Mask
from photoorg.index.faiss_index import FaissIndex


class FlatIndex(FaissIndex):
    """Every vector compared with every query; ids must be 0, 1, 2, ... in the order of adding.

    `factory` is "SQfp16" (2 bytes a value: vectors are stored as float16 elsewhere too, so nothing
    is lost) or "Flat" (float32).
    """

    kind = "flat"
    exact = True

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
    def max_effort(self) -> int:
        """1: everything is looked at."""
        return 1

    def train(self, x_nd: FloatMatrix) -> None:
        """Nothing to learn."""

    def add(self, ids_n: Ids, x_nd: FloatMatrix) -> None:
        """Append vectors; ids go on from len(self) without gaps."""
        assert not self._mapped, "a mapped index is read-only"
        assert np.array_equal(ids_n, np.arange(len(self), len(self) + len(ids_n))), "dense ids"
        if len(x_nd):
            self._index.add(faiss_io.rows_of(x_nd, self.dim))

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

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False, verify: bool = True) -> Self:
        """Read or map what save wrote."""
        found = seal.check(path, part="base", kind=cls.kind, verify=verify)
        index = cls.__new__(cls)
        index._index = faiss_io.read(path, found, mmap=mmap)
        index._mapped = mmap
        return index
