"""The last step of every encoder: finite, unit-norm float32 rows."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import EncoderUnavailableError


def unit_norm(x_nd: NDArray[Any], dim: int, encoder: str) -> NDArray[np.float32]:
    """Rows scaled to length 1, float32 [n, dim].

    A row of zeros becomes the constant unit vector. Rows that are not finite, or of another width
    than `dim`, raise EncoderUnavailableError: the weights or the precision are wrong.
    """
    x_nd = np.ascontiguousarray(x_nd, dtype=np.float32)
    if x_nd.ndim != 2 or x_nd.shape[1] != dim:
        raise EncoderUnavailableError(
            f"{encoder} gave an array of shape {list(x_nd.shape)} where [n, {dim}] was due.",
            fix="Check `output` in the space file against the model's outputs.",
        )
    bad = ~np.isfinite(x_nd).all(axis=1)
    if bad.any():
        raise EncoderUnavailableError(
            f"{encoder} gave values that are no numbers for {bad.sum()} of {len(x_nd)} inputs.",
            fix="Its weights are damaged or do not bear this precision; try encoder.device: cpu.",
        )
    norms = np.linalg.norm(x_nd.astype(np.float64), axis=1, keepdims=True)
    flat = norms[:, 0] < 1e-12
    x_nd = np.where(flat[:, None], 1.0, x_nd)
    norms = np.where(flat[:, None], dim**0.5, norms)
    return np.asarray(x_nd / norms, dtype=np.float32)
