"""What every index kind offers. Effort and filters travel in the call, never as shared state."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

FloatMatrix = NDArray[np.float32]
Ids = NDArray[np.int64]


class Index(Protocol):
    """Inner-product search over unit-norm vectors with dense integer ids."""

    @property
    def kind(self) -> str:
        """Its name in the registry."""

    @property
    def dim(self) -> int:
        """Dimension of its vectors."""

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
        allowed: NDArray[np.bool_] | None = None,
    ) -> tuple[FloatMatrix, Ids]:
        """Scores and ids, both [n, k], best first, padded with -inf and -1.

        `effort` is nprobe for inverted files (None: the effort calibrated at build), ignored by
        exact kinds. `allowed` is a mask over ids; only ids whose entry is True may be returned.
        """

    def save(self, path: Path) -> None:
        """Write one file; the caller renames or uploads it."""

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False) -> Index:
        """Read what save wrote; IndexCorruptError if it is truncated or of another kind."""
