"""FAISS objects to and from sealed files and bytes, with errors a person understands."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from photoorg.errors import IndexCorruptError
from photoorg.index import seal
from photoorg.index.base import FloatMatrix, Ids, Mask


@cache
def library() -> Any:
    """The faiss module, loaded on first use.

    Untyped on purpose: its stubs describe the C++ layer, not the Python one put on top of it.
    Waiting OpenMP threads sleep unless OMP_WAIT_POLICY says otherwise: by default they spin, and on
    a machine that others use too that made training 10 times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    import faiss

    return faiss


def write(index: Any, path: Path, *, part: str, kind: str, space: str) -> seal.Seal:
    """Write a FAISS index as the payload of a sealed file."""
    faiss = library()

    faiss.write_index(index, str(path))
    return seal.close(path, part=part, kind=kind, space=space, dim=index.d, rows=index.ntotal)


def read(path: Path, found: seal.Seal, *, mmap: bool) -> Any:
    """Read the payload of a sealed file, mapping what FAISS can map."""
    faiss = library()

    flags = faiss.IO_FLAG_MMAP_IFC if mmap else 0
    try:
        index = faiss.read_index(str(path), flags)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1]
        raise IndexCorruptError(f"{path} cannot be read: {reason}.", fix=seal.FIX) from None
    if (index.ntotal, index.d) != (found.rows, found.dim):
        raise IndexCorruptError(
            f"{path} holds {index.ntotal} vectors of {index.d} dimensions,"
            f" its seal says {found.rows} of {found.dim}.",
            fix=seal.FIX,
        )
    return index


def to_bytes(index: Any) -> bytes:
    """A FAISS index as bytes, to travel between processes."""
    faiss = library()

    return bytes(faiss.serialize_index(index).tobytes())


def from_bytes(data: bytes) -> Any:
    """Inverse of to_bytes."""
    faiss = library()

    return faiss.deserialize_index(np.frombuffer(data, np.uint8))


def selector(allowed_n: Mask | Any) -> Any:
    """A FAISS selector of the ids whose mask entry is True; it keeps its bits alive.

    A selector made before is given back as it is.
    """
    faiss = library()

    if isinstance(allowed_n, faiss.IDSelector):
        return allowed_n
    return faiss.IDSelectorBitmap(np.packbits(allowed_n, bitorder="little"))


def search(index: Any, x_nd: FloatMatrix, k: int, parameters: Any) -> tuple[FloatMatrix, Ids]:
    """The k best of a FAISS index: scores and ids, both [n, k], padded with -inf and -1."""
    x_nd = rows_of(x_nd, index.d)
    found = min(k, int(index.ntotal))
    if found == 0 or len(x_nd) == 0:
        return np.full((len(x_nd), k), -np.inf, np.float32), np.full((len(x_nd), k), -1, np.int64)
    scores, ids = index.search(x_nd, found, params=parameters)
    return padded(scores, ids, k)


def padded(scores: FloatMatrix, ids: Ids, k: int) -> tuple[FloatMatrix, Ids]:
    """Widen a result to k columns; places without a result become -inf and -1."""
    missing = ids < 0
    if missing.any():
        scores = np.where(missing, -np.inf, scores).astype(np.float32)
    if (short := k - ids.shape[1]) > 0:
        scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
        ids = np.pad(ids, ((0, 0), (0, short)), constant_values=-1)
    return scores, ids


def rows_of(x_nd: FloatMatrix, dim: int) -> FloatMatrix:
    """Contiguous float32 [n, dim], as FAISS wants it."""
    assert x_nd.ndim == 2 and x_nd.shape[1] == dim, f"vectors of shape [n, {dim}]"
    return np.ascontiguousarray(x_nd, dtype=np.float32)


def use_threads(threads: int | None) -> None:
    """Let FAISS calls of this thread use so many cores (None: all this process may run on).

    OpenMP keeps the number per calling thread, so nothing is changed for others.
    """
    faiss = library()

    faiss.omp_set_num_threads(threads or len(os.sched_getaffinity(0)))
