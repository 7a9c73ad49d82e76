"""From the catalog's rows to the arrays that faces are grouped as."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.constraints import NOBODY, Constraints
from photoorg.curate.grouping import FaceSet
from photoorg.curate.places import match
from photoorg.store.catalog import Transaction, face_decisions, faces_of_people, people
from photoorg.store.catalog.face_decisions import Memory
from photoorg.store.catalog.faces_of_people import Box, StoredFace


@dataclass(frozen=True, slots=True)
class FaceRows:
    """Faces of one space as stored and as arrays, what people said about them, and who is whom.

    `origins` says who each row was before merges; `recalled` are memories that found their face.
    """

    stored: Sequence[StoredFace]
    faces: FaceSet
    told: Constraints
    origins: Mapping[int, int]
    parent_of: Mapping[int, int]
    recalled: Sequence[Memory] = field(default=())

    def root(self, person: int) -> int:
        """Who a person is after every merge."""
        return people.root(self.parent_of, person)


def read(tx: Transaction, space_id: str) -> FaceRows:
    """Everything a grouping of the tenant's faces in one space goes by."""
    stored = faces_of_people.in_space(tx, space_id)
    parent_of = people.parents(tx)
    places = _Places(stored)
    origins = {row: f.origin_id for row, f in enumerate(stored) if f.origin_id is not None}
    recalled = []
    for memory in face_decisions.memories(tx):
        row = places.row(memory.photo_id, memory.box)
        if row is not None:
            recalled.append(memory)
            origins.setdefault(row, memory.origin_id)
    before_n = np.full(len(stored), NOBODY, np.int64)
    for row, origin in origins.items():
        before_n[row] = people.root(parent_of, origin)
    vouched = frozenset(people.root(parent_of, p) for p in face_decisions.vouched(tx))
    faces = _face_set(stored, before_n, vouched)
    return FaceRows(stored, faces, _told(tx, places, parent_of), origins, parent_of, recalled)


class _Places:
    """Rows of faces by photo, to be found by a box that overlaps theirs."""

    def __init__(self, stored: Sequence[StoredFace]) -> None:
        self._boxes = [face.box for face in stored]
        self._rows: dict[str, list[int]] = {}
        for row, face in enumerate(stored):
            self._rows.setdefault(face.photo_id, []).append(row)

    def row(self, photo_id: str, box: Box) -> int | None:
        """The face at that place, None if there is none (any more)."""
        rows = self._rows.get(photo_id, [])
        found = match([box], [self._boxes[row] for row in rows])
        return rows[found[0]] if found else None


def _told(tx: Transaction, places: _Places, parent_of: Mapping[int, int]) -> Constraints:
    confirmed: dict[int, int] = {}
    excluded: dict[int, set[int]] = {}
    for decision in face_decisions.decisions(tx):
        row, person = (
            places.row(decision.photo_id, decision.box),
            people.root(parent_of, decision.person_id),
        )
        if row is None:
            continue
        if decision.same:
            confirmed[row] = person
            excluded.get(row, set()).discard(person)
        else:
            excluded.setdefault(row, set()).add(person)
            if confirmed.get(row) == person:
                del confirmed[row]
    must: list[tuple[int, int]] = []
    cannot: list[tuple[int, int]] = []
    for link in face_decisions.links(tx):
        first = places.row(link.first_photo, link.first_box)
        second = places.row(link.second_photo, link.second_box)
        if first is not None and second is not None and first != second:
            (must if link.same else cannot).append((first, second))
    return Constraints(
        confirmed=confirmed,
        excluded={row: frozenset(persons) for row, persons in excluded.items() if persons},
        must=must,
        cannot=cannot,
        strangers=frozenset(
            frozenset((people.root(parent_of, a), people.root(parent_of, b)))
            for a, b in face_decisions.stranger_pairs(tx)
        ),
    )


def _face_set(
    stored: Sequence[StoredFace], before_n: NDArray[np.int64], vouched: frozenset[int]
) -> FaceSet:
    numbers: dict[str, int] = {}
    photos_n = [numbers.setdefault(face.photo_id, len(numbers)) for face in stored]
    dim = len(stored[0].embedding) if stored else 1
    x_nd = np.zeros((len(stored), dim), np.float32)
    for row, face in enumerate(stored):
        x_nd[row] = face.embedding
    x_nd /= np.maximum(np.linalg.norm(x_nd, axis=1, keepdims=True), 1e-6)
    quality_n = np.array([face.quality for face in stored], np.float32)
    return FaceSet(x_nd, quality_n, np.array(photos_n, np.int64), before_n, vouched)
