"""Resolving groups of duplicates, and undoing it: trash, merged metadata, decisions."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from psycopg import errors
from psycopg.types.json import Jsonb

from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.store.catalog import audit, delta, duplicates, trash
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.failures import LAST_COPY, last_copy
from photoorg.store.catalog.keys import photo_key

Action = Literal["merge", "ignore", "stack"]
STATUS = {"merge": "merged", "ignore": "ignored", "stack": "stacked"}
FILLED = (
    ("title",),
    ("caption",),
    ("captured_at", "captured_offset_minutes", "captured_source"),
    ("latitude", "longitude", "altitude_m"),
)
"""Columns of the keeper that are filled together, where the first is empty, from another copy."""
"""What the triggers of 0003_duplicates.sql raise."""
TYPES = {
    "favourite": "boolean",
    "title": "text",
    "caption": "text",
    "captured_at": "timestamptz",
    "captured_offset_minutes": "integer",
    "captured_source": "text",
    "latitude": "double precision",
    "longitude": "double precision",
    "altitude_m": "double precision",
}
GAIN_ALBUMS = """
INSERT INTO album_photos (tenant_id, album_id, photo_id)
SELECT DISTINCT tenant_id, album_id, %(keeper)s::bytea FROM album_photos
WHERE tenant_id = %(tenant)s AND photo_id = ANY(%(others)s)
ON CONFLICT DO NOTHING RETURNING album_id
"""
GAIN_TAGS = """
INSERT INTO photo_tags (tenant_id, photo_id, tag_id, score, source)
SELECT DISTINCT ON (tag_id) tenant_id, %(keeper)s::bytea, tag_id, score, source FROM photo_tags
WHERE tenant_id = %(tenant)s AND photo_id = ANY(%(others)s)
ORDER BY tag_id, source = 'user' DESC, score DESC NULLS LAST
ON CONFLICT DO NOTHING RETURNING tag_id
"""
TRASHED = """
INSERT INTO duplicate_trashed (tenant_id, photo_id, keeper_id, undo_token)
SELECT %s, id, %s, %s FROM unnest(%s::bytea[]) AS id ORDER BY id
ON CONFLICT (tenant_id, photo_id) DO UPDATE
    SET keeper_id = excluded.keeper_id, undo_token = excluded.undo_token
