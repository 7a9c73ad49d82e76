"""People: who is in the photos, found by clustering and corrected by people, in the catalog."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from photoorg.curate import face_rows
from photoorg.curate.calibrated import people_in_force
from photoorg.curate.constraints import NOBODY
from photoorg.curate.covers import medoid
from photoorg.curate.face_rows import FaceRows
from photoorg.curate.groups import rows_by_label
from photoorg.curate.newcomers import MOST, start_persons
from photoorg.curate.people_clusters import (
    Made,
    StoredModel,
    assignments,
    numbered,
    stored_model,
)
from photoorg.curate.persons import FIRST_NEW, place, regroup
from photoorg.curation_config import PeopleConfig
from photoorg.errors import InputError
from photoorg.store.catalog import (
    Catalog,
    Transaction,
    audit,
    consent,
    face_decisions,
    faces_of_people,
    people,
)
from photoorg.store.catalog.faces_of_people import Assigned, StoredCluster, StoredFace

ATTEMPTS = 3
STALE = 0.25
FaceKey = tuple[str, int]
"""A face by its photo's id and its number there."""


@dataclass(frozen=True, slots=True)
class PeopleSummary:
    """What a grouping came to; `stale`: so many faces are new that clustering anew pays."""

    faces: int
    known: int
    unknown: int
    persons: int
    new_persons: int
    clusters: int
    suggestions: int
    space: str | None
    seconds: float
    stale: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


