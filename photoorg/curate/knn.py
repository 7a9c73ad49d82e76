"""The nearest of unit vectors: exactly while pairs are few, by an inverted file beyond."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT_PAIRS = 20_000**2
"""About ten seconds of one core at 512 dimensions."""
PROBES = 24
ROUNDS = 8
TRAINED = 40
BLOCK = 1_024


def nearest(
    x_nd: Vectors, y_md: Vectors, k: int, exact_pairs: int = EXACT_PAIRS
) -> tuple[Floats, Ints]:
    """Distances [n, k] and rows [n, k] of the k nearest rows of y to each row of x, nearest first.

    Euclidean; k is at most m. Exact up to `exact_pairs` pairs; beyond, PROBES of 4 sqrt(m) inverted
    lists are looked into, and where these hold fewer than k rows the last one found stands again.
    Memory: a copy of y, and blocks of BLOCK x m.
    """
    k = min(k, len(y_md))
    if len(x_nd) * len(y_md) > exact_pairs:
        return _inverted(x_nd, y_md, k)
    return _exact(x_nd, y_md, k)


def neighbours(x_nd: Vectors, k: int, exact_pairs: int = EXACT_PAIRS) -> tuple[Floats, Ints]:
    """Distances and rows of each row's k nearest others [n, min(k, n - 1)], nearest first."""
    n = len(x_nd)
    k = min(k, n - 1)
    if k < 1:
        return np.zeros((n, 0)), np.zeros((n, 0), np.int64)
    distances, rows = nearest(x_nd, x_nd, k + 1, exact_pairs)
    own = rows == np.arange(n)[:, None]
    # Among many copies a row may not find itself, and may stand twice where few were found: of
    # each row exactly one goes.
    first = np.where(own.any(axis=1), own.argmax(axis=1), k)
    others = np.ones(own.shape, bool)
    others[np.arange(n), first] = False
    return distances[others].reshape(n, k), rows[others].reshape(n, k)


def _exact(x_nd: Vectors, y_md: Vectors, k: int) -> tuple[Floats, Ints]:
    distances = np.empty((len(x_nd), k))
    rows = np.empty((len(x_nd), k), np.int64)
    for start in range(0, len(x_nd), BLOCK):
        near = x_nd[start : start + BLOCK] @ y_md.T
        if k < len(y_md):
            best = np.argpartition(-near, k - 1, axis=1)[:, :k]
        else:
            best = np.broadcast_to(np.arange(k), (len(near), k))
        found = np.take_along_axis(near, best, axis=1)
        order = np.argsort(-found, axis=1, kind="stable")
        distances[start : start + BLOCK] = _euclidean(np.take_along_axis(found, order, axis=1))
        rows[start : start + BLOCK] = np.take_along_axis(best, order, axis=1)
    return distances, rows


def _inverted(x_nd: Vectors, y_md: Vectors, k: int) -> tuple[Floats, Ints]:
    import faiss

    m, dim = y_md.shape
    lists = max(1, min(int(4 * np.sqrt(m)), m // TRAINED))
    quantizer = faiss.IndexFlatIP(dim)
    index = faiss.IndexIVFFlat(quantizer, dim, lists, faiss.METRIC_INNER_PRODUCT)
    index.cp.niter = ROUNDS
    index.cp.max_points_per_centroid = TRAINED
    index.train(np.ascontiguousarray(y_md))
    index.add(np.ascontiguousarray(y_md))
    index.nprobe = min(PROBES, lists)
    cosines, rows = index.search(np.ascontiguousarray(x_nd), k)
    found = np.maximum.accumulate(np.where(rows >= 0, np.arange(k), 0), axis=1)
    rows = np.maximum(np.take_along_axis(rows, found, axis=1), 0)
    cosines = np.take_along_axis(cosines, found, axis=1)
    # No list came near: as far as unit vectors can be.
    return _euclidean(np.maximum(cosines, -1.0)), rows.astype(np.int64)


def _euclidean(cosines: NDArray[np.floating[Any]]) -> Floats:
    return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * cosines.astype(np.float64)))
