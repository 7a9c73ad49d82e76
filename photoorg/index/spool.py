"""Rows on their way into a shard: written as they come, read back in id order."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import InputError
from photoorg.index.base import FloatMatrix, PhotoKeys
from photoorg.index.photo_ids import as_keys, hex_ids, sort_order
from photoorg.index.rescore import unit

log = logging.getLogger(__name__)
BLOCK_VALUES = 8_000_000
"""Values held at once while reading back: 32 MB of float32."""


class Spool:
    """A temporary float16 file of one slot's vectors, with their ids in memory.

    A row is a photo: its vectors of `dim` values, `views` of them side by side.

    A context manager: the file goes when it is left. Memory is 32 bytes a row plus one block.
    """

    def __init__(self, path: Path, dim: int, *, views: int = 1) -> None:
        self.path = path
        self.dim = dim
        self._width = dim * views
        self.skipped = 0
        self._keys: list[PhotoKeys] = []
        self._file = path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self.path.unlink(missing_ok=True)

    def add(self, photo_ids: Sequence[str] | PhotoKeys, x_nd: NDArray[Any]) -> None:
        """Append rows; those with NaN or infinite values are skipped, counted and logged."""
        keys = as_keys(photo_ids)
        if x_nd.ndim != 2 or x_nd.shape != (len(keys), self._width):
            raise InputError(
                f"Vectors have shape {list(x_nd.shape)}, not {[len(keys), self._width]}.",
                fix="Every vector of a space has the space's dimension.",
            )
        sound = np.isfinite(x_nd).all(axis=1)
        if not sound.all():
            bad = hex_ids(keys[~sound])
            self.skipped += len(bad)
            log.warning("%d vectors are not finite and were left out, first %s", len(bad), bad[0])
            keys, x_nd = keys[sound], x_nd[sound]
        self._keys.append(keys.copy())
        self._file.write(np.ascontiguousarray(x_nd, dtype=np.float16).tobytes())

    def sorted(self) -> SortedRows:
        """All rows in ascending id order; the last row of a photo wins."""
        self._file.flush()
        keys = np.concatenate(self._keys) if self._keys else np.zeros((0, 32), np.uint8)
        order = sort_order(keys)
        if len(keys) == 0:
            return SortedRows(keys, order, np.zeros((0, self._width), np.float16), self.dim)
        x_nw = np.memmap(self.path, np.float16, "r", shape=(len(keys), self._width))
        return SortedRows(keys[order], order, x_nw, self.dim)


class SortedRows:
    """A spool's photos in id order: `keys` [n, 32], and their vectors block by block."""

    def __init__(
        self, keys: PhotoKeys, order: NDArray[np.int64], x_nw: NDArray[np.float16], dim: int
    ) -> None:
        self.keys = keys
        self._order = order
        self._x_nw = x_nw
        self._dim = dim

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def views(self) -> int:
        """How many vectors each photo has."""
        return int(self._x_nw.shape[1]) // self._dim

    def blocks(self) -> Iterator[FloatMatrix]:
        """Unit-norm float32 vectors [.., dim] in row order, those of a photo together."""
        rows = max(1, BLOCK_VALUES // self._x_nw.shape[1])
        for start in range(0, len(self), rows):
            x_nw = self._x_nw[self._order[start : start + rows]].astype(np.float32)
            yield unit(x_nw.reshape(-1, self._dim))