class People:
    """A tenant's persons. Every change is audited under `actor` and can be taken back."""

    def __init__(self, catalog: Catalog, tenant: str, config: PeopleConfig, actor: str) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._config = config
        self._actor = actor

    def cluster(self, space_id: str | None = None) -> PeopleSummary:
        """Cluster every face of a space anew (None: the one most faces are embedded in).

        Names, merges, confirmations and removals hold. Nobody waits for the arithmetic: what people
        change meanwhile makes it start over, in the end with the changers waiting.
        """
        return self._group(space_id, anew=True)

    def place_new(self, space_id: str | None = None) -> PeopleSummary:
        """Give faces without a person to the clusters there are; cluster if there are none.

        Tight groups among those that are left become persons.
        """
        return self._group(space_id, anew=False)

    def place_waiting(self, most: int | None = None) -> PeopleSummary | None:
        """Place faces that no grouping has looked at; None without a look at others if none waits.

        Where there are no clusters yet they are made, but (`most`) only of so many faces; and new
        persons start from waiting faces and those like them, at most so many.
        """
        with self._catalog.tenant(self._tenant) as tx:
            space, faces = next(iter(faces_of_people.spaces(tx)), (None, 0))
            if space is None or not faces_of_people.waiting(tx, space):
                return None
            if most is not None and faces > most and not faces_of_people.clusters(tx, space):
                return None
        return self._group(space, anew=False, waiting=True, most=most or MOST)

    def remove(self, faces: Sequence[FaceKey], person_id: int) -> int:
        """Take faces away from a person; they never come back by themselves. How many."""
        with self._catalog.tenant(self._tenant) as tx:
            people.lock(tx)
            people.living(tx, person_id)
            found = _faces(tx, faces)
            for face in found:
                self._deny(tx, face, person_id)
            gone = [f for f in found if f.person_id == person_id]
            faces_of_people.assign(tx, [_nobody(f) for f in gone])
            self._noted(tx, "faces.remove", person_id, found)
        return len(gone)

    def confirm(self, faces: Sequence[FaceKey], person_id: int | None, name: str | None) -> int:
        """Say that faces are a person (None: a new one, called `name`); the person's id."""
        with self._catalog.tenant(self._tenant) as tx:
            people.lock(tx)
            found = _faces(tx, faces)
            if person_id is None:
                person_id = people.create(tx, vouched=True)
            people.living(tx, person_id)
            self._give(tx, found, person_id)
            if name is not None:
                people.rename(tx, person_id, name, self._actor)
            self._noted(tx, "faces.confirm", person_id, found)
        return person_id

    def split(self, person_id: int, faces: Sequence[FaceKey], name: str | None = None) -> int:
        """Make a new person of some faces of another; the new person's id.

        The two are strangers from then on. InputError if a face is not the person's.
        """
        with self._catalog.tenant(self._tenant) as tx:
            people.lock(tx)
            people.living(tx, person_id)
            found = _faces(tx, faces)
            others = [f for f in found if f.person_id != person_id]
            if others:
                raise InputError(
                    f"Face {others[0].face_no} of photo {others[0].photo_id} is not of person"
                    f" {person_id}.",
                    fix="`photoorg people show` lists the faces of a person.",
                )
            new = people.create(tx, vouched=True)
            for face in found:
                self._deny(tx, face, person_id)
            self._give(tx, found, new)
            tx.conn.execute(
                "UPDATE persons SET vouched = true WHERE tenant_id = %s AND person_id = %s",
                [tx.tenant, person_id],
            )
            people.strangers(tx, person_id, new, self._actor)
            if name is not None:
                people.rename(tx, new, name, self._actor)
            self._noted(tx, "person.split", person_id, found, new=new)
        return new

    def link(self, first: FaceKey, second: FaceKey, *, same: bool) -> None:
        """Say that two faces are one person, or two, whoever they are; the next grouping obeys."""
        with self._catalog.tenant(self._tenant) as tx:
            people.lock(tx)
            one, two = _faces(tx, [first]) + _faces(tx, [second])
            face_decisions.link(tx, one, two, same=same, actor=self._actor)
            self._noted(tx, "faces.link", 0, [one, two], same=same)

    def unlink(self, first: FaceKey, second: FaceKey) -> bool:
        """Take a link back; False if there is none. Who the faces are, the next grouping says."""
        with self._catalog.tenant(self._tenant) as tx:
            people.lock(tx)
            one, two = _faces(tx, [first]) + _faces(tx, [second])
            gone = face_decisions.unlink(tx, one, two)
            if gone:
                self._noted(tx, "faces.unlink", 0, [one, two])
        return gone

    def _group(
        self, space_id: str | None, *, anew: bool, waiting: bool = False, most: int = MOST
    ) -> PeopleSummary:
        started = time.monotonic()
        for attempt in range(ATTEMPTS):
            with self._catalog.tenant(self._tenant) as tx:
                last = attempt == ATTEMPTS - 1
                if last:
                    people.lock(tx)
                space = space_id or next((name for name, _ in faces_of_people.spaces(tx)), None)
                seen = _changes(tx)
                rows = face_rows.read(tx, space or "")
                config = people_in_force(tx, self._config)
                model = None if anew else stored_model(tx, rows, space or "", config)
                if last:
                    made = _computed(rows, model, config, waiting, most)
                    return self._written(tx, rows, made, space, started)
            made = _computed(rows, model, config, waiting, most)
            with self._catalog.tenant(self._tenant) as tx:
                people.lock(tx)
                if _changes(tx) == seen:
                    return self._written(tx, rows, made, space, started)
        raise AssertionError("the last attempt returns")

    def _written(
        self,
        tx: Transaction,
        rows: FaceRows,
        made: Made,
        space: str | None,
        started: float,
    ) -> PeopleSummary:
        grouping, anew = made.grouping, made.anew
        numbers = np.unique(grouping.person_n[grouping.person_n <= FIRST_NEW])
        new = {int(number): people.create(tx) for number in numbers[::-1]}
        assigned = assignments(rows, grouping, new, anew=anew)
        # Of a placing, most faces stay as they are: writing them again is most of its time.
        changed = [
            a
            for a, f in zip(assigned, rows.stored, strict=True)
            if anew or not f.placed or a.person_id != f.person_id
        ]
        faces_of_people.assign(tx, changed)
        face_decisions.forget_memories(tx, rows.recalled)
        if space is not None and (anew or grouping.clusters):
            self._write_clusters(tx, rows, made, assigned, new, space)
        consent.remove_empty(tx)
        before_n = rows.faces.before_n
        fresh = int((before_n == NOBODY).sum())
        unknown = int((grouping.person_n == NOBODY).sum())
        known = grouping.person_n[grouping.person_n != NOBODY]
        summary = PeopleSummary(
            faces=len(rows.stored),
            known=len(rows.stored) - unknown,
            unknown=unknown,
            persons=len(np.unique(known)),
            new_persons=len(new),
            clusters=len(grouping.clusters),
            suggestions=len(grouping.suggestions),
            space=space,
            seconds=round(time.monotonic() - started, 3),
            stale=not anew and (not made.whole or fresh > STALE * max(1, len(rows.stored))),
        )
        told = {**summary.to_dict(), "anew": anew}
        audit.record(tx, self._actor, "people.cluster", "faces", space or "", told)
        return summary

    def _write_clusters(
        self,
        tx: Transaction,
        rows: FaceRows,
        made: Made,
        assigned: Sequence[Assigned],
        new: dict[int, int],
        space: str,
    ) -> None:
        """All clusters, suggestions and covers of a clustering; of a placing, those it added."""
        grouping = made.grouping
        origins: dict[int, Counter[int]] = {}
        for row, given in zip(range(len(rows.stored)), assigned, strict=True):
            if given.origin_id is not None:
                origins.setdefault(int(grouping.cluster_n[row]), Counter())[given.origin_id] += 1
        clusters = [
            StoredCluster(
                number, origins[number].most_common(1)[0][0], c.centroid, c.radius, c.size
            )
            for number, c in enumerate(grouping.clusters, made.first)
        ]
        asked = [
            (new.get(s.first, s.first), new.get(s.second, s.second), s.similarity)
            for s in grouping.suggestions
        ]
        if made.anew:
            faces_of_people.replace_clusters(tx, space, clusters)
            faces_of_people.replace_suggestions(tx, asked)
        else:
            faces_of_people.add_clusters(tx, space, clusters)
            faces_of_people.add_suggestions(tx, asked)
        covers = []
        persons, number_n = np.unique(grouping.person_n, return_inverse=True)
        for person, at in zip(persons.tolist(), rows_by_label(number_n, len(persons)), strict=True):
            if person == NOBODY or not (made.anew or person in new):
                continue
            best = at[medoid(rows.faces.x_nd[at], rows.faces.quality_n[at], 0.5)]
            face = rows.stored[best]
            covers.append((new.get(person, person), face.photo_id, face.face_no))
        faces_of_people.set_covers(tx, covers)

    def _deny(self, tx: Transaction, face: StoredFace, person_id: int) -> None:
        face_decisions.decide(tx, face, person_id, same=False, actor=self._actor)
        if face.origin_id not in (None, person_id) and face.person_id == person_id:
            assert face.origin_id is not None
            face_decisions.decide(tx, face, face.origin_id, same=False, actor=self._actor)

    def _give(self, tx: Transaction, found: Sequence[StoredFace], person_id: int) -> None:
        for face in found:
            face_decisions.decide(tx, face, person_id, same=True, actor=self._actor)
        faces_of_people.assign(
            tx,
            [Assigned(f.photo_id, f.face_no, person_id, person_id, "user", 1.0) for f in found],
        )

    def _noted(
        self, tx: Transaction, action: str, person: int, faces: Sequence[StoredFace], **more: Any
    ) -> None:
        """With whose the faces were, so that it can be put back."""
        told = [(f.photo_id, f.face_no) for f in faces]
        detail = {"faces": told, "before": [f.person_id for f in faces], **more}
        audit.record(tx, self._actor, action, "person", str(person), detail)


