"""HDBSCAN on a CPU: over all pairs of few rows, over a graph of nearest neighbours of many."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

DENSE_ROWS = 4_000
NEIGHBOURS = 32
BLOCK = 1_024
_FAR = 4.0
"""Twice the largest distance unit vectors can have: joins what the graph leaves apart."""


def fit_hdbscan(
    x_nd: NDArray[np.float32], *, min_cluster_size: int, min_samples: int, epsilon: float
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]:
    """Labels, strengths and the condensed tree's rows (parent, child, lambda_val, child_size)."""
    from hdbscan import HDBSCAN

    dense = len(x_nd) <= DENSE_ROWS
    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        min_samples=min_samples,
        cluster_selection_epsilon=float(epsilon),
        metric="euclidean" if dense else "precomputed",
        algorithm="generic" if dense else "best",
        core_dist_n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zero distances: equal rows divide by them on purpose
        model.fit(np.asarray(x_nd, np.float64) if dense else neighbour_graph(x_nd, NEIGHBOURS))
    labels_n = np.asarray(model.labels_, np.int64)
    return labels_n, np.asarray(model.probabilities_), model.condensed_tree_.to_numpy()


def nearest(
    x_nd: NDArray[np.float32], y_md: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Distances [n, k] and rows [n, k] of the nearest rows of y to each row of x, exactly."""
    k = min(k, len(y_md))
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
        found = np.take_along_axis(found, order, axis=1).astype(np.float64)
        distances[start : start + BLOCK] = np.sqrt(np.maximum(0.0, 2.0 - 2.0 * found))
        rows[start : start + BLOCK] = np.take_along_axis(best, order, axis=1)
    return distances, rows


def neighbour_graph(x_nd: NDArray[np.float32], k: int) -> Any:
    """A symmetric, connected sparse matrix of distances to the k nearest rows.

    Parts that no neighbourhood connects are joined at a distance no two unit vectors have, so
    that they come apart first. A distance of 0 would not be stored: it becomes a tiny one.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(x_nd)
    distances, rows = nearest(x_nd, x_nd, k + 1)
    source = np.repeat(np.arange(n), rows.shape[1])
    apart = source != rows.ravel()
    values = np.maximum(distances.ravel()[apart], 1e-7)
    half = coo_matrix((values, (source[apart], rows.ravel()[apart])), shape=(n, n)).tocsr()
    graph = half.maximum(half.T)
    parts, part_of = connected_components(graph, directed=False)
    if parts > 1:
        first = np.unique(part_of, return_index=True)[1]
        hub = np.full(parts - 1, first[0])
        far = np.full(parts - 1, _FAR)
        links = coo_matrix((far, (hub, first[1:])), shape=(n, n)).tocsr()
        graph = graph + links + links.T
    return graph.tocsr()


def born_at(tree: NDArray[Any], labels_n: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 / lambda_birth of each label: how far apart the cluster's parent came apart.

    The cluster of a label is the lowest node of the condensed tree above all of its rows; inf where
    that is the root.
    """
    n, k = len(labels_n), int(labels_n.max(initial=-1)) + 1
    parent_of = dict(zip(tree["child"].tolist(), tree["parent"].tolist(), strict=True))
    lambda_of = dict(zip(tree["child"].tolist(), tree["lambda_val"].tolist(), strict=True))
    nodes: list[set[int]] = [set() for _ in range(k)]
    for row in range(n):
        if labels_n[row] >= 0:
            nodes[labels_n[row]].add(parent_of[row])
    radii = np.full(k, np.inf)
    for label, found in enumerate(nodes):
        top = _lowest_above(found, parent_of)
        if top in lambda_of and lambda_of[top] > 0:
            radii[label] = 1.0 / lambda_of[top]
    return radii


def _lowest_above(nodes: set[int], parent_of: dict[int, int]) -> int:
    """The lowest common ancestor; ids of a condensed tree grow from the root downwards."""
    left = set(nodes)
    while len(left) > 1:
        deepest = max(left)
        left.discard(deepest)
        left.add(parent_of[deepest])
    return left.pop()
