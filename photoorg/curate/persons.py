"""Faces to persons: bootstrap by HDBSCAN, association, second-tier assignment, constraints.

Everything here is arithmetic over one set of faces; photoorg.curate.people reads and writes it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.assignment import NONE, ClusterModel, assign, born, core_distances
from photoorg.curate.association import Suggestion, associate
from photoorg.curate.clustering import Hdbscan, euclidean
from photoorg.curate.cohesion import coherent, divide, small_groups
from photoorg.curate.constraints import NOBODY, Constraints, settle
from photoorg.curate.covers import mean_direction, medoid
from photoorg.curate.groups import rows_by_label
from photoorg.curation_config import PeopleConfig

Vectors = NDArray[np.float32]
Ints = NDArray[np.int64]
FIRST_NEW = -2
NEVER = 2.0
"""A cosine nothing has."""
COMPANY = 0.2
"""Clusters that share this part of the smaller one's photos are two persons seen together."""


@dataclass(frozen=True, slots=True)
class FaceSet:
    """Faces as arrays: unit-norm embeddings, qualities, a number per photo, the person so far.

    `held` are persons that people vouched for (by a name, a merge, a split): no clustering takes
    their faces over into another such person.
    """

    x_nd: Vectors
    quality_n: Vectors
    photos_n: Ints
    before_n: Ints
    held: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.x_nd)


@dataclass(frozen=True, slots=True)
class Cluster:
    """A cluster of faces: its person, mean direction, radius, size, and the row of its medoid."""

    person: int
    centroid: Vectors
    radius: float
    size: int
    cover: int


@dataclass(frozen=True, slots=True)
class Grouping:
    """Who each face is: NOBODY, a known person, or a new one (FIRST_NEW and below).

    `cluster_n` is the number of each row's cluster (NONE: of none), `confidence_n` the cosine to
    its mean, `core_n` the core distance of rows a cluster was built from (NaN for others).
    `suggestions` are over persons.
    """

    person_n: Ints
    cluster_n: Ints
    confidence_n: Vectors
    core_n: NDArray[np.float64]
    clusters: tuple[Cluster, ...] = ()
    suggestions: tuple[Suggestion, ...] = field(default=())


def regroup(faces: FaceSet, told: Constraints, config: PeopleConfig) -> Grouping:
    """Cluster all faces anew, keeping the persons they were and everything people said."""
    labels_n = found_clusters(faces, told, config)
    built = labels_n >= 0
    k = int(labels_n.max(initial=-1)) + 1
    centroids_kd = centroids(faces.x_nd, labels_n, k)
    sizes_k = np.bincount(labels_n[built], minlength=k).astype(np.int64)
    persons_k = _claims(faces, labels_n, k, told)
    found = associate(
        centroids_kd,
        sizes_k,
        persons_k,
        same=config.same_person,
        maybe=config.maybe_person,
        apart=Apart(faces, labels_n, persons_k, told),
    )
    persons_g = persons_of_groups(found.group_k, persons_k)
    core_n = np.full(len(faces), np.nan)
    core_n[built] = core_distances(faces.x_nd[built], config.min_samples)
    radii_k = born(faces.x_nd[built], labels_n[built], core_n[built])
    model = ClusterModel(
        faces.x_nd[built],
        labels_n[built],
        core_n[built],
        centroids_kd,
        radii_k,
        config.min_samples,
    )
    reach = euclidean(config.same_face)
    cluster_n = labels_n.copy()
    cluster_n[~built] = assign(faces.x_nd[~built], model, reach=reach, ball=reach).labels_n
    person_k = persons_g[found.group_k] if k else np.zeros(0, np.int64)
    grouping = settled(faces, told, cluster_n, person_k, centroids_kd, core_n, config.least_cosine)
    asked = tuple(
        Suggestion(int(persons_g[s.first]), int(persons_g[s.second]), s.similarity)
        for s in found.suggestions
    )
    return _summed_up(faces, grouping, person_k, radii_k, asked, config)


def place(
    faces: FaceSet, told: Constraints, model: ClusterModel, person_k: Ints, config: PeopleConfig
) -> Grouping:
    """Faces that have no person yet to the clusters of `model`; the others keep theirs."""
    fresh = faces.before_n == NOBODY
    reach = euclidean(config.same_face)
    placed = assign(faces.x_nd[fresh], model, reach=reach, ball=reach)
    cluster_n = np.full(len(faces), NONE, np.int64)
    cluster_n[fresh] = placed.labels_n
    unbuilt = np.full(len(faces), np.nan)
    return settled(
        faces, told, cluster_n, person_k, model.centroids_kd, unbuilt, config.least_cosine
    )


