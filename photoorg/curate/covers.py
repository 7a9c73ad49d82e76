"""The face or photo that stands for a group: the medoid, where quality allows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def medoid(
    x_nd: NDArray[np.float32], quality_n: NDArray[np.float32] | None = None, least: float = 0.0
) -> int:
    """The row most alike to all others among those of quality `least` or more (all, if none is).

    For unit vectors the mean cosine to all rows is the cosine to their sum, so no pairs are
    needed. Equals go to the better quality, then to the first.
    """
    assert len(x_nd), "a group without members has no medoid"
    near_n = x_nd @ x_nd.sum(axis=0)
    quality = np.zeros(len(x_nd), np.float32) if quality_n is None else quality_n
    fit = quality >= least
    if not fit.any():
        fit = np.ones(len(x_nd), bool)
    order = np.lexsort((np.arange(len(x_nd)), -quality, -np.round(near_n, 5), ~fit))
    return int(order[0])


def mean_direction(x_nd: NDArray[np.float32]) -> NDArray[np.float32]:
    """The unit vector along the sum of unit vectors [n, dim]; the first row if they cancel out."""
    total = x_nd.sum(axis=0, dtype=np.float64)
    length = float(np.linalg.norm(total))
    return np.asarray(x_nd[0] if length < 1e-9 else total / length, np.float32)
