"""Albums: made by people, or suggested and waiting to be accepted or refused."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from psycopg.rows import class_row

from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.store.catalog import audit
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean, photo_key

Kind = Literal["manual", "suggested"]
SELECT = """
SELECT a.album_id, a.name, a.kind, a.reason, a.created_at, (SELECT count(*) {live}) AS photos,
    encode(coalesce((SELECT p.photo_id {live} AND p.photo_id = a.cover_id),
        (SELECT p.photo_id {live} ORDER BY p.quality DESC NULLS LAST, p.photo_id LIMIT 1)), 'hex')
    AS cover_id
FROM albums a WHERE a.tenant_id = %(tenant)s
""".format(
    live="FROM album_photos ap JOIN photos p USING (tenant_id, photo_id)"
    " WHERE ap.tenant_id = a.tenant_id AND ap.album_id = a.album_id AND p.trashed_at IS NULL"
)


@dataclass(frozen=True, slots=True)
class Album:
    """An album and how many photos it holds (those in the trash not counted).

    The cover is one of these, the one of best quality where none was chosen or it is gone.
    """

    album_id: int
    name: str
    kind: Kind
    reason: str | None
    cover_id: str | None
    created_at: datetime
    photos: int


def create(
    tx: Transaction,
    name: str,
    photo_ids: Sequence[str] = (),
    *,
    actor: str,
    kind: Kind = "manual",
    reason: str | None = None,
    cover_id: str | None = None,
) -> Album:
    """A new album; InputError for a name of no characters or more than 200."""
    row = tx.conn.execute(
        "INSERT INTO albums (tenant_id, name, kind, reason, cover_id) VALUES (%s, %s, %s, %s, %s)"
        " RETURNING album_id",
        [tx.tenant, _name(name), kind, reason, photo_key(cover_id) if cover_id else None],
    ).fetchone()
    assert row is not None
    album_id = int(row[0])
    _insert(tx, album_id, photo_ids)
    audit.record(tx, actor, "album.create", "album", str(album_id), {"name": name, "kind": kind})
    return get(tx, album_id)


def get(tx: Transaction, album_id: int) -> Album:
    """The album; NotFoundError if there is none."""
    with tx.conn.cursor(row_factory=class_row(Album)) as cursor:
        sql = SELECT + " AND a.album_id = %(album)s"
        values = {"tenant": tx.tenant, "album": album_id}
        found = cursor.execute(sql.encode(), values).fetchone()
    if found is None:
        raise NotFoundError(
            f"There is no album {album_id}.",
            fix="`photoorg scenes suggest-albums` and GET /v1/albums show those there are.",
        )
    return found


def page(
    tx: Transaction, *, after: str | None = None, limit: int = 50, kind: Kind | None = None
) -> tuple[list[Album], str | None]:
    """Albums, newest first, and the cursor of the next page; InputError for a made-up cursor."""
    if after is not None and not (after.isdecimal() and len(after) < 19):
        raise InputError(f"{after!r} is no cursor.", fix="Use the next_cursor of a page.")
    sql = SELECT + (
        " AND (%(kind)s::text IS NULL OR a.kind = %(kind)s)"
        " AND (%(after)s::bigint IS NULL OR a.album_id < %(after)s)"
        " ORDER BY a.album_id DESC LIMIT %(limit)s"
    )
    values = {"tenant": tx.tenant, "kind": kind, "after": after, "limit": limit + 1}
    with tx.conn.cursor(row_factory=class_row(Album)) as cursor:
        found = cursor.execute(sql.encode(), values).fetchall()
    more = len(found) > limit
    return found[:limit], str(found[limit - 1].album_id) if more and limit else None


def photos(
    tx: Transaction, album_id: int, *, after: str | None = None, limit: int = 100
) -> tuple[list[str], str | None]:
    """Ids of the album's photos, ascending, and the cursor of the next page."""
    get(tx, album_id)
    rows = tx.conn.execute(
        "SELECT encode(ap.photo_id, 'hex') FROM album_photos ap"
        " JOIN photos p USING (tenant_id, photo_id)"
        " WHERE ap.tenant_id = %s AND ap.album_id = %s AND p.trashed_at IS NULL"
        " AND ap.photo_id > %s ORDER BY ap.photo_id LIMIT %s",
        [tx.tenant, album_id, photo_key(after) if after else b"", limit + 1],
    )
    ids = [photo_id for (photo_id,) in rows]
    return ids[:limit], ids[limit - 1] if len(ids) > limit else None


