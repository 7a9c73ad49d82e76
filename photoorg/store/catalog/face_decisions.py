"""What people said about faces, for ever: kept by the face's place in its photo.

A place (photo and box) outlives the detection of faces anew, which numbers of faces do not.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from photoorg.errors import InputError
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.faces_of_people import Box, StoredFace, as_box
from photoorg.store.catalog.keys import photo_key


@dataclass(frozen=True, slots=True)
class Decision:
    """That the face at a place in a photo is (`same`) or is not a person."""

    photo_id: str
    box: Box
    person_id: int
    same: bool
    actor: str
    decided_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """That the faces at two places are one person (`same`), or two."""

    first_photo: str
    first_box: Box
    second_photo: str
    second_box: Box
    same: bool


@dataclass(frozen=True, slots=True)
class Memory:
    """Who was at a place in a photo before its faces were detected anew."""

    photo_id: str
    box: Box
    origin_id: int
    source: str


def decide(tx: Transaction, face: StoredFace, person_id: int, *, same: bool, actor: str) -> None:
    """Note for ever that the face is the person, or is not; an earlier opposite word is void."""
    key, box = photo_key(face.photo_id), list(face.box)
    tx.conn.execute(
        "DELETE FROM face_decisions WHERE tenant_id = %s AND photo_id = %s AND box = %s::real[]"
        " AND ((same AND %s) OR person_id = %s)",
        [tx.tenant, key, box, same, person_id],
    )
    tx.conn.execute(
        "INSERT INTO face_decisions (tenant_id, photo_id, box, person_id, same, user_id, actor)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [tx.tenant, key, box, person_id, same, face.user, actor],
    )


def decisions(tx: Transaction) -> list[Decision]:
    """Everything that was said about faces and persons, oldest first."""
    rows = tx.conn.execute(
        "SELECT encode(photo_id, 'hex'), box, person_id, same, actor, decided_at"
        " FROM face_decisions WHERE tenant_id = %s ORDER BY decision_id",
        [tx.tenant],
    )
    return [Decision(p, as_box(b), person, same, a, at) for p, b, person, same, a, at in rows]


def link(tx: Transaction, first: StoredFace, second: StoredFace, *, same: bool, actor: str) -> None:
    """Note for ever that two faces are one person, or two; an earlier opposite word is void."""
    one, two = sorted((first, second), key=lambda f: (f.photo_id, f.face_no))
    if (one.photo_id, one.face_no) == (two.photo_id, two.face_no):
        raise InputError("A face cannot be linked with itself.", fix="Name two faces.")
    place = [photo_key(one.photo_id), list(one.box), photo_key(two.photo_id), list(two.box)]
    unlink(tx, one, two)
    tx.conn.execute(
        "INSERT INTO face_links (tenant_id, first_photo, first_box, second_photo, second_box,"
        " same, user_id, actor) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [tx.tenant, *place, same, one.user, actor],
    )


def unlink(tx: Transaction, first: StoredFace, second: StoredFace) -> bool:
    """Take back what was said of two faces together; False if nothing was."""
    one, two = sorted((first, second), key=lambda f: (f.photo_id, f.face_no))
    place = [photo_key(one.photo_id), list(one.box), photo_key(two.photo_id), list(two.box)]
    gone = tx.conn.execute(
        "DELETE FROM face_links WHERE tenant_id = %s AND first_photo = %s"
        " AND first_box = %s::real[] AND second_photo = %s AND second_box = %s::real[]",
        [tx.tenant, *place],
    )
    return gone.rowcount > 0


def links(tx: Transaction) -> list[Link]:
    """Every link, newest first, so that the last word counts before the ones it contradicts."""
    rows = tx.conn.execute(
        "SELECT encode(first_photo, 'hex'), first_box, encode(second_photo, 'hex'), second_box,"
        " same FROM face_links WHERE tenant_id = %s ORDER BY link_id DESC",
        [tx.tenant],
    )
    return [Link(a, as_box(x), b, as_box(y), same) for a, x, b, y, same in rows]


def stranger_pairs(tx: Transaction) -> list[tuple[int, int]]:
    """Pairs of persons that are not one, as they were named."""
    rows = tx.conn.execute(
        "SELECT first_id, second_id FROM person_strangers WHERE tenant_id = %s", [tx.tenant]
    )
    return rows.fetchall()


def vouched(tx: Transaction) -> list[int]:
    """Persons that people named, merged or split off."""
    rows = tx.conn.execute(
        "SELECT person_id FROM persons WHERE tenant_id = %s AND vouched ORDER BY person_id",
        [tx.tenant],
    )
    return [person for (person,) in rows]


def memories(tx: Transaction) -> list[Memory]:
    """Who was where in photos whose faces were detected anew."""
    rows = tx.conn.execute(
        "SELECT encode(photo_id, 'hex'), box, origin_id, source FROM face_memories"
        " WHERE tenant_id = %s ORDER BY photo_id, box",
        [tx.tenant],
    )
    return [Memory(photo, as_box(box), origin, source) for photo, box, origin, source in rows]


def forget_memories(tx: Transaction, used: Iterable[Memory]) -> None:
    """Delete memories that found their faces again."""
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            "DELETE FROM face_memories WHERE tenant_id = %s AND photo_id = %s AND box = %s::real[]",
            [(tx.tenant, photo_key(m.photo_id), list(m.box)) for m in used],
        )
