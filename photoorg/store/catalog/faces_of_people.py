"""Which face is which person, what people said about faces, and the clusters new faces meet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg.errors import InputError, NotFoundError
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key
from photoorg.store.catalog.staging import hex_column, stage

Box = tuple[float, float, float, float]

SELECT = """
SELECT encode(f.photo_id, 'hex'), f.face_no, f.box, f.quality, f.embedding, f.user_id,
    fp.person_id, coalesce(fp.origin_id, fp.person_id), fp.source, fp.cluster_no, fp.core,
    fp.confidence, f.placed
FROM faces f LEFT JOIN face_people fp USING (tenant_id, photo_id, face_no)
JOIN photos p USING (tenant_id, photo_id)
WHERE f.tenant_id = %(tenant)s
"""
ASSIGNED = {
    "photo_id": "bytea",
    "face_no": "integer",
    "person_id": "bigint",
    "origin_id": "bigint",
    "source": "text",
    "confidence": "real",
    "cluster_no": "integer",
    "core": "real",
}
ASSIGN = """
INSERT INTO face_people (tenant_id, photo_id, face_no, person_id, origin_id, source, confidence,
    cluster_no, core)
SELECT %(tenant)s, s.photo_id, s.face_no, s.person_id, s.origin_id, s.source, s.confidence,
    s.cluster_no, s.core
FROM staged_assignments s
JOIN faces f ON f.tenant_id = %(tenant)s AND f.photo_id = s.photo_id AND f.face_no = s.face_no
WHERE s.person_id IS NOT NULL
ON CONFLICT (tenant_id, photo_id, face_no) DO UPDATE SET person_id = excluded.person_id,
    origin_id = excluded.origin_id, source = excluded.source, confidence = excluded.confidence,
    cluster_no = excluded.cluster_no, core = excluded.core
"""
UNASSIGN = """
DELETE FROM face_people fp USING staged_assignments s
WHERE fp.tenant_id = %(tenant)s AND fp.photo_id = s.photo_id AND fp.face_no = s.face_no
    AND s.person_id IS NULL
"""

OUT_OF_SIGHT = """
UPDATE face_people fp SET cluster_no = NULL, core = NULL
FROM faces f JOIN photos p USING (tenant_id, photo_id)
WHERE fp.tenant_id = %(tenant)s AND fp.cluster_no IS NOT NULL AND f.tenant_id = fp.tenant_id
    AND f.photo_id = fp.photo_id AND f.face_no = fp.face_no
    AND (f.space_id IS DISTINCT FROM %(space)s OR p.trashed_at IS NOT NULL)
"""
PLACED = """
UPDATE faces f SET placed = true FROM staged_assignments s
WHERE f.tenant_id = %(tenant)s AND f.photo_id = s.photo_id AND f.face_no = s.face_no
    AND NOT f.placed