"""


@dataclass(frozen=True, slots=True)
class Resolution:
    """What resolving a group did; `undo_token` takes it back."""

    group_id: int
    action: str
    kept: str | None
    removed: tuple[str, ...]
    undo_token: str


@dataclass(frozen=True, slots=True)
class Undone:
    """What an undo brought back."""

    group_id: int
    action: str
    restored: tuple[str, ...]


def resolve(
    tx: Transaction,
    group_id: int,
    action: Action,
    *,
    keeper_id: str | None = None,
    distinct: bool = False,
    actor: str = "user",
) -> Resolution:
    """Resolve an open group.

    merge: the keeper (the suggested one, or `keeper_id`) takes over albums, tags, favourite and
    empty title, caption, time and place of the others, which go to the trash. ignore: all stay,
    and are suggested again only with a new member; with `distinct` no two of them ever are. stack:
    all stay, under the keeper. NotFoundError for an unknown group; InputError if the keeper is none
    of its live members or named for what keeps all; ConflictError if it is resolved already, has
    one live member left, or a live copy would be lost.
    """
    if action == "ignore" and keeper_id is not None:
        raise InputError(
            "Ignoring a group keeps all of its photos: there is no one to keep.",
            fix="Merge or stack it, or name no photo to keep.",
        )
    delta.lock(tx)
    duplicates.lock(tx)
    group = duplicates.get(tx, group_id)
    if group is None:
        raise NotFoundError(
            f"There is no group {group_id} of duplicates.",
            fix="`photoorg dedup list` shows those there are.",
        )
    if group.status != "open":
        raise ConflictError(
            f"Group {group_id} is {group.status} already.",
            fix="Undo that first, with the token it gave.",
        )
    live = [m.photo_id for m in group.members if not m.trashed]
    keeper = keeper_id or group.keeper_id
    if action != "ignore":
        _check(group_id, keeper, live)
    others = tuple(i for i in live if i != keeper) if action == "merge" else ()
    token = secrets.token_urlsafe(18)
    _record(tx, token, group_id, action, keeper if action != "ignore" else None, actor)
    if action == "merge":
        _merge(tx, keeper, others, token)
    else:
        decision = "stack" if action == "stack" else "distinct" if distinct else "keep"
        duplicates.decide(tx, live, decision, undo_token=token)
    tx.conn.execute(
        "UPDATE duplicate_groups SET status = %s, keeper_id = %s"
        " WHERE tenant_id = %s AND group_id = %s",
        [
            STATUS[action],
            photo_key(keeper if action != "ignore" else group.keeper_id),
            tx.tenant,
            group_id,
        ],
    )
    done = Resolution(group_id, action, None if action == "ignore" else keeper, others, token)
    detail = {"kept": done.kept, "removed": list(others), "distinct": distinct}
    audit.record(tx, actor, f"duplicates.{action}", "duplicate_group", str(group_id), detail)
    return done


def undo(tx: Transaction, undo_token: str, *, actor: str = "user") -> Undone:
    """Take a resolution back: photos out of the trash, the keeper's metadata as before, decisions
    gone, the group open. What people changed since stays. NotFoundError for an unknown token,
    ConflictError for one that was used.
    """
    delta.lock(tx)
    duplicates.lock(tx)
    row = tx.conn.execute(
        "SELECT group_id, action, encode(keeper_id, 'hex'), before, undone_at"
        " FROM duplicate_resolutions WHERE tenant_id = %s AND undo_token = %s FOR UPDATE",
        [tx.tenant, undo_token],
    ).fetchone()
    if row is None:
        raise NotFoundError(
            "There is nothing to undo under this token.",
            fix="Take the undo_token that resolving the group gave.",
        )
    group_id, action, keeper, before, undone_at = row
    if undone_at is not None:
        raise ConflictError("This was undone already.", fix="Resolve the group again.")
    restored: list[str] = []
    if action == "merge":
        removed = tx.conn.execute(
            "DELETE FROM duplicate_trashed WHERE tenant_id = %s AND undo_token = %s"
            " RETURNING encode(photo_id, 'hex')",
            [tx.tenant, undo_token],
        ).fetchall()
        restored = trash.restore(tx, sorted(photo_id for (photo_id,) in removed))
        _give_back(tx, keeper, before)
    tx.conn.execute(
        "DELETE FROM duplicate_decisions WHERE tenant_id = %s AND undo_token = %s",
        [tx.tenant, undo_token],
    )
    tx.conn.execute(
        "UPDATE duplicate_resolutions SET undone_at = now() WHERE tenant_id = %s"
        " AND undo_token = %s",
        [tx.tenant, undo_token],
    )
    tx.conn.execute(
        "UPDATE duplicate_groups SET status = 'open' WHERE tenant_id = %s AND group_id = %s",
        [tx.tenant, group_id],
    )
    detail = {"action": action, "restored": restored}
    audit.record(tx, actor, "duplicates.undo", "duplicate_group", str(group_id), detail)
    return Undone(group_id, action, tuple(restored))


def _check(group_id: int, keeper: str, live: Sequence[str]) -> None:
    if keeper not in live:
        raise InputError(
            f"Photo {keeper!r} is no live member of group {group_id}.",
            fix="Keep one of its members that is not in the trash.",
        )
    if len(live) < 2:
        raise ConflictError(
            f"Group {group_id} has only one live member left.", fix="Run `photoorg dedup scan`."
        )


def _record(
    tx: Transaction, token: str, group_id: int, action: str, keeper: str | None, actor: str
) -> None:
    tx.conn.execute(
        "INSERT INTO duplicate_resolutions"
        " (tenant_id, undo_token, group_id, action, keeper_id, actor)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [tx.tenant, token, group_id, action, keeper and photo_key(keeper), actor],
    )


def _merge(tx: Transaction, keeper: str, others: Sequence[str], token: str) -> None:
    key, keys = photo_key(keeper), [photo_key(i) for i in others]
    try:
        with tx.conn.transaction():
            tx.conn.execute(TRASHED, [tx.tenant, key, token, keys])
            before = _take_over(tx, key, keys)
            trash.put(tx, others)
    except errors.Error as error:
        if error.sqlstate != LAST_COPY:
            raise
        raise last_copy(error) from None
    tx.conn.execute(
        "UPDATE duplicate_resolutions SET before = %s WHERE tenant_id = %s AND undo_token = %s",
        [Jsonb(before), tx.tenant, token],
    )


def _take_over(tx: Transaction, keeper: bytes, others: Sequence[bytes]) -> dict[str, Any]:
    """Give the keeper what it lacks; what changed, and what was there before."""
    values = {"tenant": tx.tenant, "keeper": keeper, "others": list(others)}
    albums = [album for (album,) in tx.conn.execute(GAIN_ALBUMS, values)]
    tags = [tag for (tag,) in tx.conn.execute(GAIN_TAGS, values)]
    columns: dict[str, Any] = {}
    favourite = tx.conn.execute(
        "UPDATE photos SET favourite = true, updated_at = now() WHERE tenant_id = %(tenant)s"
        " AND photo_id = %(keeper)s AND NOT favourite AND EXISTS (SELECT FROM photos o"
        " WHERE o.tenant_id = %(tenant)s AND o.photo_id = ANY(%(others)s) AND o.favourite)",
        values,
    ).rowcount
    if favourite:
        columns["favourite"] = ["false", "true"]
    for names in FILLED:
        columns |= _fill(tx, values, names)
    return {"albums": albums, "tags": tags, "columns": columns}


def _fill(tx: Transaction, values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """Fill columns that are empty from the first other copy that has them, as text."""
    first, listed = names[0], ", ".join(f"{n}::text" for n in names)
    mine = tx.conn.execute(
        f"SELECT {listed} FROM photos WHERE tenant_id = %(tenant)s AND photo_id = %(keeper)s"
        f" AND {first} IS NULL".encode(),
        values,
    ).fetchone()
    theirs = tx.conn.execute(
        f"SELECT {listed} FROM photos WHERE tenant_id = %(tenant)s"
        f" AND photo_id = ANY(%(others)s) AND {first} IS NOT NULL"
        " ORDER BY photo_id LIMIT 1".encode(),
        values,
    ).fetchone()
    if mine is None or theirs is None:
        return {}
    for name, value in zip(names, theirs, strict=True):
        _set(tx, values["keeper"], name, value)
    return {n: [a, b] for n, a, b in zip(names, mine, theirs, strict=True)}


def _give_back(tx: Transaction, keeper: str, before: dict[str, Any]) -> None:
    """Take from the keeper what the merge gave it, except what was changed again since."""
    key = photo_key(keeper)
    tx.conn.execute(
        "DELETE FROM album_photos WHERE tenant_id = %s AND photo_id = %s AND album_id = ANY(%s)",
        [tx.tenant, key, before.get("albums", [])],
    )
    tx.conn.execute(
        "DELETE FROM photo_tags WHERE tenant_id = %s AND photo_id = %s AND tag_id = ANY(%s)",
        [tx.tenant, key, before.get("tags", [])],
    )
    for name, (old, given) in before.get("columns", {}).items():
        now = tx.conn.execute(
            f"SELECT {name}::text FROM photos WHERE tenant_id = %s AND photo_id = %s".encode(),
            [tx.tenant, key],
        ).fetchone()
        if now is not None and now[0] == given:
            _set(tx, key, name, old)


def _set(tx: Transaction, key: bytes, name: str, value: str | None) -> None:
    tx.conn.execute(
        f"UPDATE photos SET {name} = %s::{TYPES[name]}, updated_at = now()"
        " WHERE tenant_id = %s AND photo_id = %s".encode(),
        [value, tx.tenant, key],
    )
