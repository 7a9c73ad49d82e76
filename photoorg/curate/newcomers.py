"""New persons among new faces that no cluster took, without clustering all faces anew."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.assignment import NONE, ClusterModel, born, core_distances
from photoorg.curate.association import Suggestion, associate
from photoorg.curate.clustering import euclidean
from photoorg.curate.constraints import NOBODY, Constraints
from photoorg.curate.covers import mean_direction, medoid
from photoorg.curate.knn import nearest
from photoorg.curate.persons import (
    FIRST_NEW,
    Apart,
    Cluster,
    FaceSet,
    Grouping,
    Ints,
    Vectors,
    centroids,
    found_clusters,
    persons_of_groups,
    settled,
)
from photoorg.curation_config import PeopleConfig

MOST = 20_000
"""Faces looked at in one go; more of them are a case for clustering anew."""
PER_FACE = 32
NEAR = 0.1
"""How far below a suggestion's cosine persons are looked for: their means may be nearer."""


@dataclass(frozen=True, slots=True)
class Known:
    """The clusters there are, the person of each, and the cluster of each face (NONE: of none)."""

    model: ClusterModel
    person_k: Ints
    cluster_n: Ints


def start_persons(
    faces: FaceSet,
    told: Constraints,
    known: Known,
    placed: Grouping,
    seeds_n: NDArray[np.bool_],
    config: PeopleConfig,
    most: int = MOST,
) -> tuple[Grouping, bool]:
    """Persons from tight groups of faces that `placed` left without one; and whether it saw all.

    By the rules of a whole clustering, but only among unplaced faces of enough quality that are
    seeds or resemble one (cosine of `related` and more), at most `most`: what that costs does not
    grow with the faces that have a person. A group like a person that is there joins them instead
    (complete linkage) or is suggested. `clusters` of the result are the new ones, numbered on from
    those known.
    """
    loose_n = (placed.person_n == NOBODY) & (faces.quality_n >= config.min_quality)
    rows, whole = _looked_at(faces, loose_n, seeds_n, most, config)
    if len(rows) < config.min_faces:
        return placed, whole
    some = FaceSet(
        faces.x_nd[rows], faces.quality_n[rows], faces.photos_n[rows], faces.before_n[rows]
    )
    label_m = found_clusters(some, Constraints(), config)
    new = int(label_m.max(initial=-1)) + 1
    if not new:
        return placed, whole
    k = len(known.person_k)
    cluster_n = np.full(len(faces), NONE, np.int64)
    cluster_n[rows] = np.where(label_m == NONE, NONE, label_m + k)
    before_n = np.where(placed.cluster_n == NONE, known.cluster_n, placed.cluster_n)
    centres_kd = np.concatenate([known.model.centroids_kd, centroids(some.x_nd, label_m, new)])
    persons_j, asked = _whose(faces, told, known, centres_kd, cluster_n, before_n, config)
    person_k = np.concatenate([known.person_k, persons_j])
    built = rows[label_m != NONE]
    core_n = np.full(len(faces), np.nan)
    core_n[built] = core_distances(faces.x_nd[built], config.min_samples)
    kept = replace(faces, before_n=placed.person_n)
    least = config.least_cosine
    second = settled(kept, told, cluster_n, person_k, centres_kd, core_n, least)
    person_n = second.person_n.copy()
    # Constraints may leave too few of a new person for one.
    persons, counts = np.unique(person_n, return_counts=True)
    few = persons[(persons <= FIRST_NEW) & (counts < config.min_faces)]
    lost_n = np.isin(person_n, few)
    person_n[lost_n] = NOBODY
    taken_n = (second.cluster_n != NONE) & ~lost_n
    radii_j = _radii(faces.x_nd[built], cluster_n[built] - k, core_n[built], known.model)
    grouping = Grouping(
        person_n,
        np.where(taken_n, second.cluster_n, placed.cluster_n),
        np.where(taken_n, second.confidence_n, placed.confidence_n).astype(np.float32),
        np.where(taken_n, core_n, np.nan),
    )
    alive = set(person_n.tolist())
    return _with_clusters(faces, grouping, k, persons_j, radii_j, config, asked, alive), whole


