"""Photo ids as raw sha256 digests: parsing, slots, and the sorted id file of a shard."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import InputError
from photoorg.index import seal
from photoorg.index.base import Ids, PhotoKeys

BYTES = 32


def as_keys(photo_ids: Sequence[str] | PhotoKeys) -> PhotoKeys:
    """Hex ids (or digests already, [n, 32]) as digests; InputError for anything else."""
    if isinstance(photo_ids, np.ndarray) and photo_ids.dtype == np.uint8:
        if photo_ids.ndim != 2 or photo_ids.shape[1] != BYTES:
            raise InputError(f"Photo keys have shape [n, {BYTES}], not {list(photo_ids.shape)}.")
        return photo_ids
    wrong = next((i for i in photo_ids if len(i) != 2 * BYTES), None)
    try:
        if wrong is not None:
            raise ValueError(wrong)
        raw = bytes.fromhex("".join(photo_ids))
        if len(raw) != BYTES * len(photo_ids):
            raise ValueError("white space inside an id")
    except ValueError as error:
        raise InputError(
            f"Not a photo id: {error}.", fix="A photo id is 64 hex digits, the sha256 of its bytes."
        ) from None
    return np.frombuffer(raw, np.uint8).reshape(-1, BYTES)


def hex_ids(keys_n32: PhotoKeys) -> list[str]:
    """Digests as lower-case hex."""
    text = np.ascontiguousarray(keys_n32).tobytes().hex()
    return [text[i : i + 2 * BYTES] for i in range(0, len(text), 2 * BYTES)]


def slot_of(keys_n32: PhotoKeys, shards: int) -> NDArray[np.int64]:
    """The shard slot of each photo: its first 8 bytes, big-endian, modulo the number of shards."""
    heads = np.ascontiguousarray(keys_n32[:, :8]).view(">u8").reshape(-1)
    return (heads % np.uint64(shards)).astype(np.int64)


def sort_order(keys_n32: PhotoKeys) -> Ids:
    """Row numbers in ascending id order, the last row of each id kept."""
    names = comparable(keys_n32)
    order = np.argsort(names, kind="stable").astype(np.int64)
    ordered = names[order]
    last = np.ones(len(order), np.bool_)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]


def comparable(keys_n32: PhotoKeys) -> NDArray[np.bytes_]:
    """The digests as one sortable scalar each, [n]; shares memory where it can."""
    return np.ascontiguousarray(keys_n32).view(f"S{BYTES}").reshape(-1)


def names_of(photo_ids: Sequence[str]) -> NDArray[np.bytes_]:
    """Hex ids as sortable scalars [n], in the order given; of none, too."""
    return comparable(as_keys(photo_ids)) if photo_ids else np.zeros(0, f"S{BYTES}")


def contains(sorted_n: NDArray[np.bytes_], wanted_m: NDArray[np.bytes_]) -> NDArray[np.bool_]:
    """For each of the wanted whether it is among the sorted, [m]."""
    if not len(sorted_n):
        return np.zeros(len(wanted_m), bool)
    at = np.minimum(np.searchsorted(sorted_n, wanted_m), len(sorted_n) - 1)
    return np.asarray(sorted_n[at] == wanted_m)


class PhotoIds:
    """The sorted ids of a shard, mapped from its file: row -> id, id -> row by binary search."""

    def __init__(self, keys_n32: PhotoKeys) -> None:
        self.keys = keys_n32
        self._names = comparable(keys_n32)

    @classmethod
    def write(cls, path: Path, sorted_n32: PhotoKeys, *, space: str) -> seal.Seal:
        """Write ascending ids to a sealed file."""
        np.ascontiguousarray(sorted_n32).tofile(path)
        return seal.close(
            path, part="ids", kind="sha256", space=space, dim=BYTES, rows=len(sorted_n32)
        )

    @classmethod
    def open(cls, path: Path, rows: int) -> PhotoIds:
        """Map a file whose seal was checked."""
        if rows == 0:
            return cls(np.zeros((0, BYTES), np.uint8))
        return cls(np.asarray(np.memmap(path, np.uint8, "r", shape=(rows, BYTES))))

    def __len__(self) -> int:
        return len(self._names)

    def rows(self, keys_n32: PhotoKeys) -> Ids:
        """The row of each id, -1 where it is not here."""
        if len(self) == 0:
            return np.full(len(keys_n32), -1, np.int64)
        wanted = comparable(keys_n32)
        at = np.minimum(np.searchsorted(self._names, wanted), len(self) - 1)
        return np.where(self._names[at] == wanted, at, -1).astype(np.int64)

    def hex(self, rows_n: Ids) -> list[str]:
        """The ids of rows."""
        return hex_ids(self.keys[rows_n])
