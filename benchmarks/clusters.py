"""Vectors like those of a photo library, made up: many clusters of unequal size and tightness."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 50_000


@dataclass(frozen=True)
class Clusters:
    """A distribution of unit vectors; the same seed gives the same one on every machine.

    Each cluster (an event, a motif, a burst) has a size drawn log-normally and a share of variance
    within it drawn from `spread`. The variance of directions falls as 1/rank, as in the spectrum of
    learned image embeddings, in a basis that is rotated at random so that no axis is special.
    """

    dim: int
    clusters: int
    seed: int = 0
    spread: tuple[float, float] = (0.05, 0.35)

    def blocks(self, n: int, stream: int) -> Iterator[NDArray[np.float32]]:
        """`n` vectors in blocks; streams differ in their draws, not in the distribution."""
        shape = np.random.default_rng([self.seed, 0])
        rotation, _ = np.linalg.qr(shape.standard_normal((self.dim, self.dim)))
        deviation = (1.0 + np.arange(self.dim)) ** -0.5
        basis = (rotation * deviation).T.astype(np.float32)
        centers = shape.standard_normal((self.clusters, self.dim), dtype=np.float32)
        within = shape.uniform(*self.spread, self.clusters).astype(np.float32)
        weights = shape.lognormal(0.0, 1.0, self.clusters)
        weights /= weights.sum()
        draw = np.random.default_rng([self.seed, 1, stream])
        for start in range(0, n, BLOCK):
            m = min(BLOCK, n - start)
            which = draw.choice(self.clusters, m, p=weights)
            x = draw.standard_normal((m, self.dim), dtype=np.float32)
            x *= np.sqrt(within[which])[:, None]
            x += np.sqrt(1 - within[which])[:, None] * centers[which]
            x = x @ basis
            yield x / np.linalg.norm(x, axis=1, keepdims=True)