"""


@dataclass(frozen=True, slots=True)
class StoredFace:
    """A face with who it is; `origin_id` is who it was before merges.

    `placed` says whether a grouping has looked at it.
    """

    photo_id: str
    face_no: int
    box: Box
    quality: float
    embedding: NDArray[np.float32]
    user: str
    person_id: int | None
    origin_id: int | None
    source: str | None
    cluster_no: int | None
    core: float | None
    confidence: float | None
    placed: bool


@dataclass(frozen=True, slots=True)
class Assigned:
    """Who a face becomes; person None takes it from everybody."""

    photo_id: str
    face_no: int
    person_id: int | None
    origin_id: int | None
    source: str
    confidence: float | None = None
    cluster_no: int | None = None
    core: float | None = None


@dataclass(frozen=True, slots=True)
class StoredCluster:
    """A cluster that new faces are placed into."""

    cluster_no: int
    origin_id: int
    centroid: NDArray[np.float32]
    radius: float
    size: int


def spaces(tx: Transaction) -> list[tuple[str, int]]:
    """Spaces the faces are embedded in and how many, the most used first."""
    rows = tx.conn.execute(
        "SELECT space_id, count(*) FROM faces WHERE tenant_id = %s AND embedding IS NOT NULL"
        " GROUP BY space_id ORDER BY count(*) DESC, space_id",
        [tx.tenant],
    )
    return rows.fetchall()


def in_space(tx: Transaction, space_id: str) -> list[StoredFace]:
    """Every face embedded in the space, in the order of photo and number; none of the trash."""
    sql = SELECT + (
        " AND f.space_id = %(space)s AND f.embedding IS NOT NULL AND p.trashed_at IS NULL"
        " ORDER BY f.photo_id, f.face_no"
    )
    values = {"tenant": tx.tenant, "space": space_id}
    with tx.conn.cursor(name="faces_in_space") as cursor:
        cursor.itersize = 5_000
        return [_face(row) for row in cursor.execute(sql, values)]


def waiting(tx: Transaction, space_id: str) -> int:
    """How many faces of the space no grouping has looked at; none of the trash."""
    row = tx.conn.execute(
        "SELECT count(*) FROM faces f JOIN photos p USING (tenant_id, photo_id)"
        " WHERE f.tenant_id = %s AND f.space_id = %s AND NOT f.placed"
        " AND f.embedding IS NOT NULL AND p.trashed_at IS NULL",
        [tx.tenant, space_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def get(tx: Transaction, photo_id: str, face_no: int) -> StoredFace:
    """One face; NotFoundError if there is none."""
    sql = SELECT + " AND f.photo_id = %(photo)s AND f.face_no = %(face)s"
    row = tx.conn.execute(
        sql.encode(), {"tenant": tx.tenant, "photo": photo_key(photo_id), "face": face_no}
    ).fetchone()
    if row is None:
        raise NotFoundError(
            f"Photo {photo_id} has no face {face_no}.",
            fix="`photoorg people show` lists the faces of a person.",
        )
    return _face(row)


def of_person(
    tx: Transaction, person_id: int, *, after: str | None = None, limit: int = 50
) -> tuple[list[StoredFace], str | None]:
    """The person's faces by photo and number, and the cursor of the next page."""
    return _page(tx, "fp.person_id = %(person)s", {"person": person_id}, after, limit)


def unknown(
    tx: Transaction, *, after: str | None = None, limit: int = 50
) -> tuple[list[StoredFace], str | None]:
    """Faces that are nobody's so far, and the cursor of the next page."""
    return _page(tx, "fp.person_id IS NULL", {}, after, limit)


def assign(tx: Transaction, assigned: Sequence[Assigned]) -> None:
    """Write who faces are, so that none of them waits; those gone meanwhile are passed over."""
    if not assigned:
        return
    columns = {
        "photo_id": hex_column(photo_key(a.photo_id) for a in assigned),
        "face_no": pa.array([a.face_no for a in assigned], pa.int32()),
        "person_id": pa.array([a.person_id for a in assigned], pa.int64()),
        "origin_id": pa.array([a.origin_id for a in assigned], pa.int64()),
        "source": pa.array([a.source for a in assigned], pa.string()),
        "confidence": pa.array([a.confidence for a in assigned], pa.float32()),
        "cluster_no": pa.array([a.cluster_no for a in assigned], pa.int32()),
        "core": pa.array([a.core for a in assigned], pa.float32()),
    }
    stage(tx, "staged_assignments", ASSIGNED, [pa.table(columns)])
    tx.conn.execute(UNASSIGN, {"tenant": tx.tenant})
    tx.conn.execute(ASSIGN, {"tenant": tx.tenant})
    tx.conn.execute(PLACED, {"tenant": tx.tenant})


def replace_clusters(tx: Transaction, space_id: str, clusters: Sequence[StoredCluster]) -> None:
    """The clusters of the newest clustering instead of those before.

    Their numbers may be those of others before: faces that it did not see, of the trash or of
    another space, are in no cluster from now on.
    """
    tx.conn.execute("DELETE FROM face_clusters WHERE tenant_id = %s", [tx.tenant])
    tx.conn.execute(OUT_OF_SIGHT, {"tenant": tx.tenant, "space": space_id})
    add_clusters(tx, space_id, clusters)


def add_clusters(tx: Transaction, space_id: str, clusters: Sequence[StoredCluster]) -> None:
    """Further clusters beside those of the newest clustering."""
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO face_clusters (tenant_id, cluster_no, space_id, origin_id, centroid,"
            " radius, size) VALUES (%s, %s, %s, %s, %s, %s, %s)",
            [
                (
                    tx.tenant,
                    c.cluster_no,
                    space_id,
                    c.origin_id,
                    np.asarray(c.centroid, "<f4").tobytes(),
                    min(c.radius, 2.0),
                    c.size,
                )
                for c in clusters
            ],
        )


