"""What density alone gets wrong: clusters of two persons, clusters people know more of, pairs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.clustering import Agglomerative, euclidean
from photoorg.curate.groups import rows_by_label
from photoorg.curate.knn import nearest

ROWS = 3_000
NEIGHBOURS = 16
Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]


def coherent(x_nd: Vectors, labels_n: Ints, related: float) -> Ints:
    """Clusters whose parts are on average less alike than the cosine `related`, taken apart.

    By average linkage, which two persons joined through a few look-alikes do not pass. Of a cluster
    of more than ROWS rows a sample is taken apart and the others follow the nearest part. Parts
    of one row are noise.
    """
    parted_n = np.full(len(labels_n), -1, np.int64)
    following = 0
    for rows in rows_by_label(labels_n, int(labels_n.max(initial=-1)) + 1):
        part_n = _parts(x_nd[rows], related)
        sizes = np.bincount(part_n, minlength=1)
        for part in np.flatnonzero(sizes > 1).tolist():
            parted_n[rows[part_n == part]] = following
            following += 1
    return parted_n


def divide(x_nd: Vectors, labels_n: Ints, people_n: Ints) -> Ints:
    """Clusters divided among the persons that people put into them (`people_n`, -1: unknown).

    Where a cluster holds two or more, its other rows go to the person with the nearest row. Labels
    come out as 0..k-1.
    """
    divided_n = labels_n.copy()
    following = int(labels_n.max(initial=-1)) + 1
    rows_of = rows_by_label(labels_n, following)
    for label in np.unique(labels_n[(labels_n >= 0) & (people_n >= 0)]).tolist():
        rows = rows_of[label]
        known = rows[people_n[rows] >= 0]
        persons = np.unique(people_n[known])
        if len(persons) < 2:
            continue
        _, closest = nearest(x_nd[rows], x_nd[known], 1)
        owner_n = people_n[known[closest[:, 0]]]
        for person in persons[1:].tolist():
            divided_n[rows[owner_n == person]] = following
            following += 1
    _, dense_n = np.unique(divided_n, return_inverse=True)
    return np.asarray(dense_n - (divided_n.min(initial=0) < 0), np.int64)


def small_groups(x_nd: Vectors, same: float, least: int) -> Ints:
    """Groups of at least `least` rows that are all at least `same` alike (complete linkage).

    Found among rows that have a neighbour so near; -1 for the rest.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    labels_n = np.full(len(x_nd), -1, np.int64)
    if len(x_nd) < 2:
        return labels_n
    distances, rows = nearest(x_nd, x_nd, NEIGHBOURS)
    source, target = np.repeat(np.arange(len(x_nd)), rows.shape[1]), rows.ravel()
    near = distances.ravel() <= euclidean(same)
    links = coo_matrix((near[near], (source[near], target[near])), shape=(len(x_nd),) * 2)
    _, part_n = connected_components(links, directed=False)
    following = 0
    for rows_of_part in rows_by_label(part_n.astype(np.int64), int(part_n.max()) + 1):
        members = rows_of_part[:ROWS]
        if len(members) < max(2, least):
            continue
        groups = Agglomerative("complete", distance=euclidean(same), device="cpu")
        group_n = groups.fit(x_nd[members]).labels_n
        for group in np.flatnonzero(np.bincount(group_n) >= max(2, least)).tolist():
            labels_n[members[group_n == group]] = following
            following += 1
    return labels_n


def _parts(x_nd: Vectors, related: float) -> Ints:
    if len(x_nd) < 2:
        return np.zeros(len(x_nd), np.int64)
    sample = np.linspace(0, len(x_nd) - 1, min(len(x_nd), ROWS)).astype(np.int64)
    linkage = Agglomerative("average", distance=euclidean(related), device="cpu")
    labels = linkage.fit(x_nd[sample]).labels_n
    if len(sample) == len(x_nd):
        return labels
    _, closest = nearest(x_nd, x_nd[sample], 1)
    return np.asarray(labels[closest[:, 0]], np.int64)
