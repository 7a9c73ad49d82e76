"""Scenes of the newest clustering: their photos, names and places on the map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from photoorg.errors import InputError, NotFoundError
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean, photo_key
from photoorg.store.catalog.staging import hex_column, stage

SELECT = """
SELECT s.scene_id, s.name, s.size, s.cohesion, r.space_id, r.made_at,
    encode(coalesce((SELECT p.photo_id {live} AND p.photo_id = s.cover_id),
        (SELECT p.photo_id {live} ORDER BY l.score DESC, p.photo_id LIMIT 1)), 'hex') AS cover_id
FROM scenes s JOIN scene_runs r USING (tenant_id, run_id)
WHERE s.tenant_id = %(tenant)s AND EXISTS (SELECT {live})
""".format(
    live="FROM scene_photos l JOIN photos p USING (tenant_id, photo_id)"
    " WHERE l.tenant_id = s.tenant_id AND l.scene_id = s.scene_id AND p.trashed_at IS NULL"
)
MEMBERS = {
    "scene_id": "bigint",
    "photo_id": "bytea",
    "score": "real",
    "x": "real",
    "y": "real",
}
TAGS = """
SELECT t.label, count(DISTINCT pt.photo_id) FROM photo_tags pt JOIN tags t USING (tenant_id, tag_id)
WHERE pt.tenant_id = %(tenant)s AND (%(ids)s::bytea[] IS NULL OR pt.photo_id = ANY(%(ids)s))
GROUP BY t.label
"""


@dataclass(frozen=True, slots=True)
class StoredScene:
    """A scene as listed; `cohesion` is the mean cosine of its photos to their mean.

    `size` counts the photos it was found with; the cover is one that is there and not in the trash.
    """

    scene_id: int
    name: str
    size: int
    cohesion: float
    cover_id: str
    space_id: str
    made_at: datetime


@dataclass(frozen=True, slots=True)
class Member:
    """A photo of a scene: how alike it is to the whole, and its place on the map (-1..1)."""

    photo_id: str
    score: float
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class NewScene:
    """A scene to be written."""

    name: str
    cohesion: float
    cover_id: str
    members: Sequence[Member]


def replace(
    tx: Transaction,
    space_id: str,
    settings: Mapping[str, Any],
    found: Sequence[NewScene],
    *,
    photos: int,
) -> list[int]:
    """The scenes of a new clustering instead of those before; their ids."""
    tx.conn.execute("DELETE FROM scene_runs WHERE tenant_id = %s", [tx.tenant])
    held = sum(len(scene.members) for scene in found)
    row = tx.conn.execute(
        "INSERT INTO scene_runs (tenant_id, space_id, settings, photos, noise)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING run_id",
        [tx.tenant, space_id, Jsonb(dict(settings)), photos, photos - held],
    ).fetchone()
    assert row is not None
    ids = [_insert(tx, row[0], scene) for scene in found]
    pairs = [(n, m) for n, scene in zip(ids, found, strict=True) for m in scene.members]
    columns = {
        "scene_id": pa.array([n for n, _ in pairs], pa.int64()),
        "photo_id": hex_column(photo_key(m.photo_id) for _, m in pairs),
        "score": pa.array([m.score for _, m in pairs], pa.float32()),
        "x": pa.array([m.x for _, m in pairs], pa.float32()),
        "y": pa.array([m.y for _, m in pairs], pa.float32()),
    }
    stage(tx, "staged_scene_photos", MEMBERS, [pa.table(columns)])
    tx.conn.execute(
        "INSERT INTO scene_photos (tenant_id, scene_id, photo_id, score, x, y)"
        " SELECT p.tenant_id, s.scene_id, s.photo_id, s.score, s.x, s.y"
        " FROM staged_scene_photos s JOIN photos p USING (photo_id) WHERE p.tenant_id = %s",
        [tx.tenant],
    )
    return ids


def page(
    tx: Transaction, *, after: str | None = None, limit: int = 50
) -> tuple[list[StoredScene], str | None]:
    """Scenes, largest first, and the cursor of the next page; InputError for a made-up cursor."""
    size, last = _place(after)
    sql = SELECT + (
        " AND (%(size)s::integer IS NULL OR (s.size, -s.scene_id) < (%(size)s, -%(last)s))"
        " ORDER BY s.size DESC, s.scene_id LIMIT %(limit)s"
    )
    values = {"tenant": tx.tenant, "size": size, "last": last, "limit": limit + 1}
    with tx.conn.cursor(row_factory=class_row(StoredScene)) as cursor:
        found = cursor.execute(sql.encode(), values).fetchall()
    more = len(found) > limit
    found = found[:limit]
    return found, f"{found[-1].size}-{found[-1].scene_id}" if more and found else None


def get(tx: Transaction, scene_id: int) -> StoredScene:
    """The scene; NotFoundError if there is none."""
    with tx.conn.cursor(row_factory=class_row(StoredScene)) as cursor:
        sql = SELECT + " AND s.scene_id = %(scene)s"
        values = {"tenant": tx.tenant, "scene": scene_id}
        found = cursor.execute(sql.encode(), values).fetchone()
    if found is None:
        raise NotFoundError(
            f"There is no scene {scene_id}.", fix="`photoorg scenes list` shows those there are."
        )
    return found


def members(
    tx: Transaction, scene_id: int, *, after: str | None = None, limit: int | None = 100
) -> tuple[list[Member], str | None]:
    """The scene's photos by id, none of the trash, and the cursor of the next page.

    All of them with `limit` None.
    """
    with tx.conn.cursor(row_factory=class_row(Member)) as cursor:
        found = cursor.execute(
            "SELECT encode(sp.photo_id, 'hex') AS photo_id, sp.score, sp.x, sp.y"
            " FROM scene_photos sp JOIN photos p USING (tenant_id, photo_id)"
            " WHERE sp.tenant_id = %s AND sp.scene_id = %s AND p.trashed_at IS NULL"
            " AND sp.photo_id > %s ORDER BY sp.photo_id LIMIT %s",
            [
                tx.tenant,
                scene_id,
                photo_key(after) if after else b"",
                None if limit is None else limit + 1,
            ],
        ).fetchall()
    if limit is None or len(found) <= limit:
        return found, None
    return found[:limit], found[limit - 1].photo_id


def tags(tx: Transaction, photo_ids: Sequence[str] | None = None) -> dict[str, int]:
    """How many of the photos (None: of all) bear each tag."""
    keys = None if photo_ids is None else [photo_key(i) for i in photo_ids]
    return dict(tx.conn.execute(TAGS, {"tenant": tx.tenant, "ids": keys}).fetchall())


def taken_at(tx: Transaction, photo_ids: Sequence[str]) -> list[datetime | None]:
    """When the photos were taken, in no order."""
    rows = tx.conn.execute(
        "SELECT captured_at FROM photos WHERE tenant_id = %s AND photo_id = ANY(%s)",
        [tx.tenant, [photo_key(i) for i in photo_ids]],
    )
    return [when for (when,) in rows]


def _insert(tx: Transaction, run_id: int, scene: NewScene) -> int:
    row = tx.conn.execute(
        "INSERT INTO scenes (tenant_id, run_id, name, size, cohesion, cover_id)"
        " VALUES (%s, %s, %s, %s, %s, %s) RETURNING scene_id",
        [
            tx.tenant,
            run_id,
            clean(scene.name),
            len(scene.members),
            scene.cohesion,
            photo_key(scene.cover_id),
        ],
    ).fetchone()
    assert row is not None
    return int(row[0])


def _place(after: str | None) -> tuple[int | None, int]:
    if after is None:
        return None, 0
    size, _, scene = after.partition("-")
    if not (size.isdecimal() and scene.isdecimal() and len(after) < 40):
        raise InputError(f"{after!r} is no cursor.", fix="Use the next_cursor of a page.")
    return int(size), int(scene)
