"""Vectors like those of a photo library, made up: motifs, events within them, bursts of shots."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 50_000
PHOTOS_PER_MOTIF, PHOTOS_PER_EVENT, PHOTOS_PER_BURST = 2_000, 100, 4
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class Clusters:
    """A distribution of unit vectors for a library of `photos`; equal seeds give equal vectors.

    A photo is its motif + its event + its burst + itself, half of the variance at each step being
    left to the finer ones; how much is left to burst and photo differs between events (`spread`),
    and so do the events' sizes (log-normal). The variance of directions falls as 1/rank, as in the
    spectrum of learned image embeddings, in a basis rotated at random so that no axis is special.
    """

    dim: int
    photos: int
    seed: int = 0
    spread: tuple[float, float] = (0.1, 0.4)

    def blocks(self, n: int, stream: int) -> Iterator[Matrix]:
        """`n` vectors in blocks; streams differ in their draws, not in the distribution."""
        shape = np.random.default_rng([self.seed, 0])
        rotation, _ = np.linalg.qr(shape.standard_normal((self.dim, self.dim)))
        basis = (rotation * (1.0 + np.arange(self.dim)) ** -0.5).T.astype(np.float32)
        motifs = self._normal(shape, PHOTOS_PER_MOTIF)
        events = self._normal(shape, PHOTOS_PER_EVENT)
        events += motifs[shape.integers(0, len(motifs), len(events))]
        events *= np.sqrt(0.5)
        fine = shape.uniform(*self.spread, len(events)).astype(np.float32)
        sizes = shape.lognormal(0.0, 1.0, len(events))
        bursts = self._normal(shape, PHOTOS_PER_BURST).astype(np.float16)
        event_of = shape.choice(len(events), len(bursts), p=sizes / sizes.sum())
        draw = np.random.default_rng([self.seed, 1, stream])
        for start in range(0, n, BLOCK):
            m = min(BLOCK, n - start)
            burst = draw.integers(0, len(bursts), m)
            event = event_of[burst]
            x = bursts[burst] + draw.standard_normal((m, self.dim), dtype=np.float32)
            x *= np.sqrt(0.5 * fine[event])[:, None]
            x += np.sqrt(1 - fine[event])[:, None] * events[event]
            x = x @ basis
            yield x / np.linalg.norm(x, axis=1, keepdims=True)

    def _normal(self, shape: np.random.Generator, photos_each: int) -> Matrix:
        count = max(4, self.photos // photos_each)
        return shape.standard_normal((count, self.dim), dtype=np.float32)
