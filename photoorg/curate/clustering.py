"""Clustering of unit vectors behind one protocol: cuML on a GPU, hdbscan and scikit-learn on a CPU.

Distances are Euclidean between unit vectors: d^2 = 2 (1 - cosine), so a cosine threshold and a
distance say the same.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.covers import mean_direction
from photoorg.curate.density import born_at, fit_hdbscan
from photoorg.curate.groups import rows_by_label
from photoorg.errors import ConfigError, InputError

Vectors = NDArray[np.float32]
Labels = NDArray[np.int64]
GATHERED = 10
Device = Literal["auto", "cpu", "cuda"]
Linkage = Literal["complete", "average", "single", "ward"]
MINI_BATCH_ABOVE = 20_000
LINKED_ROWS = 4_000
"""Agglomerative clustering holds all pairs: 4,000 rows are 64 MB."""


@dataclass(frozen=True, slots=True)
class Clustering:
    """Labels 0..k-1 (-1: noise), how firmly each row belongs (0..1), and each cluster's radius.

    The radius is 1 / lambda_birth, the distance at which the cluster came apart from the rest; inf
    where nothing was left to come apart from.
    """

    labels_n: Labels
    strengths_n: Vectors
    radii_k: NDArray[np.float64]

    @property
    def clusters(self) -> int:
        """How many clusters there are, noise not counted."""
        return len(self.radii_k)


class Clusterer(Protocol):
    """Finds clusters among unit vectors [n, dim]."""

    def fit(self, x_nd: Vectors) -> Clustering:
        """Cluster the rows; any number of rows, none included."""


@dataclass(frozen=True, slots=True)
class Hdbscan:
    """Density clusters of any number and shape (Campello, Moulavi and Sander, 2013).

    Clusters closer to each other than `epsilon` are not split (Malzer and Baum, 2020). Above
    density.DENSE_ROWS rows the CPU works on a graph of nearest neighbours instead of all pairs;
    parts of it that nothing connects are taken to be `apart` from each other, or just beyond the
    longest distance in it.
    """

    min_cluster_size: int = 3
    min_samples: int = 2
    epsilon: float = 0.0
    device: Device = "auto"
    apart: float = 0.0

    def fit(self, x_nd: Vectors) -> Clustering:
        """See Clusterer."""
        size = max(2, self.min_cluster_size)
        if len(x_nd) < max(size, self.min_samples + 1):
            return nothing_found(len(x_nd))
        if np.ptp(x_nd, axis=0).max() == 0:  # one point many times has no density to speak of
            return _one_cluster(len(x_nd))
        if on_gpu(self.device):
            return self._on_gpu(x_nd, size)
        labels_n, strengths_n, tree = fit_hdbscan(
            x_nd,
            min_cluster_size=size,
            min_samples=self.min_samples,
            epsilon=self.epsilon,
            apart=self.apart,
        )
        return _clustering(labels_n, strengths_n, born_at(tree, labels_n))

    def _on_gpu(self, x_nd: Vectors, size: int) -> Clustering:
        from cuml.cluster import HDBSCAN

        model = HDBSCAN(
            min_cluster_size=size,
            min_samples=self.min_samples,
            cluster_selection_epsilon=self.epsilon,
            output_type="numpy",
        ).fit(x_nd)
        labels_n = np.asarray(model.labels_, np.int64)
        tree = model.condensed_tree_.to_numpy()
        return _clustering(labels_n, np.asarray(model.probabilities_), born_at(tree, labels_n))


@dataclass(frozen=True, slots=True)
class Dbscan:
    """Density clusters at one distance (Ester, Kriegel, Sander and Xu, 1996)."""

    epsilon: float
    min_samples: int = 3
    device: Device = "auto"

    def fit(self, x_nd: Vectors) -> Clustering:
        """See Clusterer."""
        if not len(x_nd):
            return nothing_found(0)
        if on_gpu(self.device):
            from cuml.cluster import DBSCAN as Model
        else:
            from sklearn.cluster import DBSCAN as Model
        labels_n = np.asarray(
            Model(eps=self.epsilon, min_samples=self.min_samples).fit_predict(x_nd), np.int64
        )
        strengths_n = (labels_n >= 0).astype(np.float32)
        return _clustering(labels_n, strengths_n, np.full(labels_n.max() + 1, self.epsilon))


@dataclass(frozen=True, slots=True)
class KMeans:
    """`k` clusters around means (Lloyd, 1982); in mini-batches (Sculley, 2010) for many rows."""

    k: int
    seed: int = 0
    device: Device = "auto"

    def fit(self, x_nd: Vectors) -> Clustering:
        """See Clusterer; fewer clusters than `k` where there are fewer distinct rows."""
        _require(self.k >= 1, f"k must be 1 or more, not {self.k}.")
        k = _distinct(x_nd, self.k)
        if not k:
            return nothing_found(0)
        options: dict[str, Any] = {"n_clusters": k, "random_state": self.seed}
        if on_gpu(self.device):
            from cuml.cluster import KMeans as Model

            options["n_init"] = 4
        elif len(x_nd) > MINI_BATCH_ABOVE:
            from sklearn.cluster import MiniBatchKMeans as Model

            options |= {"n_init": 4, "batch_size": 4_096}
        else:
            from sklearn.cluster import KMeans as Model

            options["n_init"] = 4
        labels_n = np.asarray(Model(**options).fit_predict(x_nd), np.int64)
        return _around_centres(x_nd, labels_n)


@dataclass(frozen=True, slots=True)
class Agglomerative:
    """Bottom-up merging by `linkage` down to `k` clusters, or while closer than `distance`.

    Linkage compares all pairs. Above LINKED_ROWS rows these are therefore first gathered around
    that many centres by k-means on a sample, and the centres are linked: groups finer than a centre
    cannot come out, and single linkage sees no chain within one. Memory beside the vectors: 64 MB
    of pairs and 8 MB of centres for 512 dimensions. Only single linkage runs on a GPU; it is the
    only one cuML has.
    """

    linkage: Linkage = "average"
    k: int | None = None
    distance: float | None = None
    device: Device = "auto"

    def fit(self, x_nd: Vectors) -> Clustering:
        """See Clusterer; at most as many clusters as rows differ."""
        _require((self.k is None) != (self.distance is None), "Give either k or a distance.")
        if len(x_nd) <= LINKED_ROWS:
            return _around_centres(x_nd, self._linked(x_nd))
        near_n, k = _gathered(x_nd, LINKED_ROWS)
        centres_kd = np.stack([mean_direction(x_nd[rows]) for rows in rows_by_label(near_n, k)])
        return _around_centres(x_nd, self._linked(centres_kd)[near_n])

    def _linked(self, x_nd: Vectors) -> Labels:
        if len(x_nd) < 2:
            return np.zeros(len(x_nd), np.int64)
        k = None if self.k is None else _distinct(x_nd, self.k)
        if k is not None and self.linkage == "single" and on_gpu(self.device):
            from cuml.cluster import AgglomerativeClustering as Single

            labels = Single(n_clusters=k, linkage="single").fit_predict(x_nd)
        else:
            from sklearn.cluster import AgglomerativeClustering

            labels = AgglomerativeClustering(
                n_clusters=k, distance_threshold=self.distance, linkage=self.linkage
            ).fit_predict(x_nd)
        return np.asarray(labels, np.int64)


def on_gpu(device: Device) -> bool:
    """Whether cuML does the work; ConfigError where a GPU is asked for and cuML is not there."""
    there = device != "cpu" and importlib.util.find_spec("cuml") is not None
    if device == "cuda" and not there:
        raise ConfigError(
            "Clustering on a GPU needs cuML, which is not installed.",
            fix="Install photoorg[gpu], or use the device auto or cpu.",
        )
    return there


def nothing_found(rows: int) -> Clustering:
    """All rows noise."""
    return Clustering(np.full(rows, -1, np.int64), np.zeros(rows, np.float32), np.zeros(0))


def euclidean(cosine: float) -> float:
    """The distance of unit vectors that have this cosine similarity."""
    return float(np.sqrt(max(0.0, 2.0 - 2.0 * cosine)))


def cosine(distance: float) -> float:
    """The cosine similarity of unit vectors at this Euclidean distance."""
    return 1.0 - distance * distance / 2.0


def _clustering(labels_n: Labels, strengths_n: Any, radii_k: NDArray[np.float64]) -> Clustering:
    strengths = np.nan_to_num(np.asarray(strengths_n, np.float32), nan=1.0)
    return Clustering(labels_n, np.clip(strengths, 0.0, 1.0), radii_k)


def _one_cluster(rows: int) -> Clustering:
    return Clustering(np.zeros(rows, np.int64), np.ones(rows, np.float32), np.array([np.inf]))


def _distinct(x_nd: Vectors, most: int) -> int:
    """How many rows differ, counted up to `most`; all rows are looked at only where few differ."""
    for rows in (4 * most, len(x_nd)):
        differ = len(np.unique(x_nd[:rows], axis=0))
        if differ >= most or rows >= len(x_nd):
            break
    return min(most, differ)


def _gathered(x_nd: Vectors, most: int) -> tuple[Labels, int]:
    """The nearest of at most `most` centres of each row, numbered without gaps; and how many."""
    import faiss

    rng = np.random.default_rng(0)
    train = x_nd[np.sort(rng.permutation(len(x_nd))[: GATHERED * most])]
    means = faiss.Kmeans(
        x_nd.shape[1], most, niter=6, seed=1, spherical=True, min_points_per_centroid=1
    )
    means.train(np.ascontiguousarray(train))
    _, near = means.index.search(np.ascontiguousarray(x_nd), 1)
    kept, labels_n = np.unique(near[:, 0], return_inverse=True)
    return labels_n.astype(np.int64), len(kept)


def _around_centres(x_nd: Vectors, labels_n: Labels) -> Clustering:
    """Labels made dense; strengths fall with the distance from the cluster's mean direction."""
    if not len(x_nd):
        return nothing_found(0)
    _, labels_n = np.unique(labels_n, return_inverse=True)
    k = int(labels_n.max()) + 1
    centres = np.zeros((k, x_nd.shape[1]), np.float64)
    np.add.at(centres, labels_n, x_nd)
    centres /= np.maximum(np.linalg.norm(centres, axis=1, keepdims=True), 1e-12)
    near_n = np.einsum("nd,nd->n", x_nd, centres[labels_n])
    away_n = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * near_n))
    radii_k = np.zeros(k)
    np.maximum.at(radii_k, labels_n, away_n)
    return _clustering(labels_n.astype(np.int64), np.clip(near_n, 0.0, 1.0), radii_k)


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise InputError(what)