def suggested(
    faces: FaceSet, told: Constraints, cluster_n: Ints, persons_k: Ints, config: PeopleConfig
) -> tuple[Suggestion, ...]:
    """Pairs of known persons whose clusters are alike enough to ask about; nothing is joined."""
    k = len(persons_k)
    found = associate(
        centroids(faces.x_nd, cluster_n, k),
        np.bincount(cluster_n[cluster_n >= 0], minlength=k).astype(np.int64),
        persons_k,
        same=NEVER,
        maybe=config.maybe_person,
        apart=Apart(faces, cluster_n, persons_k, told),
    )
    persons_g = persons_of_groups(found.group_k, persons_k)
    return tuple(
        Suggestion(int(persons_g[s.first]), int(persons_g[s.second]), s.similarity)
        for s in found.suggestions
    )


def found_clusters(faces: FaceSet, told: Constraints, config: PeopleConfig) -> Ints:
    """Labels 0..k-1 of the faces that clusters are built from, NONE for the others."""
    labels_n = np.full(len(faces), NONE, np.int64)
    good = np.flatnonzero(faces.quality_n >= config.min_quality)
    labels_n[good] = _density(faces.x_nd[good], config)
    labels_n = coherent(faces.x_nd, labels_n, config.related)
    left = good[labels_n[good] == NONE]
    few_n = small_groups(faces.x_nd[left], config.same_face, config.min_faces)
    labels_n[left] = np.where(few_n == NONE, NONE, few_n + labels_n.max(initial=-1) + 1)
    people_n = np.full(len(faces), NOBODY, np.int64)
    if faces.held:
        vouched = np.isin(faces.before_n, np.array(sorted(faces.held), np.int64))
        people_n[vouched] = faces.before_n[vouched]
    for row, person in told.confirmed.items():
        people_n[row] = person
    return divide(faces.x_nd, labels_n, people_n)


def _density(x_nd: Vectors, config: PeopleConfig) -> Ints:
    """HDBSCAN with a few rows more, at a place no face has.

    HDBSCAN never selects the root of its tree, so a library of one person would have no cluster;
    the rows at a right angle to all faces, as far as strangers are, give it something to leave.
    """
    size = config.min_cluster_size
    if len(x_nd) < size:
        return np.full(len(x_nd), NONE, np.int64)
    wide = np.zeros((len(x_nd) + size, x_nd.shape[1] + 1), np.float32)
    wide[: len(x_nd), :-1] = x_nd
    wide[len(x_nd) :, -1] = 1.0
    engine = Hdbscan(
        size, config.min_samples, euclidean(config.same_face), config.device, apart=euclidean(0.0)
    )
    labels_n = engine.fit(wide).labels_n
    nowhere = labels_n[len(x_nd)]
    labels_n = labels_n[: len(x_nd)].copy()
    if nowhere >= 0:
        labels_n[labels_n == nowhere] = NONE
    return labels_n


def centroids(x_nd: Vectors, labels_n: Ints, k: int) -> Vectors:
    """The mean direction of each of k labels [k, dim]."""
    means_kd = np.zeros((k, x_nd.shape[1]), np.float32)
    for label, rows in enumerate(rows_by_label(labels_n, k)):
        means_kd[label] = mean_direction(x_nd[rows])
    return means_kd


def _claims(faces: FaceSet, labels_n: Ints, k: int, told: Constraints) -> Ints:
    """The known person of each cluster, NOBODY where none has a claim to it.

    Confirmed faces decide. Else a person claims the cluster that holds most of its faces, and
    every cluster of which it was at least half; of several claims the one with most faces wins.
    """
    votes: dict[int, dict[int, float]] = {label: {} for label in range(k)}
    for row in np.flatnonzero(labels_n >= 0).tolist():
        person = told.confirmed.get(row, int(faces.before_n[row]))
        if person >= 0 and told.allows(row, person):
            tally = votes[int(labels_n[row])]
            weight = float(len(faces)) if row in told.confirmed else 1.0
            tally[person] = tally.get(person, 0.0) + weight
    home: dict[int, tuple[float, int]] = {}
    for label, tally in votes.items():
        for person, count in tally.items():
            home[person] = max(home.get(person, (0.0, 0)), (count, -label))
    sizes_k = np.bincount(labels_n[labels_n >= 0], minlength=k)
    claims_k = np.full(k, NOBODY, np.int64)
    for label, tally in votes.items():
        for person, count in sorted(tally.items(), key=lambda vote: (-vote[1], vote[0])):
            if -home[person][1] == label or 2 * count >= sizes_k[label]:
                claims_k[label] = person
                break
    return claims_k


