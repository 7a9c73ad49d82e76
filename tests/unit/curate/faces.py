"""Embeddings of made-up persons."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def unit(x_nd: NDArray[np.floating]) -> NDArray[np.float32]:
    return (x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)).astype(np.float32)


def made_up(
    sizes: Sequence[int], *, within: float = 0.55, strangers: int = 0, dim: int = 128, seed: int = 0
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Faces of persons (cosine within a person about `within`) and of people seen once."""
    draw = np.random.default_rng(seed)
    x, labels = [np.zeros((0, dim))], []
    for person, size in enumerate(sizes):
        centre = unit(draw.standard_normal((1, dim)))
        noise = unit(draw.standard_normal((size, dim)))
        x.append(np.sqrt(within) * centre + np.sqrt(1 - within) * noise)
        labels += [person] * size
    x.append(draw.standard_normal((strangers, dim)))
    labels += list(range(len(sizes), len(sizes) + strangers))
    x_nd = np.concatenate(x)
    return unit(x_nd) if len(x_nd) else x_nd.astype(np.float32), np.array(labels, np.int64)
