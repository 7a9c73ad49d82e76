"""Which clusters are one person: complete linkage with tight thresholds, suggestions beyond."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.constraints import NOBODY

BLOCK = 2_048
PARTNERS = 100
"""A library whose embeddings tell nobody apart must not make a list of all pairs."""
_ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Suggestion:
    """Two groups that may be one person, and how alike they are (cosine)."""

    first: int
    second: int
    similarity: float


@dataclass(frozen=True, slots=True)
class Association:
    """The group of each cluster, 0..groups-1, and pairs of groups worth a question."""

    group_k: NDArray[np.int64]
    suggestions: tuple[Suggestion, ...]


def associate(
    centroids_kd: NDArray[np.float32],
    sizes_k: NDArray[np.int64],
    persons_k: NDArray[np.int64],
    *,
    same: float,
    maybe: float,
    apart: Callable[[int, int], bool],
) -> Association:
    """Group clusters that are one person.

    Clusters of the same known person (`persons_k`, NOBODY where unknown) are one group from the
    start. Two groups become one if every cluster of one is at least `same` alike to every cluster
    of the other (complete linkage: no chains), nothing in `apart` (asked with two clusters) speaks
    against it, and not both are known persons. Groups whose centroids are at least `maybe` alike
    are suggested instead. The most alike go first.
    """
    groups = _known(persons_k)
    for _ in range(_ROUNDS):
        means = _means(centroids_kd, sizes_k, groups)
        joined = _join(means, groups, persons_k, same, apart)
        if len(joined) == len(groups):
            break
        groups = joined
    group_k = np.empty(len(persons_k), np.int64)
    for number, members in enumerate(groups):
        group_k[members] = number
    means = _means(centroids_kd, sizes_k, groups)
    found = [
        Suggestion(i, j, near)
        for i, j, near in _pairs(means, maybe)
        if not any(apart(a, b) for a in groups[i] for b in groups[j])
    ]
    return Association(group_k, tuple(found))


def _known(persons_k: NDArray[np.int64]) -> list[list[int]]:
    groups: dict[object, list[int]] = {}
    for cluster, person in enumerate(persons_k.tolist()):
        key: object = ("new", cluster) if person == NOBODY else person
        groups.setdefault(key, []).append(cluster)
    return list(groups.values())


def _join(
    means_gd: NDArray[np.float32],
    groups: Sequence[list[int]],
    persons_k: NDArray[np.int64],
    same: float,
    apart: Callable[[int, int], bool],
) -> list[list[int]]:
    """One round of complete linkage over the groups' means."""
    member_of = {number: [number] for number in range(len(groups))}
    home = list(range(len(groups)))
    known = [int(max(persons_k[c] for c in members)) != NOBODY for members in groups]
    knows = dict(enumerate(known))
    for i, j, _ in _pairs(means_gd, same):
        one, two = home[i], home[j]
        if one == two or (knows[one] and knows[two]):
            continue
        left, right = member_of[one], member_of[two]
        if float((means_gd[left] @ means_gd[right].T).min()) < same:
            continue
        if any(apart(a, b) for x in left for y in right for a in groups[x] for b in groups[y]):
            continue
        member_of[one] = left + right
        knows[one] = knows[one] or knows[two]
        for number in member_of.pop(two):
            home[number] = one
    return [[c for number in numbers for c in groups[number]] for numbers in member_of.values()]


def _means(
    centroids_kd: NDArray[np.float32], sizes_k: NDArray[np.int64], groups: Sequence[list[int]]
) -> NDArray[np.float32]:
    """The mean direction of each group, clusters counted by their faces."""
    means = np.zeros((len(groups), centroids_kd.shape[1]), np.float32)
    for number, members in enumerate(groups):
        means[number] = (centroids_kd[members] * sizes_k[members, None]).sum(axis=0)
    lengths = np.linalg.norm(means, axis=1, keepdims=True)
    return np.asarray(means / np.maximum(lengths, 1e-12), np.float32)


def _pairs(means_gd: NDArray[np.float32], least: float) -> list[tuple[int, int, float]]:
    """Pairs at least so alike, the most alike first; of each group its PARTNERS best at most."""
    found: dict[tuple[int, int], float] = {}
    for start in range(0, len(means_gd), BLOCK):
        near = means_gd[start : start + BLOCK] @ means_gd.T
        near[np.arange(len(near)), start + np.arange(len(near))] = -1.0
        if len(means_gd) > PARTNERS:
            floor = np.partition(near, -PARTNERS, axis=1)[:, -PARTNERS]
            near[near < floor[:, None]] = -1.0
        rows, columns = np.nonzero(near >= least)
        for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
            pair = (min(row + start, column), max(row + start, column))
            found.setdefault(pair, float(near[row, column]))
    pairs = [(one, two, near) for (one, two), near in found.items()]
    return sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))
