"""The score above which a neighbour is more than chance, fitted to a library's own photos.

Unrelated photos are most of all pairs, so the middle and the lower half of the scores of random
pairs tell how they are spread, whatever the related ones above do. A query makes sense if its best
hit is as near as the best neighbour that nearly every photo of the library has (a conformal
p-value: Vovk, Gammerman & Shafer, 2005), or nearer than all unrelated photos together would be
expected to come.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from photoorg.index.base import FloatMatrix
from photoorg.index.views import nearness

Floats = NDArray[np.float64]

LEAST_PHOTOS = 40
"""Smaller libraries tell too little of what chance looks like."""
REFUSED = 0.02
"""Share of the library's own photos that would be found to be like nothing else in it."""
CHANCE = 0.05
"""Expected number of unrelated photos, in the whole library, above the score of no chance."""
LOWEST_Z = 1.645
FLOOR_Z = 1.0
"""Spreads above the mean of unrelated photos: the least of a best hit, and of any hit."""
ALIKE = 0.9
"""Near-duplicates are no chance in any space, and say nothing of how near others are."""
NONSENSE = 0.95
"""Share of made-up nonsense that is to be refused, where this costs few real queries."""
REAL = 0.05
"""Share of real queries that may be refused for it."""

_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """Cosines of one kind of query (image or text) in one space of a tenant.

    `best`: nothing is shown unless one hit reaches it; `floor`: hits below it are left out. `mean`
    and `spread` are those of unrelated photos.
    """

    best: float
    floor: float
    mean: float
    spread: float

    def chance(self, score: float) -> float:
        """The share 0..1 of unrelated photos that are as near as that, by a normal law."""
        if self.spread <= 0:
            return 0.0 if score > self.mean else 1.0
        return 1 - _NORMAL.cdf((score - self.mean) / self.spread)

    def to_thresholds(self, kind: str) -> dict[str, float]:
        """As they are kept: by name, with as many digits as they deserve."""
        names = {"": self.best, ".floor": self.floor, ".mean": self.mean, ".spread": self.spread}
        return {f"search.{kind}{end}": round(value, 6) for end, value in names.items()}

    @classmethod
    def of(cls, thresholds: Mapping[str, float], kind: str) -> Cutoffs | None:
        """From what is kept; None where nothing was fitted. One that was set by hand is enough."""
        best = thresholds.get(f"search.{kind}")
        if best is None:
            return None
        ends = ("floor", "mean", "spread")
        floor, mean, spread = (thresholds.get(f"search.{kind}.{end}", 0.0) for end in ends)
        known = f"search.{kind}.floor" in thresholds
        return cls(best, floor if known else best, mean, spread)


def best_neighbours(scores_mk: FloatMatrix) -> Floats:
    """The cosine [m] of each photo's best neighbour, near-duplicates aside.

    What is not finite is no neighbour: the photo itself, or none. Where only near-duplicates were
    found, the farthest of them counts; photos without any neighbour are left out.
    """
    scores = np.asarray(scores_mk, np.float64).copy()
    scores[~np.isfinite(scores)] = np.nan
    some = np.isfinite(scores).any(axis=1)
    scores = scores[some]
    other = np.where(scores < ALIKE, scores, np.nan)
    none = ~np.isfinite(other).any(axis=1)
    other[none] = scores[none]
    best = np.where(none, np.nanmin(other, axis=1), np.nanmax(other, axis=1))
    return np.asarray(best, np.float64)


def unrelated(scores: NDArray[np.floating]) -> tuple[float, float]:
    """Mean and spread of unrelated pairs, from the lower half of the scores of random pairs."""
    low, middle = np.percentile(np.asarray(scores, np.float64), [15.866, 50.0])
    return float(middle), float(middle - low)


def fit_images(
    x_nd: FloatMatrix,
    neighbours_m: Floats,
    photos: int,
    nonsense_m: Floats | None = None,
    *,
    views: int = 1,
) -> Cutoffs | None:
    """Cutoffs for queries by image or vector; None for a library too small to tell.

    `x_nd` are unit vectors of photos drawn at random, `views` for each of them, the whole first;
    `neighbours_m` the best neighbours in the library of `photos` of some of them, `nonsense_m` the
    best hits of pictures of nothing.
    """
    wholes = x_nd[::views]
    if photos < LEAST_PHOTOS or len(wholes) < LEAST_PHOTOS or not len(neighbours_m):
        return None
    pairs = nearness(wholes, x_nd, views)[np.triu_indices(len(wholes), 1)]
    mean, spread = unrelated(pairs)
    z = _NORMAL.inv_cdf(1 - CHANCE / photos)
    best = min(float(np.quantile(neighbours_m, REFUSED)), mean + z * spread)
    lowest = max(mean + LOWEST_Z * spread, min(best, z / x_nd.shape[1] ** 0.5))
    return _made(max(best, lowest), mean, spread, nonsense_m, neighbours_m)


def fit_texts(scores_tn: FloatMatrix, best_t: Floats, nonsense_m: Floats) -> Cutoffs | None:
    """Cutoffs for queries by text, whose scores live on a scale of their own.

    `scores_tn` are scores of phrases with photos drawn at random, most of which they do not show;
    `best_t` the best hits in the library of the same phrases, `nonsense_m` those of made-up words.
    """
    if scores_tn.shape[1] < LEAST_PHOTOS or not len(best_t):
        return None
    mean, spread = unrelated(scores_tn)
    return _made(mean + LOWEST_Z * spread, mean, spread, nonsense_m, best_t)


def _made(
    best: float, mean: float, spread: float, nonsense_m: Floats | None, real_m: Floats
) -> Cutoffs:
    if nonsense_m is not None and len(nonsense_m):
        beyond = float(np.quantile(nonsense_m, NONSENSE)) + spread / 10
        best = max(best, min(beyond, float(np.quantile(real_m, REAL))))
    best = min(best, ALIKE)
    return Cutoffs(best, min(best, mean + FLOOR_Z * spread), mean, spread)
