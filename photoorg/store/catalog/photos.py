"""Photos of a tenant: loaded in parts, looked up, paged, deleted."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa
from psycopg.rows import dict_row

from photoorg import schema
from photoorg.errors import InputError
from photoorg.models import Exif, Hashes, Photo, PhotoStatus, Quality, Rejection
from photoorg.store.catalog import blobs, companions, delta, loading
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

LIVE = ("ready", "partial")

# A queued photo that a worker holds shows as processing, without a write of its own.
SELECT = """
SELECT p.*, coalesce(u.lease_until > now(), false) AS leased
FROM photos p LEFT JOIN uploads u USING (tenant_id, photo_id)
WHERE p.tenant_id = %(tenant)s
"""
INSERT_PART = """
INSERT INTO run_parts (tenant_id, run_id, part, photos, rejects)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""


def copy_part(
    tx: Transaction,
    run_id: str,
    part: int,
    photos: pa.Table,
    rejects: pa.Table,
    *,
    keys: pa.Table | None = None,
    stored: bool = False,
    missing: Collection[str] = (),
    face_space: str = "",
) -> bool:
    """Load one committed part of a run: schema.PHOTOS and schema.REJECTS; repeating it is harmless.

    False if it was loaded before.

    Two loads of the same part wait for each other and the second does nothing. `keys` are the
    part's schema.KEYS, from which rejected files get the etag that lets a later run skip them;
    `stored` says that the originals were copied to layout.blob_path, but for the `missing` ones;
    `face_space` is the id of the space of the faces' embeddings.
    """
    tx.conn.execute(
        "INSERT INTO runs (tenant_id, run_id) VALUES (%s, %s) ON CONFLICT DO NOTHING",
        [tx.tenant, run_id],
    )
    counts = [tx.tenant, run_id, part, len(photos), len(rejects)]
    if not tx.conn.execute(INSERT_PART, counts).rowcount:
        return False
    etags: dict[str, str] = {}
    if keys is not None:
        etags = dict(zip(keys["uri"].to_pylist(), keys["etag"].to_pylist(), strict=True))
    loading.upsert_photos(
        tx,
        photos,
        run_id=run_id,
        part=part,
        stored=stored,
        missing=missing,
        face_space=face_space,
    )
    loading.upsert_rejects(tx, rejects, run_id=run_id, part=part, etags=etags)
    uris = [*photos["uri"].to_pylist(), *rejects["key"].to_pylist()]
    companions.load(
        tx,
        rejects,
        run_id=run_id,
        part=part,
        etags=etags,
        uris=uris,
        stored=stored,
        missing=missing,
    )
    return True


def get(tx: Transaction, photo_id: str) -> Photo | None:
    """The photo, None if this tenant has none of that id."""
    return get_many(tx, [photo_id]).get(photo_id)


def get_many(tx: Transaction, ids: Sequence[str]) -> dict[str, Photo]:
    """Those of the photos that there are, by id, in one query."""
    rows = _rows(tx, SELECT + " AND p.photo_id = ANY(%(ids)s)", ids=[photo_key(i) for i in ids])
    return {photo.photo_id: photo for photo in map(from_row, rows)}


def page(
    tx: Transaction, *, after: str | None = None, limit: int = 100
) -> tuple[list[Photo], str | None]:
    """Photos newest first and the cursor of the next page, None at the end; none of the trash.

    The cursor marks a place, not a number of rows: photos that come or go in between neither
    repeat nor hide others. InputError for a cursor that is none.
    """
    query, values = SELECT + " AND p.trashed_at IS NULL", {}
    if after is not None:
        created_at, photo_id = _place(after)
        query += " AND (p.created_at, p.photo_id) < (%(created_at)s, %(photo_id)s)"
        values = {"created_at": created_at, "photo_id": photo_id}
    query += " ORDER BY p.created_at DESC, p.photo_id DESC LIMIT %(limit)s"
    photos = [from_row(row) for row in _rows(tx, query, limit=limit + 1, **values)]
    more = len(photos) > limit
    return photos[:limit], _cursor(photos[limit - 1]) if more and limit else None


FORGET = """
INSERT INTO forgotten_sources (tenant_id, uri_key, uri, etag)
SELECT tenant_id, uri_key, uri, etag FROM photo_sources WHERE tenant_id = %s AND photo_id = %s
ON CONFLICT (tenant_id, uri_key) DO UPDATE SET etag = excluded.etag, at = now()
"""