def rename(tx: Transaction, album_id: int, name: str, actor: str) -> Album:
    """Give the album another name."""
    before = get(tx, album_id)
    tx.conn.execute(
        "UPDATE albums SET name = %s WHERE tenant_id = %s AND album_id = %s",
        [_name(name), tx.tenant, album_id],
    )
    detail = {"before": before.name, "after": name}
    audit.record(tx, actor, "album.rename", "album", str(album_id), detail)
    return get(tx, album_id)


def add(tx: Transaction, album_id: int, photo_ids: Sequence[str], actor: str) -> Album:
    """Put photos into the album; those there already stay. NotFoundError for an unknown photo."""
    get(tx, album_id)
    _insert(tx, album_id, photo_ids)
    audit.record(tx, actor, "album.add", "album", str(album_id), {"photos": list(photo_ids)})
    return get(tx, album_id)


def remove(tx: Transaction, album_id: int, photo_ids: Sequence[str], actor: str) -> Album:
    """Take photos out of the album; the photos themselves stay."""
    get(tx, album_id)
    tx.conn.execute(
        "DELETE FROM album_photos WHERE tenant_id = %s AND album_id = %s AND photo_id = ANY(%s)",
        [tx.tenant, album_id, [photo_key(i) for i in photo_ids]],
    )
    audit.record(tx, actor, "album.remove", "album", str(album_id), {"photos": list(photo_ids)})
    return get(tx, album_id)


def delete(tx: Transaction, album_id: int, actor: str) -> None:
    """Delete the album, not its photos; `restore` brings it back. A suggested one is refused."""
    album = get(tx, album_id)
    members = _members(tx, album_id)
    if album.kind == "suggested":
        keys, digest = _refusal(members)
        tx.conn.execute(
            "INSERT INTO refused_albums (tenant_id, photo_ids, digest) VALUES (%s, %s, %s)"
            " ON CONFLICT DO NOTHING",
            [tx.tenant, keys, digest],
        )
    tx.conn.execute(
        "DELETE FROM albums WHERE tenant_id = %s AND album_id = %s", [tx.tenant, album_id]
    )
    detail = {
        "name": album.name,
        "kind": album.kind,
        "photos": members,
        "reason": album.reason,
        "cover_id": album.cover_id,
    }
    audit.record(tx, actor, "album.delete", "album", str(album_id), detail)


def restore(tx: Transaction, album_id: int, actor: str) -> Album:
    """A deleted album again, under a new id, with those of its photos that are still there.

    A suggestion that was refused is one again, and no longer refused. ConflictError if it was
    brought back before.
    """
    rows = tx.conn.execute(
        "SELECT action, detail FROM audit_log WHERE tenant_id = %s AND entity = 'album'"
        " AND entity_id = %s AND action IN ('album.delete', 'album.restore')",
        [tx.tenant, str(album_id)],
    ).fetchall()
    told = dict(rows)
    if "album.delete" not in told:
        raise NotFoundError(f"No album {album_id} was deleted.", fix="Look into the audit log.")
    if "album.restore" in told:
        raise ConflictError(
            f"Album {album_id} was brought back as {told['album.restore']['as']}.",
            fix="Use that one; if it was deleted too, restore it.",
        )
    detail = told["album.delete"]
    keys, digest = _refusal(detail["photos"])
    if detail["kind"] == "suggested":
        tx.conn.execute(
            "DELETE FROM refused_albums WHERE tenant_id = %s AND digest = %s", [tx.tenant, digest]
        )
    found = tx.conn.execute(
        "SELECT encode(photo_id, 'hex') FROM photos WHERE tenant_id = %s AND photo_id = ANY(%s)",
        [tx.tenant, keys],
    ).fetchall()
    there = [photo_id for (photo_id,) in found]
    cover = detail.get("cover_id")
    album = create(
        tx,
        detail["name"],
        there,
        actor=actor,
        kind=detail["kind"],
        reason=detail.get("reason"),
        cover_id=cover if cover in there else None,
    )
    audit.record(tx, actor, "album.restore", "album", str(album_id), {"as": album.album_id})
    return album


