"""HDBSCAN on a CPU: over all pairs of few rows, over a graph of nearest neighbours of many."""

from __future__ import annotations

import heapq
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.knn import neighbours

DENSE_ROWS = 4_000
NEIGHBOURS = 32
_BEYOND = 1.001


def fit_hdbscan(
    x_nd: NDArray[np.float32],
    *,
    min_cluster_size: int,
    min_samples: int,
    epsilon: float,
    apart: float = 0.0,
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[Any]]:
    """Labels, strengths and the condensed tree's rows (parent, child, lambda_val, child_size).

    Up to DENSE_ROWS rows all pairs are held (128 MB); beyond, NEIGHBOURS neighbours a row and the
    spanning tree of these, about 3 kB a row beside the vectors; `apart`: see
    mutual_reachability_tree.
    """
    from hdbscan import HDBSCAN

    dense = len(x_nd) <= DENSE_ROWS
    model = HDBSCAN(
        min_cluster_size=min_cluster_size,
        # The tree's edges are mutual reachability already; with 1 it is its own.
        min_samples=min_samples if dense else 1,
        cluster_selection_epsilon=float(epsilon),
        metric="euclidean" if dense else "precomputed",
        algorithm="generic" if dense else "best",
        core_dist_n_jobs=1,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zero distances: equal rows divide by them on purpose
        if dense:
            model.fit(np.asarray(x_nd, np.float64))
        else:
            model.fit(mutual_reachability_tree(x_nd, NEIGHBOURS, min_samples, apart))
    labels_n = np.asarray(model.labels_, np.int64)
    return labels_n, np.asarray(model.probabilities_), model.condensed_tree_.to_numpy()


def mutual_reachability_tree(
    x_nd: NDArray[np.float32], k: int, min_samples: int, apart: float = 0.0
) -> Any:
    """The minimum spanning tree of mutual reachability over k nearest neighbours, symmetric.

    A sparse matrix [n, n] of n - 1 edges. Parts that no neighbourhood connects are joined just
    beyond the longest edge of all, or at `apart` if that is farther: so they come apart first, but
    hardly before their own parts do. Were it much before, HDBSCAN would take a part that holds
    nearly all rows for one lasting cluster. A distance of 0 would not be stored: it becomes a tiny
    one.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components, minimum_spanning_tree

    n = len(x_nd)
    distances, rows = neighbours(x_nd, max(k, min_samples))
    core_n = distances[:, min_samples - 1]
    source, target = np.repeat(np.arange(n), rows.shape[1]), rows.ravel()
    reach = np.maximum(distances.ravel(), np.maximum(core_n[source], core_n[target]))
    # Both ways round are one edge: the lesser row first, each once.
    low, high = np.minimum(source, target), np.maximum(source, target)
    once = np.unique(low * n + high, return_index=True)[1]
    once = once[low[once] != high[once]]
    edges = (np.maximum(reach[once], 1e-7), (low[once], high[once]))
    graph = coo_matrix(edges, shape=(n, n)).tocsr()
    parts, part_of = connected_components(graph, directed=False)
    if parts > 1:
        first = np.unique(part_of, return_index=True)[1]
        hub = np.full(parts - 1, first[0])
        far = np.full(parts - 1, max(apart, _BEYOND * float(graph.data.max())))
        graph = graph + coo_matrix((far, (hub, first[1:])), shape=(n, n)).tocsr()
    tree = minimum_spanning_tree(graph)
    return (tree + tree.T).tocsr()


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
    heap = [-node for node in left]
    heapq.heapify(heap)
    while len(left) > 1:
        deepest = -heapq.heappop(heap)
        left.discard(deepest)
        parent = parent_of[deepest]
        if parent not in left:
            left.add(parent)
            heapq.heappush(heap, -parent)
    return left.pop()
