"""What keeps persons in order between clusterings: centres, covers, empty ones, questions."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from photoorg.curate import face_rows
from photoorg.curate.constraints import NOBODY
from photoorg.curate.covers import mean_direction, medoid
from photoorg.curate.face_rows import FaceRows
from photoorg.curate.groups import rows_by_label
from photoorg.curate.persons import suggested
from photoorg.curation_config import PeopleConfig
from photoorg.store.catalog import Catalog, Transaction, audit, consent, faces_of_people, people
from photoorg.store.catalog.faces_of_people import StoredCluster

STALE = 0.25
"""From this share of faces that came since the last clustering on, clustering anew pays."""


@dataclass(frozen=True, slots=True)
class PeopleUpkeep:
    """What is there now, and what went: clusters without a face, persons without face or name.

    `moved` counts clusters whose centre changed. `stale`: clustering anew pays.
    """

    faces: int
    clusters: int
    moved: int
    clusters_removed: int
    persons_removed: int
    suggestions: int
    stale: bool

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


def tidy_people(
    catalog: Catalog, tenant: str, config: PeopleConfig, actor: str
) -> PeopleUpkeep | None:
    """Bring centres, covers and suggestions up to the faces as they are; None without faces.

    Nobody's person changes. Clusters keep the radius and the core faces of their clustering, which
    new faces are measured by.
    """
    with catalog.tenant(tenant) as tx:
        people.lock(tx)
        space = next((name for name, _ in faces_of_people.spaces(tx)), None)
        if space is None:
            return None
        rows = face_rows.read(tx, space)
        stored = faces_of_people.clusters(tx, space)
        left, cluster_n = _recentred(rows, stored)
        faces_of_people.replace_clusters(tx, space, left)
        persons_k = np.array([rows.root(c.origin_id) for c in left], np.int64)
        asked = suggested(rows.faces, rows.told, cluster_n, persons_k, config)
        faces_of_people.replace_suggestions(tx, ((s.first, s.second, s.similarity) for s in asked))
        faces_of_people.set_covers(tx, _covers(rows))
        before = {c.cluster_no: c for c in stored}
        moved = sum(float(c.centroid @ before[c.cluster_no].centroid) < 1 - 1e-4 for c in left)
        done = PeopleUpkeep(
            faces=len(rows.stored),
            clusters=len(left),
            moved=moved,
            clusters_removed=len(stored) - len(left),
            persons_removed=consent.remove_empty(tx),
            suggestions=len(asked),
            stale=_stale(tx, space, len(rows.stored)),
        )
        audit.record(tx, actor, "people.tidy", "faces", space, done.to_dict())
    return done


def _recentred(
    rows: FaceRows, stored: list[StoredCluster]
) -> tuple[list[StoredCluster], np.ndarray[Any, np.dtype[np.int64]]]:
    """The clusters that have faces, around these; and the place of each face's among them."""
    at = {c.cluster_no: k for k, c in enumerate(stored)}
    number_n = np.array([at.get(f.cluster_no, -1) for f in rows.stored], np.int64)  # type: ignore[arg-type]
    left: list[StoredCluster] = []
    cluster_n = np.full(len(number_n), -1, np.int64)
    for cluster, members in zip(stored, rows_by_label(number_n, len(stored)), strict=True):
        if not len(members):
            continue
        cluster_n[members] = len(left)
        owners = Counter(rows.origins[row] for row in members.tolist() if row in rows.origins)
        owner = owners.most_common(1)[0][0] if owners else cluster.origin_id
        centre = mean_direction(rows.faces.x_nd[members])
        left.append(replace(cluster, origin_id=owner, centroid=centre, size=len(members)))
    return left, cluster_n


def _covers(rows: FaceRows) -> list[tuple[int, str, int]]:
    """The medoid of each person."""
    persons, number_n = np.unique(rows.faces.before_n, return_inverse=True)
    covers = []
    for person, at in zip(persons.tolist(), rows_by_label(number_n, len(persons)), strict=True):
        if person != NOBODY:
            best = int(at[medoid(rows.faces.x_nd[at], rows.faces.quality_n[at], 0.5)])
            covers.append((person, rows.stored[best].photo_id, rows.stored[best].face_no))
    return covers


def _stale(tx: Transaction, space: str, faces: int) -> bool:
    """Whether more than STALE of the faces came since all of them were clustered."""
    row = tx.conn.execute(
        "SELECT (detail->>'faces')::bigint FROM audit_log WHERE tenant_id = %s AND entity = 'faces'"
        " AND action = 'people.cluster' AND entity_id = %s AND (detail->>'anew')::boolean"
        " ORDER BY audit_id DESC LIMIT 1",
        [tx.tenant, space],
    ).fetchone()
    return faces - (0 if row is None else int(row[0])) > STALE * faces