def accept(tx: Transaction, album_id: int, actor: str, name: str | None = None) -> Album:
    """Make a suggested album one of the user's own; ConflictError if it is none that waits."""
    album = get(tx, album_id)
    if album.kind != "suggested":
        raise ConflictError(f"Album {album_id} is no suggestion.", fix="It is accepted already.")
    tx.conn.execute(
        "UPDATE albums SET kind = 'manual', name = %s WHERE tenant_id = %s AND album_id = %s",
        [_name(album.name if name is None else name), tx.tenant, album_id],
    )
    audit.record(tx, actor, "album.accept", "album", str(album_id), {"name": name or album.name})
    return get(tx, album_id)


def contents(tx: Transaction, kind: Kind) -> list[frozenset[str]]:
    """The photos of every album of the kind."""
    rows = tx.conn.execute(
        "SELECT array_agg(encode(ap.photo_id, 'hex')) FROM album_photos ap"
        " JOIN albums a USING (tenant_id, album_id) WHERE a.tenant_id = %s AND a.kind = %s"
        " GROUP BY a.album_id",
        [tx.tenant, kind],
    )
    return [frozenset(ids) for (ids,) in rows]


def refused(tx: Transaction) -> list[frozenset[str]]:
    """The photos of every suggestion that was refused."""
    rows = tx.conn.execute("SELECT photo_ids FROM refused_albums WHERE tenant_id = %s", [tx.tenant])
    return [frozenset(key.hex() for key in keys) for (keys,) in rows]


def clear_suggestions(tx: Transaction) -> None:
    """Drop suggestions that nobody answered, before new ones are made."""
    tx.conn.execute("DELETE FROM albums WHERE tenant_id = %s AND kind = 'suggested'", [tx.tenant])


def _members(tx: Transaction, album_id: int) -> list[str]:
    rows = tx.conn.execute(
        "SELECT encode(photo_id, 'hex') FROM album_photos WHERE tenant_id = %s AND album_id = %s"
        " ORDER BY photo_id",
        [tx.tenant, album_id],
    )
    return [photo_id for (photo_id,) in rows]


def _refusal(photo_ids: Sequence[str]) -> tuple[list[bytes], bytes]:
    """What a refused suggestion is remembered by: its photos and their digest."""
    keys = sorted(photo_key(i) for i in photo_ids)
    return keys, hashlib.sha256(b"".join(keys)).digest()


def _insert(tx: Transaction, album_id: int, photo_ids: Sequence[str]) -> None:
    keys = [photo_key(i) for i in dict.fromkeys(photo_ids)]
    known = tx.conn.execute(
        "SELECT photo_id FROM photos WHERE tenant_id = %s AND photo_id = ANY(%s)", [tx.tenant, keys]
    ).fetchall()
    missing = set(keys) - {bytes(key) for (key,) in known}
    if missing:
        raise NotFoundError(
            f"There is no photo {min(missing).hex()!r}.", fix="Leave it out, or upload it first."
        )
    tx.conn.execute(
        "INSERT INTO album_photos (tenant_id, album_id, photo_id)"
        " SELECT %s, %s, id FROM unnest(%s::bytea[]) AS id ON CONFLICT DO NOTHING",
        [tx.tenant, album_id, keys],
    )


def _name(name: str) -> str:
    given = " ".join(clean(name).split())
    if not given or len(given) > 200:
        raise InputError("An album's name has 1 to 200 characters.", fix="Give it a name.")
    return given