class Apart:
    """Whether something speaks against two clusters being one person."""

    def __init__(self, faces: FaceSet, labels_n: Ints, persons_k: Ints, told: Constraints) -> None:
        self._persons = persons_k
        self._told = told
        self._labels = labels_n
        self._photos = [
            frozenset(faces.photos_n[rows].tolist())
            for rows in rows_by_label(labels_n, len(persons_k))
        ]
        self._cannot = {
            frozenset((int(labels_n[a]), int(labels_n[b])))
            for a, b in told.cannot
            if labels_n[a] >= 0 and labels_n[b] >= 0
        }
        self._excluded: dict[int, dict[int, int]] = {}
        for row, persons in told.excluded.items():
            tally = self._excluded.setdefault(int(labels_n[row]), {})
            for person in persons:
                tally[person] = tally.get(person, 0) + 1

    def __call__(self, a: int, b: int) -> bool:
        """Asked of two clusters."""
        one, two = int(self._persons[a]), int(self._persons[b])
        if frozenset((a, b)) in self._cannot or frozenset((one, two)) in self._told.strangers:
            return True
        if self._denied(a, two) or self._denied(b, one):
            return True
        together = len(self._photos[a] & self._photos[b])
        return together > COMPANY * min(len(self._photos[a]), len(self._photos[b]))

    def _denied(self, cluster: int, person: int) -> bool:
        """Whether people took at least half of the cluster away from the person."""
        denied = self._excluded.get(cluster, {}).get(person, 0)
        return denied > 0 and 2 * denied >= int((self._labels == cluster).sum())


def persons_of_groups(group_k: Ints, persons_k: Ints) -> Ints:
    """The known person of each group of clusters, or a new one."""
    persons_g = np.full(int(group_k.max(initial=-1)) + 1, NOBODY, np.int64)
    np.maximum.at(persons_g, group_k, persons_k)
    new = np.flatnonzero(persons_g == NOBODY)
    persons_g[new] = FIRST_NEW - np.arange(len(new))
    return persons_g


def settled(
    faces: FaceSet,
    told: Constraints,
    cluster_n: Ints,
    person_k: Ints,
    centroids_kd: Vectors,
    core_n: NDArray[np.float64],
    least: float = 0.0,
) -> Grouping:
    """Proposals of the clusters, and the persons so far where there is none, under constraints.

    A cluster proposes nothing for a face of a cosine below `least` to its mean.
    """
    hit = cluster_n != NONE
    proposed_n = faces.before_n.copy()
    confidence_n = np.zeros(len(faces), np.float32)
    if hit.any():
        confidence_n[hit] = np.einsum("nd,nd->n", faces.x_nd[hit], centroids_kd[cluster_n[hit]])
        hit &= (confidence_n >= least) | (least <= 0)
        proposed_n[hit] = person_k[cluster_n[hit]]
    kept = ~hit & (faces.before_n != NOBODY)
    scores_n = np.where(kept, 1.0, np.clip(confidence_n, 0.0, 1.0)).astype(np.float32)
    held = np.array(sorted(faces.held), np.int64)
    vouched_n = np.isin(faces.before_n, held) & (proposed_n == faces.before_n)
    person_n = settle(proposed_n, scores_n, faces.photos_n, told, vouched_n)
    cluster_n = np.where((person_n == proposed_n) & hit, cluster_n, NONE)
    return Grouping(person_n, cluster_n, confidence_n, core_n)


def _summed_up(
    faces: FaceSet,
    grouping: Grouping,
    person_k: Ints,
    radii_k: NDArray[np.float64],
    asked: tuple[Suggestion, ...],
    config: PeopleConfig,
) -> Grouping:
    """The grouping with its clusters, numbered anew without those that constraints emptied."""
    clusters: list[Cluster] = []
    cluster_n = np.full(len(faces), NONE, np.int64)
    for label, rows in enumerate(rows_by_label(grouping.cluster_n, len(person_k))):
        if not len(rows):
            continue
        cover = medoid(faces.x_nd[rows], faces.quality_n[rows], config.min_quality)
        centre = mean_direction(faces.x_nd[rows])
        cluster_n[rows] = len(clusters)
        clusters.append(
            Cluster(
                int(person_k[label]), centre, float(radii_k[label]), len(rows), int(rows[cover])
            )
        )
    alive = set(grouping.person_n.tolist())
    asked = tuple(s for s in asked if s.first in alive and s.second in alive)
    return Grouping(
        grouping.person_n,
        cluster_n,
        grouping.confidence_n,
        grouping.core_n,
        tuple(clusters),
        asked,
    )
