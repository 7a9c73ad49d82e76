"""What every index kind offers. Effort and filters travel in the call, never as shared state."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from photoorg.index.seal import Seal

FloatMatrix = NDArray[np.float32]
Ids = NDArray[np.int64]
Mask = NDArray[np.bool_]
PhotoKeys = NDArray[np.uint8]
"""Photo ids as raw sha256 digests, shape [n, 32]."""


class Index(Protocol):
    """Inner-product search over unit-norm vectors with dense integer ids."""

    @property
    def kind(self) -> str:
        """Its name in the registry."""

    @property
    def dim(self) -> int:
        """Dimension of its vectors."""

    @property
    def exact(self) -> bool:
        """Whether its scores need no second look; else a shard re-scores its candidates."""

    @property
    def max_effort(self) -> int:
        """The effort at which everything is looked at: the number of lists, 1 for exact kinds."""

    @property
    def faiss(self) -> Any:
        """The FAISS index beneath, to be read and searched but never changed."""

    def __len__(self) -> int:
        """How many vectors it holds."""

    def train(self, x_nd: FloatMatrix) -> None:
        """Learn quantizers from a sample; a no-op for kinds that learn nothing."""

    def add(self, ids_n: Ids, x_nd: FloatMatrix) -> None:
        """Add unit-norm vectors under their ids."""

    def search(
        self,
        x_nd: FloatMatrix,
        k: int,
        *,
        effort: int | None = None,
        allowed: Mask | Any | None = None,
    ) -> tuple[FloatMatrix, Ids]:
        """Scores and ids, both [n, k], best first, padded with -inf and -1.

        `effort` is nprobe for inverted files (None: the effort calibrated at build), ignored by
        exact kinds. `allowed` is a mask over ids, of which only those whose entry is True may be
        returned, or a FAISS selector made of one.
        """

    def search_parameters(self, effort: int | None, allowed: Mask | Any | None) -> Any:
        """The same two choices as a FAISS object for one call."""

    def share(self, other: Self) -> None:
        """Give up its own centroids for another shard's equal ones, to hold them in memory once."""

    def memory_bytes(self) -> int:
        """Bytes of codes, ids, quantizers and rotations held in memory; mapped files are not."""

    def save(self, path: Path, *, space: str = "") -> Seal:
        """Write one sealed file and return its seal; the caller renames or uploads it."""

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False, verify: bool = True) -> Index:
        """Read what save wrote; IndexCorruptError if it is truncated, altered or another kind's."""