def delete(tx: Transaction, photo_id: str) -> bool:
    """Remove the photo with its sources, faces, failures, tags and queue row; False if not there.

    The video of a live photo goes with its last still; files may go once this is committed (blobs).
    Writes a delete event, so that every index forgets the photo. A later ingest of the folders it
    was seen in passes its files over while they are unchanged (unless forced); the same bytes may
    come again by an upload or at another place.
    """
    delta.lock(tx)
    tx.conn.execute(FORGET, [tx.tenant, photo_key(photo_id)])
    companions.leave(tx, photo_id)
    sql = "DELETE FROM photos WHERE tenant_id = %s AND photo_id = %s"
    if not tx.conn.execute(sql, [tx.tenant, photo_key(photo_id)]).rowcount:
        return False
    delta.remove(tx, [photo_id])
    blobs.leave(tx, [photo_id])
    return True


def live_ids(tx: Transaction) -> Iterator[str]:
    """Ids of every photo that can be found, ascending, streamed."""
    sql = (
        "SELECT encode(photo_id, 'hex') FROM photos WHERE tenant_id = %s AND status = ANY(%s)"
        " ORDER BY photo_id"
    )
    with tx.conn.cursor(name="live_ids") as cursor:
        cursor.itersize = 10_000
        cursor.execute(sql, [tx.tenant, list(LIVE)])
        for (photo_id,) in cursor:
            yield photo_id


def count(tx: Transaction, status: PhotoStatus | None = None) -> int:
    """How many photos the tenant has, or how many of one status."""
    sql = "SELECT count(*) FROM photos WHERE tenant_id = %s AND (%s::text IS NULL OR status = %s)"
    row = tx.conn.execute(sql, [tx.tenant, status, status]).fetchone()
    assert row is not None
    return int(row[0])


def blob_of(tx: Transaction, photo_id: str) -> str | None:
    """Where its bytes are: a path in the store or a source's URI, for sources.read_original."""
    row = tx.conn.execute(
        "SELECT coalesce(blob_uri, uri) FROM photos WHERE tenant_id = %s AND photo_id = %s",
        [tx.tenant, photo_key(photo_id)],
    ).fetchone()
    return None if row is None else str(row[0])


def failures(tx: Transaction, photo_id: str) -> list[Rejection]:
    """Which stages failed for the photo, and why; the key is the photo id."""
    rows = tx.conn.execute(
        "SELECT stage, reason, retryable, code FROM photo_failures"
        " WHERE tenant_id = %s AND photo_id = %s ORDER BY stage",
        [tx.tenant, photo_key(photo_id)],
    )
    return [Rejection(photo_id, *row) for row in rows]


def _rows(tx: Transaction, query: str, **values: Any) -> list[dict[str, Any]]:
    with tx.conn.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(query.encode(), {"tenant": tx.tenant, **values}).fetchall()


def from_row(row: dict[str, Any]) -> Photo:
    """A Photo from all columns of its row and `leased`."""
    exif = {name: row[name] for name in schema.EXIF}
    exif["captured_source"] = exif["captured_source"] or "none"
    exif["orientation"] = exif["orientation"] or 1
    status: PhotoStatus = row["status"]
    if status == "queued" and row["leased"]:
        status = "processing"
    return Photo(
        tenant=row["tenant_id"],
        photo_id=row["photo_id"].hex(),
        uri=row["uri"],
        mime=row["mime"],
        size=row["size"],
        width=row["width"],
        height=row["height"],
        status=status,
        created_at=row["created_at"],
        exif=Exif(**exif),
        hashes=_hashes(row),
        quality=_quality(row),
        decoder=row["decoder"],
        has_thumbnail=row["has_thumbnail"],
        reason=row["reason"],
        filename=row["filename"],
        trashed_at=row["trashed_at"],
        favourite=row["favourite"],
        ocr_text=row["ocr_text"],
        nsfw=row["nsfw"],
    )


def _hashes(row: dict[str, Any]) -> Hashes | None:
    if any(row[name] is None for name in schema.HASHES):
        return None
    return Hashes(**{name: row[name] for name in schema.HASHES})


def _quality(row: dict[str, Any]) -> Quality | None:
    if any(row[name] is None for name in schema.QUALITY):
        return None
    parts = {name: row[name] for name in schema.QUALITY if name != "quality"}
    return Quality(**parts, score=row["quality"])


def _cursor(photo: Photo) -> str:
    text = f"{photo.created_at.isoformat()} {photo.photo_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[datetime, bytes]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        created_at, photo_id = text.split(" ")
        return datetime.fromisoformat(created_at), photo_key(photo_id)
    except (ValueError, binascii.Error, InputError):
        raise InputError(
            "The cursor is not one that a page of photos gave.",
            fix="Take next_cursor of the page before, or start without one.",
        ) from None
