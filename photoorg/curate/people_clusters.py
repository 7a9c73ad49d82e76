"""Clusters of faces as the catalog keeps them, and the rows that a grouping becomes there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from photoorg.curate.assignment import ClusterModel
from photoorg.curate.constraints import NOBODY
from photoorg.curate.face_rows import FaceRows
from photoorg.curate.newcomers import Known
from photoorg.curate.persons import Grouping
from photoorg.curation_config import PeopleConfig
from photoorg.store.catalog import Transaction, faces_of_people
from photoorg.store.catalog.faces_of_people import Assigned


@dataclass(frozen=True, slots=True)
class StoredModel:
    """Clusters of the last clustering and since, whose they are, and their numbers."""

    known: Known
    numbers: Sequence[int]

    @property
    def following(self) -> int:
        """The number of the next cluster."""
        return max(self.numbers) + 1


@dataclass(frozen=True, slots=True)
class Made:
    """What came out: of clustering `anew`, or of placing, whose new clusters begin at `first`.

    `whole`: no face was left out because there were too many.
    """

    grouping: Grouping
    anew: bool = False
    whole: bool = True
    first: int = 0


def stored_model(
    tx: Transaction, rows: FaceRows, space: str, config: PeopleConfig
) -> StoredModel | None:
    """The clusters there are in a space, with the faces they were built from; None without any."""
    stored = faces_of_people.clusters(tx, space)
    if not stored:
        return None
    at = {c.cluster_no: k for k, c in enumerate(stored)}
    cluster_n = np.array(
        [-1 if f.cluster_no is None else at.get(f.cluster_no, -1) for f in rows.stored], np.int64
    )
    members = [
        (row, f.core)
        for row, f in enumerate(rows.stored)
        if f.core is not None and cluster_n[row] >= 0
    ]
    index = [row for row, _ in members]
    clusters = ClusterModel(
        rows.faces.x_nd[index],
        cluster_n[index],
        np.array([core for _, core in members], np.float64),
        np.stack([c.centroid for c in stored]),
        np.array([c.radius for c in stored]),
        config.min_samples,
    )
    person_k = np.array([rows.root(c.origin_id) for c in stored], np.int64)
    return StoredModel(Known(clusters, person_k, cluster_n), [c.cluster_no for c in stored])


def numbered(grouping: Grouping, numbers: Sequence[int]) -> Grouping:
    """The grouping with the clusters' numbers in the catalog, which have gaps, for their places."""
    following = max(numbers) + 1
    added = range(following, following + len(grouping.clusters))
    number_k = np.array([*numbers, *added, -1], np.int64)
    return replace(grouping, cluster_n=number_k[grouping.cluster_n])


def assignments(
    rows: FaceRows, grouping: Grouping, new: dict[int, int], *, anew: bool
) -> list[Assigned]:
    """Who every row becomes.

    A row that stays with its person keeps its origin; another takes that of most rows of its
    cluster that are of the person, so that an un-merge takes it along.
    """
    persons = [None if p == NOBODY else new.get(int(p), int(p)) for p in grouping.person_n.tolist()]
    votes: dict[tuple[int, int], Counter[int]] = {}
    for row, person in enumerate(persons):
        origin = rows.origins.get(row)
        if person is not None and origin is not None and rows.root(origin) == person:
            votes.setdefault((int(grouping.cluster_n[row]), person), Counter())[origin] += 1
    made = []
    for row, (face, person) in enumerate(zip(rows.stored, persons, strict=True)):
        origin = rows.origins.get(row)
        kept = person is not None and origin is not None and rows.root(origin) == person
        if person is not None and not kept:
            cluster = int(grouping.cluster_n[row])
            tally = votes.get((cluster, person)) if cluster >= 0 else None
            origin = tally.most_common(1)[0][0] if tally else person
        if not anew and kept and face.person_id == person:
            made.append(
                Assigned(
                    face.photo_id,
                    face.face_no,
                    person,
                    origin,
                    face.source or "assigned",
                    face.confidence,
                    face.cluster_no,
                    face.core,
                )
            )
            continue
        core = float(grouping.core_n[row])
        cluster = int(grouping.cluster_n[row])
        source = "assigned" if np.isnan(core) else "cluster"
        made.append(
            Assigned(
                face.photo_id,
                face.face_no,
                person,
                origin if person is not None else None,
                "user" if rows.told.confirmed.get(row) == person else source,
                float(np.clip(grouping.confidence_n[row], 0.0, 1.0)),
                cluster if cluster >= 0 else None,
                core if cluster >= 0 and not np.isnan(core) else None,
            )
        )
    return made