def _computed(
    rows: FaceRows, model: StoredModel | None, config: PeopleConfig, waiting: bool, most: int
) -> Made:
    if model is None:
        return Made(regroup(rows.faces, rows.told, config), anew=True)
    known = model.known
    placed = place(rows.faces, rows.told, known.model, known.person_k, config)
    seeds = [not (waiting and f.placed) for f in rows.stored]
    grouping, whole = start_persons(
        rows.faces, rows.told, known, placed, np.array(seeds, bool), config, most
    )
    return Made(numbered(grouping, model.numbers), whole=whole, first=model.following)


def _faces(tx: Transaction, faces: Sequence[FaceKey]) -> list[StoredFace]:
    if not faces:
        raise InputError("No face is named.", fix="Name at least one, as PHOTO_ID:NUMBER.")
    return [faces_of_people.get(tx, photo, number) for photo, number in dict.fromkeys(faces)]


def _nobody(face: StoredFace) -> Assigned:
    return Assigned(face.photo_id, face.face_no, None, None, "user")


def _changes(tx: Transaction) -> int:
    """A number that grows with every change people make."""
    row = tx.conn.execute(
        "SELECT coalesce(max(audit_id), 0) FROM audit_log WHERE tenant_id = %s"
        " AND entity IN ('person', 'consent')",
        [tx.tenant],
    ).fetchone()
    assert row is not None
    return int(row[0])
