"""Photos unlike all others, told from their nearest neighbours alone.

A library sets its own measure: a photo is strange if its distance to the nearest other lies so far
in the tail of these distances that ALARMS of the photos would, were nothing strange among them, and
a second measure agrees that it lies apart. So about ALARMS of a library without strangers is shown,
whether it is of bursts, of single shots or of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.curate import knn

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Vectors = NDArray[np.float32]

LEAST = 20
SURE_LOF = 1.5
SURE_Z = 3.5
FAR = 100
FLOOR = 1e-4
ALARMS = 0.01
"""Share of photos shown where none is strange, by the nearest other alone."""
AGREES, SOME = 0.1, 3
"""A strange photo is among so few by density, by its k-th or by its SOME-th neighbour, too."""
TAIL, TAIL_PHOTOS = 0.15, 8
"""The tail that its far half is extrapolated from: a share of the photos, at least so many."""
CAUTION = 0.36
LEAST_WIDTH = 0.05
"""How far apart distances (their logarithms) differ where a library's hardly do."""
EXACT_ROWS = 50_000


@dataclass(frozen=True, slots=True)
class Anomalies:
    """Measures of n photos, larger is stranger.

    `nearest_n` is the cosine distance to the nearest other photo (0..2), `density_n` the local
    outlier factor (about 1 for a photo as close to its neighbours as they are to theirs), `ood_n`
    the robust z-score of the log distance to the k-th neighbour over the library, `score_n` how
    strange the photo is, 0..1, 0.5 and more where it is to be looked at.
    """

    nearest_n: Floats
    density_n: Floats
    ood_n: Floats
    score_n: Floats


def neighbours(x_nd: Vectors, k: int) -> tuple[Floats, Ints]:
    """Cosine distances and rows of each photo's k nearest others [n, min(k, n - 1)], nearest first.

    Exact up to EXACT_ROWS rows, then by an inverted file (see photoorg.curate.knn).
    """
    distances, rows = knn.neighbours(x_nd, k, EXACT_ROWS**2)
    return distances**2 / 2, rows


def measure(distance_nk: Floats, neighbour_nk: Ints) -> Anomalies:
    """The measures from neighbour lists, nearest first.

    Breunig, Kriegel, Ng, Sander, "LOF: identifying density-based local outliers" (2000); Sun,
    Ming, Zhu, Li, "Out-of-distribution detection with deep nearest neighbors" (2022) for the
    distance to the k-th neighbour. Libraries of under 20 photos have no anomalies.
    """
    n, k = distance_nk.shape
    if k < 1 or n < LEAST:
        zeros = np.zeros(n)
        return Anomalies(distance_nk[:, 0] if k else zeros, np.ones(n), zeros, zeros)
    # Copies are at no distance: the floor keeps their density finite, and below it all are alike.
    distance = np.maximum(distance_nk, FLOOR)
    kth = distance[:, -1]
    reach = np.maximum(distance, kth[neighbour_nk])
    density = 1.0 / reach.mean(axis=1)
    factor = density[neighbour_nk].mean(axis=1) / density
    logs = np.log(kth)
    middle = np.median(logs)
    spread = max(1.4826 * float(np.median(np.abs(logs - middle))), 0.1)
    ood = (logs - middle) / spread
    alone = tail_share(np.log(distance[:, 0]))
    # The k-th neighbour of a photo of an event of fewer than k says nothing; a nearer one does.
    others = [np.log(factor), logs, np.log(distance[:, min(SOME, k) - 1])]
    agreed = np.min([tail_share(values) for values in others], axis=0) <= AGREES
    strange = np.log(alone) / np.log(ALARMS)
    strange = np.where(agreed, strange, np.minimum(strange, 0.99))
    score = 1.0 - 0.5 ** np.clip(strange, 0.0, 20.0)
    return Anomalies(distance_nk[:, 0], factor, ood, score)


def tail_share(values_n: Floats) -> Floats:
    """The share of values that would be as large as each, by the tail of them all; 1 below it.

    The tail is taken to fall off exponentially (peaks over a threshold: Pickands, 1975) from one
    quantile through another, which up to half of the tail may be outliers without moving, and for
    caution somewhat slower the fewer photos tell it (a quarter of its standard error). What lies
    below says nothing of it: beside bursts, single shots are far from others and still much alike
    in that.
    """
    share = min(0.4, max(TAIL, TAIL_PHOTOS / len(values_n)))
    start, half = np.quantile(values_n, [1 - share, 1 - share / 2])
    caution = 1 + CAUTION / np.sqrt(share * len(values_n))
    width = max((half - start) * caution, LEAST_WIDTH)
    shares: Floats = np.minimum(1.0, share * 0.5 ** ((values_n - start) / width))
    return shares


def reasons(nearest: float, density: float, ood: float) -> list[str]:
    """Why a photo is in the queue, in words."""
    told = [f"its nearest photo is at cosine distance {nearest:.2f}"]
    if density >= SURE_LOF:
        times = f"{density:.1f} times" if density < FAR else f"over {FAR} times"
        told.append(f"{times} as far from its neighbours as they are from theirs")
    if ood >= SURE_Z:
        told.append("farther from everything than nearly all photos of the library")
    return told


def queue(found: Anomalies, most: int) -> Ints:
    """Rows to be looked at, the strangest first, at most `most`."""
    rows = np.flatnonzero(found.score_n >= 0.5 + 1e-9)
    return rows[np.argsort(-found.score_n[rows], kind="stable")][:most]