def _looked_at(
    faces: FaceSet,
    loose_n: NDArray[np.bool_],
    seeds_n: NDArray[np.bool_],
    most: int,
    config: PeopleConfig,
) -> tuple[Ints, bool]:
    """Rows of loose seeds and of loose faces like them; and whether `most` left none out."""
    seeds = np.flatnonzero(loose_n & seeds_n)
    whole = len(seeds) <= most
    if not whole:
        seeds = np.sort(seeds[np.argsort(-faces.quality_n[seeds], kind="stable")[:most]])
    others = np.flatnonzero(loose_n & ~seeds_n)
    if not len(seeds) or not len(others):
        return seeds, whole
    distance_nk, near_nk = nearest(faces.x_nd[seeds], faces.x_nd[others], PER_FACE)
    like = np.unique(near_nk[distance_nk <= euclidean(config.related)])
    return np.union1d(seeds, others[like[: max(0, most - len(seeds))]]), whole


def _whose(
    faces: FaceSet,
    told: Constraints,
    known: Known,
    centres_kd: Vectors,
    cluster_n: Ints,
    before_n: Ints,
    config: PeopleConfig,
) -> tuple[Ints, tuple[Suggestion, ...]]:
    """The person of each new cluster, one that is there or a new one, and pairs to ask about.

    Only persons with a cluster near a new one are compared.
    """
    k = len(known.person_k)
    near_k = (centres_kd[:k] @ centres_kd[k:].T).max(axis=1, initial=-1.0)
    persons = np.unique(known.person_k[near_k >= config.maybe_person - NEAR])
    old = np.flatnonzero(np.isin(known.person_k, persons))
    chosen = np.concatenate([old, np.arange(k, len(centres_kd))])
    at_k = np.full(len(centres_kd) + 1, NONE, np.int64)  # the last stands for no cluster
    at_k[chosen] = np.arange(len(chosen))
    both_n = np.where(cluster_n != NONE, cluster_n, before_n)
    label_n = at_k[both_n]
    persons_c = np.full(len(chosen), NOBODY, np.int64)
    persons_c[: len(old)] = known.person_k[old]
    found = associate(
        centres_kd[chosen],
        np.maximum(1, np.bincount(label_n[label_n != NONE], minlength=len(chosen))),
        persons_c,
        same=config.same_person,
        maybe=config.maybe_person,
        apart=Apart(faces, label_n, persons_c, told),
    )
    persons_g = persons_of_groups(found.group_k, persons_c)
    fresh = set(found.group_k[len(old) :].tolist())
    asked = tuple(
        Suggestion(int(persons_g[s.first]), int(persons_g[s.second]), s.similarity)
        for s in found.suggestions
        if s.first in fresh or s.second in fresh
    )
    return persons_g[found.group_k[len(old) :]], asked


def _radii(
    x_nd: Vectors, labels_n: Ints, cores_n: NDArray[np.float64], model: ClusterModel
) -> NDArray[np.float64]:
    """How far each new cluster is from the nearest other, new or known (mutual reachability)."""
    radii_j = born(x_nd, labels_n, cores_n)
    if len(model.members_nd):
        distance_nk, rows = nearest(x_nd, model.members_nd, 2 * model.min_samples)
        reach_nk = np.maximum(np.maximum(distance_nk, cores_n[:, None]), model.cores_n[rows])
        np.minimum.at(radii_j, labels_n, reach_nk.min(axis=1))
    return radii_j


def _with_clusters(
    faces: FaceSet,
    grouping: Grouping,
    k: int,
    persons_j: Ints,
    radii_j: NDArray[np.float64],
    config: PeopleConfig,
    asked: tuple[Suggestion, ...],
    alive: set[int],
) -> Grouping:
    """The grouping with the new clusters that have faces, numbered on without gaps."""
    clusters: list[Cluster] = []
    cluster_n = grouping.cluster_n.copy()
    for number, person in enumerate(persons_j.tolist()):
        rows = np.flatnonzero(grouping.cluster_n == k + number)
        if not len(rows):
            continue
        cover = medoid(faces.x_nd[rows], faces.quality_n[rows], config.min_quality)
        centre = mean_direction(faces.x_nd[rows])
        cluster_n[rows] = k + len(clusters)
        radius = float(radii_j[number])
        clusters.append(Cluster(person, centre, radius, len(rows), int(rows[cover])))
    asked = tuple(s for s in asked if s.first in alive and s.second in alive)
    return replace(grouping, cluster_n=cluster_n, clusters=tuple(clusters), suggestions=asked)
