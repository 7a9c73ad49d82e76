"""New faces to clusters that are there, in two tiers, without clustering anew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.covers import mean_direction
from photoorg.curate.groups import rows_by_label
from photoorg.curate.knn import nearest, neighbours

NONE = -1
_BLOCK = 512
DENSE_ROWS = 4_000
RIVALS = 8
SEEN = 512
Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClusterModel:
    """What a clustering leaves behind to place further rows.

    Members [n, dim] with their cluster and core distance (to the `min_samples`-th neighbour), and
    each cluster's mean direction [k, dim] and radius (1 / lambda_birth).
    """

    members_nd: Vectors
    labels_n: NDArray[np.int64]
    cores_n: NDArray[np.float64]
    centroids_kd: Vectors
    radii_k: NDArray[np.float64]
    min_samples: int = 2


@dataclass(frozen=True, slots=True)
class Assignment:
    """The cluster of each row (NONE: of no cluster), the cosine to its mean, and which tier."""

    labels_n: NDArray[np.int64]
    similarity_n: Vectors
    tier_n: NDArray[np.int64]


def core_distances(x_nd: Vectors, min_samples: int) -> NDArray[np.float64]:
    """Distance of each row to its `min_samples`-th neighbour, itself counted as the first."""
    if not len(x_nd):
        return np.zeros(0)
    distances, _ = nearest(x_nd, x_nd, min_samples)
    return np.asarray(distances[:, -1])


def born(
    x_nd: Vectors, labels_n: NDArray[np.int64], cores_n: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 / lambda_birth of each cluster: the mutual reachability distance to the nearest other.

    That is where single linkage, which HDBSCAN's tree is made of, joins the cluster with another;
    inf where there is no other. Above DENSE_ROWS rows only the RIVALS clusters of nearest mean are
    looked at, at most SEEN rows of each cluster.
    """
    if len(x_nd) > DENSE_ROWS:
        return _born_beside(x_nd, labels_n, cores_n)
    radii = np.full(int(labels_n.max(initial=-1)) + 1, np.inf)
    cores = cores_n.astype(np.float32)
    for start in range(0, len(x_nd), _BLOCK):
        rows = slice(start, start + _BLOCK)
        away = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * (x_nd[rows] @ x_nd.T)))
        np.maximum(away, cores[None, :], out=away)
        np.maximum(away, cores[rows, None], out=away)
        away[labels_n[rows, None] == labels_n[None, :]] = np.inf
        np.minimum.at(radii, labels_n[rows], away.min(axis=1))
    return radii


def _born_beside(
    x_nd: Vectors, labels_n: NDArray[np.int64], cores_n: NDArray[np.float64]
) -> NDArray[np.float64]:
    k = int(labels_n.max(initial=-1)) + 1
    radii = np.full(k, np.inf)
    some = [rows[:: -(-len(rows) // SEEN)] for rows in rows_by_label(labels_n, k)]
    means_kd = np.stack([mean_direction(x_nd[rows]) for rows in some])
    for label, others in enumerate(neighbours(means_kd, RIVALS)[1].tolist()):
        for other in others:
            near = x_nd[some[label]] @ x_nd[some[other]].T
            away = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * near))
            away = np.maximum(away, cores_n[some[label]][:, None])
            least = float(np.maximum(away, cores_n[some[other]]).min())
            radii[label], radii[other] = min(radii[label], least), min(radii[other], least)
    return radii


def assign(x_nd: Vectors, model: ClusterModel, *, reach: float, ball: float) -> Assignment:
    """Place rows by approximate prediction first, by the epsilon-ball of a cluster then.

    Tier 1 is hdbscan's `approximate_predict` with the density distance capped at `reach`: the
    cluster of the nearest member by mutual reachability, if the row comes in before the cluster
    came apart from its parent. Tier 2: the nearest mean, if it is within the cluster's radius
    capped at `ball`. Both are Euclidean distances.
    """
    n = len(x_nd)
    if not n or not len(model.centroids_kd):
        return Assignment(np.full(n, NONE), np.zeros(n, np.float32), np.zeros(n, np.int64))
    labels_n = predict(x_nd, model, reach)
    tier_n = (labels_n != NONE).astype(np.int64)
    closest_n, best_n = np.zeros(n, np.int64), np.zeros(n, np.float32)
    for start in range(0, n, _BLOCK):
        near = x_nd[start : start + _BLOCK] @ model.centroids_kd.T
        closest_n[start : start + _BLOCK] = near.argmax(axis=1)
        best_n[start : start + _BLOCK] = near.max(axis=1)
    away_n = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * best_n))
    inside = away_n <= np.minimum(model.radii_k[closest_n], ball)
    second = (labels_n == NONE) & inside
    labels_n[second] = closest_n[second]
    tier_n[second] = 2
    own_nd = model.centroids_kd[np.maximum(labels_n, 0)]
    similarity_n = np.where(labels_n == NONE, best_n, np.einsum("nd,nd->n", x_nd, own_nd))
    return Assignment(labels_n, similarity_n.astype(np.float32), tier_n)


def predict(x_nd: Vectors, model: ClusterModel, reach: float) -> NDArray[np.int64]:
    """Hdbscan's approximate_predict (McInnes, Healy and Astels, 2017) over plain arrays.

    Of a selected cluster only its birth matters: a row whose mutual reachability distance to the
    nearest member is above 1 / lambda_birth would join the cluster's parent, which is none.
    """
    if not len(model.members_nd):
        return np.full(len(x_nd), NONE)
    distances, rows = nearest(x_nd, model.members_nd, 2 * model.min_samples)
    own_n = distances[:, min(model.min_samples, distances.shape[1]) - 1]
    reach_nk = np.maximum(np.maximum(distances, own_n[:, None]), model.cores_n[rows])
    first_n = reach_nk.argmin(axis=1)
    at = np.arange(len(x_nd))
    labels_n = model.labels_n[rows[at, first_n]].copy()
    limit_n = np.where(labels_n >= 0, np.minimum(model.radii_k[np.maximum(labels_n, 0)], reach), 0)
    labels_n[reach_nk[at, first_n] > limit_n] = NONE
    return np.asarray(labels_n, np.int64)