def clusters(tx: Transaction, space_id: str) -> list[StoredCluster]:
    """The clusters of the newest clustering, if it was in this space."""
    rows = tx.conn.execute(
        "SELECT cluster_no, origin_id, centroid, radius, size FROM face_clusters"
        " WHERE tenant_id = %s AND space_id = %s ORDER BY cluster_no",
        [tx.tenant, space_id],
    )
    return [
        StoredCluster(no, origin, np.frombuffer(centroid, "<f4"), radius, size)
        for no, origin, centroid, radius, size in rows
    ]


def set_covers(tx: Transaction, covers: Iterable[tuple[int, str, int]]) -> None:
    """The face (photo and number) that stands for each person."""
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            "UPDATE persons SET cover_photo = %s, cover_face = %s"
            " WHERE tenant_id = %s AND person_id = %s",
            [(photo_key(photo), face, tx.tenant, person) for person, photo, face in covers],
        )


def replace_suggestions(tx: Transaction, found: Iterable[tuple[int, int, float]]) -> None:
    """The suggestions of the newest clustering instead of those before."""
    tx.conn.execute("DELETE FROM person_suggestions WHERE tenant_id = %s", [tx.tenant])
    add_suggestions(tx, found)


def add_suggestions(tx: Transaction, found: Iterable[tuple[int, int, float]]) -> None:
    """Further suggestions beside those of the newest clustering."""
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO person_suggestions (tenant_id, first_id, second_id, similarity)"
            " VALUES (%s, %s, %s, %s) ON CONFLICT DO NOTHING",
            [(tx.tenant, min(a, b), max(a, b), near) for a, b, near in found if a != b],
        )


def suggestions(
    tx: Transaction, *, after: str | None = None, limit: int = 50
) -> tuple[list[tuple[int, int, float]], str | None]:
    """Pairs of persons that may be one, by their ids, and the cursor of the next page."""
    one, two = (0, 0) if after is None else _numbers(after)
    found = tx.conn.execute(
        "SELECT first_id, second_id, similarity FROM person_suggestions s"
        " WHERE tenant_id = %s AND (first_id, second_id) > (%s, %s)"
        " AND NOT EXISTS (SELECT FROM persons p WHERE p.tenant_id = s.tenant_id"
        "  AND p.person_id IN (s.first_id, s.second_id)"
        "  AND (p.hidden OR p.merged_into IS NOT NULL))"
        " ORDER BY first_id, second_id LIMIT %s",
        [tx.tenant, one, two, limit + 1],
    ).fetchall()
    more = len(found) > limit
    return found[:limit], f"{found[limit - 1][0]}-{found[limit - 1][1]}" if more else None


def _page(
    tx: Transaction, condition: str, values: dict[str, int], after: str | None, limit: int
) -> tuple[list[StoredFace], str | None]:
    photo, number = ("", -1)
    if after is not None:
        photo, _, text = after.partition("-")
        if not text.isdecimal() or len(text) > 9:
            raise InputError(f"{after!r} is no cursor.", fix="Use the next_cursor of a page.")
        number = int(text)
    sql = SELECT + (
        f" AND {condition} AND p.trashed_at IS NULL"
        " AND (f.photo_id, f.face_no) > (%(photo)s, %(number)s)"
        " ORDER BY f.photo_id, f.face_no LIMIT %(limit)s"
    )
    place = {"photo": photo_key(photo) if photo else b"", "number": number, "limit": limit + 1}
    rows = tx.conn.execute(sql.encode(), {"tenant": tx.tenant, **values, **place}).fetchall()
    found = [_face(row) for row in rows[:limit]]
    more = len(rows) > limit
    return found, f"{found[-1].photo_id}-{found[-1].face_no}" if more and found else None


def _numbers(after: str) -> tuple[int, int]:
    one, _, two = after.partition("-")
    if not (one.isdecimal() and two.isdecimal() and len(after) < 40):
        raise InputError(f"{after!r} is no cursor.", fix="Use the next_cursor of a page.")
    return int(one), int(two)


def _face(row: Sequence[object]) -> StoredFace:
    photo, number, box, quality, embedding, *rest = row
    x_d = np.frombuffer(embedding or b"", "<f2").astype(np.float32)  # type: ignore[call-overload]
    return StoredFace(photo, number, as_box(box), quality, x_d, *rest)  # type: ignore[arg-type]


def as_box(values: object) -> Box:
    """A real[] of four as a box."""
    x, y, width, height = (float(v) for v in values)  # type: ignore[attr-defined]
    return x, y, width, height
