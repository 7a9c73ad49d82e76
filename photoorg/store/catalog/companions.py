"""Companions of photos: the videos of live photos, which wait until their still comes.

A companion is a photo's as long as one of its stills is there. It has no trash of its own: it is
reached through its stills alone, so it is hidden, restored and deleted with them. One that an
ingest found is a reject while it waits; one that was uploaded is only here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from photoorg.schema import LIVE_VIDEO
from photoorg.store import layout
from photoorg.store.catalog import blobs
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean, photo_key, uri_key

LOCK_CLASS = 0x636F6D70  # "comp"
KIND = "live_photo"

INSERT = """
INSERT INTO companions AS c (tenant_id, companion_id, content_id, mime, size, duration_s, blob_uri)
VALUES (%(tenant)s, %(id)s, %(content_id)s, %(mime)s, %(size)s, %(duration_s)s, %(blob)s)
ON CONFLICT (tenant_id, companion_id) DO UPDATE SET content_id = excluded.content_id,
    duration_s = excluded.duration_s, blob_uri = coalesce(excluded.blob_uri, c.blob_uri)
"""
INSERT_SOURCE = """
INSERT INTO companion_sources (tenant_id, uri_key, uri, companion_id, etag, run_id, part)
VALUES (%(tenant)s, %(uri_key)s, %(uri)s, %(id)s, %(etag)s, %(run)s, %(part)s)
ON CONFLICT (tenant_id, uri_key) DO UPDATE SET companion_id = excluded.companion_id,
    etag = excluded.etag, run_id = excluded.run_id, part = excluded.part, seen_at = now()
"""
UNPAIRED = """
SELECT encode(p.photo_id, 'hex'), p.uri, p.mime, encode(c.companion_id, 'hex'), c.mime,
    coalesce((SELECT min(s.uri) FROM companion_sources s
        WHERE s.tenant_id = c.tenant_id AND s.companion_id = c.companion_id), ''),
    c.content_id, c.duration_s
FROM companions c JOIN photos p USING (tenant_id, content_id)
WHERE c.tenant_id = %(tenant)s AND (%(photo)s::bytea IS NULL OR p.photo_id = %(photo)s)
    AND (%(video)s::bytea IS NULL OR c.companion_id = %(video)s)
    AND NOT EXISTS (SELECT FROM photo_companions l WHERE l.tenant_id = p.tenant_id
        AND l.photo_id = p.photo_id AND l.companion_id = c.companion_id)
ORDER BY 1, 4
"""
LINK = """
INSERT INTO photo_companions (tenant_id, photo_id, companion_id, confidence, evidence)
VALUES (%s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
"""
# Also where an ingest by force has noted a video as rejected that had its still already.
SETTLE = """
DELETE FROM rejects r USING companion_sources s
WHERE r.tenant_id = %(tenant)s AND r.code = %(code)s AND s.tenant_id = r.tenant_id
    AND s.uri_key = r.uri_key AND EXISTS (SELECT FROM photo_companions l
        WHERE l.tenant_id = s.tenant_id AND l.companion_id = s.companion_id)
"""
OF_PHOTO = """
SELECT encode(l.photo_id, 'hex'), encode(l.companion_id, 'hex'), l.confidence, l.evidence
FROM photo_companions l WHERE l.tenant_id = %(tenant)s
    AND (l.photo_id = %(photo)s OR l.companion_id = %(photo)s) ORDER BY 1, 2
"""
OF_STILL = """
SELECT encode(c.companion_id, 'hex'), c.mime, c.size, c.duration_s, c.blob_uri IS NOT NULL
FROM photo_companions l JOIN companions c USING (tenant_id, companion_id)
WHERE l.tenant_id = %s AND l.photo_id = %s ORDER BY c.companion_id
"""
# Kept in the store, without a still, and not seen again for so long.
WAITED = """
SELECT encode(c.companion_id, 'hex') FROM companions c
WHERE c.tenant_id = %(tenant)s AND c.blob_uri IS NOT NULL
    AND c.added_at < now() - make_interval(secs => %(seconds)s)
    AND NOT EXISTS (SELECT FROM photo_companions l
        WHERE l.tenant_id = c.tenant_id AND l.companion_id = c.companion_id)
    AND NOT EXISTS (SELECT FROM companion_sources s
        WHERE s.tenant_id = c.tenant_id AND s.companion_id = c.companion_id
        AND s.seen_at >= now() - make_interval(secs => %(seconds)s))
ORDER BY c.added_at, c.companion_id LIMIT %(limit)s
"""
FORGET_UPLOADS = """
DELETE FROM companion_sources s USING companions c
WHERE c.tenant_id = %(tenant)s AND c.companion_id = ANY(%(ids)s) AND s.tenant_id = c.tenant_id
    AND s.companion_id = c.companion_id AND s.uri = c.blob_uri
"""
LET_GO = """
UPDATE companions SET blob_uri = NULL WHERE tenant_id = %(tenant)s AND companion_id = ANY(%(ids)s)
"""
SOURCELESS = """
DELETE FROM companions c WHERE c.tenant_id = %(tenant)s AND c.companion_id = ANY(%(ids)s)
    AND NOT EXISTS (SELECT FROM companion_sources s
        WHERE s.tenant_id = c.tenant_id AND s.companion_id = c.companion_id)
"""
# Companions that no other still keeps.
LEAVING = """
SELECT l.companion_id FROM photo_companions l
WHERE l.tenant_id = %(tenant)s AND l.photo_id = %(photo)s AND NOT EXISTS (
    SELECT FROM photo_companions o WHERE o.tenant_id = l.tenant_id
    AND o.companion_id = l.companion_id AND o.photo_id <> l.photo_id)
"""
FORGET = """
INSERT INTO forgotten_sources (tenant_id, uri_key, uri, etag)
SELECT tenant_id, uri_key, uri, etag FROM companion_sources
WHERE tenant_id = %(tenant)s AND companion_id = ANY(%(ids)s)
ON CONFLICT (tenant_id, uri_key) DO UPDATE SET etag = excluded.etag, at = now()
"""


@dataclass(frozen=True, slots=True)
class Unpaired:
    """A still and a video with the same identifier that are not linked yet."""

    photo_id: str
    photo_uri: str
    photo_mime: str
    companion_id: str
    companion_mime: str
    companion_uri: str
    content_id: str
    duration_s: float | None


@dataclass(frozen=True, slots=True)
class Companion:
    """A video as its still knows it; `stored` tells whether its bytes are in the store."""

    companion_id: str
    mime: str
    size: int
    duration_s: float | None
    stored: bool


@dataclass(frozen=True, slots=True)
class Link:
    """A still, its video, and why they belong together."""

    photo_id: str
    companion_id: str
    confidence: float
    evidence: tuple[str, ...]


def load(
    tx: Transaction,
    rejects: pa.Table,
    *,
    run_id: str,
    part: int,
    etags: dict[str, str],
    uris: Iterable[str],
    stored: bool,
    missing: Collection[str] = (),
) -> None:
    """Take in the videos among a part's rejects; `uris` are all files of the part.

    What was a video at one of those before and is none now is its source no longer. With `stored`
    the bytes of all but the `missing` ones are in the store. Doing it again changes nothing.
    """
    found: list[dict[str, Any]] = []
    if "companion" in rejects.column_names:
        found = [r for r in rejects.to_pylist() if r["companion"] is not None]
    others = set(uris) - {row["key"] for row in found}
    tx.conn.execute(
        "DELETE FROM companion_sources WHERE tenant_id = %s AND uri_key = ANY(%s)",
        [tx.tenant, [uri_key(uri) for uri in others]],
    )
    # In one order, so that two loads that share videos lock them alike.
    for row in sorted(found, key=lambda r: (r["companion"]["companion_id"], r["key"])):
        uri, one = row["key"], row["companion"]
        kept = stored and one["companion_id"] not in missing
        seen = {"etag": etags.get(uri, ""), "run": run_id, "part": part}
        _take(tx, one, uri, seen, kept=kept)


def add_upload(tx: Transaction, video: Mapping[str, Any]) -> None:
    """Take in an uploaded video (the fields of schema.COMPANION) that lies in the store."""
    uri = layout.blob_path(tx.tenant, video["companion_id"])
    _take(tx, video, uri, {"etag": "", "run": None, "part": None}, kept=True)


def _take(
    tx: Transaction, one: Mapping[str, Any], uri: str, seen: Mapping[str, Any], *, kept: bool
) -> None:
    values = {
        "tenant": tx.tenant,
        "id": photo_key(one["companion_id"]),
        "content_id": clean(one["content_id"]),
        "mime": one["mime"],
        "size": one["size"],
        "duration_s": one["duration_s"],
        "blob": layout.blob_path(tx.tenant, one["companion_id"]) if kept else None,
        "uri_key": uri_key(uri),
        "uri": clean(uri),
        **seen,
    }
    tx.conn.execute(INSERT, values)
    tx.conn.execute(INSERT_SOURCE, values)
    tx.conn.execute(
        "DELETE FROM forgotten_sources WHERE tenant_id = %(tenant)s AND uri_key = %(uri_key)s",
        values,
    )


def lock(tx: Transaction) -> None:
    """Lock the tenant's pairing: until it ends, only this transaction joins stills and videos."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, tx.tenant])


def unpaired(
    tx: Transaction, photo_id: str | None = None, companion_id: str | None = None
) -> list[Unpaired]:
    """Stills and videos of one identifier that are not linked: all, or of one photo or video."""
    values = {
        "tenant": tx.tenant,
        "photo": None if photo_id is None else photo_key(photo_id),
        "video": None if companion_id is None else photo_key(companion_id),
    }
    rows = tx.conn.execute(UNPAIRED, values)
    return [Unpaired(*row) for row in rows]


def link(tx: Transaction, links: Sequence[Link]) -> None:
    """Record pairs; the files of videos that have a still now are rejects no longer."""
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            LINK,
            [
                (
                    tx.tenant,
                    photo_key(one.photo_id),
                    photo_key(one.companion_id),
                    one.confidence,
                    [clean(line) for line in one.evidence],
                )
                for one in links
            ],
        )
    tx.conn.execute(SETTLE, {"tenant": tx.tenant, "code": LIVE_VIDEO})


def of_photo(tx: Transaction, photo_id: str) -> list[Link]:
    """The videos of a still (or the stills of a video)."""
    rows = tx.conn.execute(OF_PHOTO, {"tenant": tx.tenant, "photo": photo_key(photo_id)})
    return [Link(a, b, round(c, 2), tuple(e)) for a, b, c, e in rows]


def of_still(tx: Transaction, photo_id: str) -> list[Companion]:
    """The videos of a still, as the API shows them."""
    return [Companion(*row) for row in tx.conn.execute(OF_STILL, [tx.tenant, photo_key(photo_id)])]


def exists(tx: Transaction, companion_id: str) -> bool:
    """Whether there is such a companion."""
    sql = "SELECT 1 FROM companions WHERE tenant_id = %s AND companion_id = %s"
    return tx.conn.execute(sql, [tx.tenant, photo_key(companion_id)]).fetchone() is not None


def leave(tx: Transaction, photo_id: str) -> list[str]:
    """Before a photo is deleted: remove the videos that are its alone; their ids."""
    lock(tx)
    rows = tx.conn.execute(LEAVING, {"tenant": tx.tenant, "photo": photo_key(photo_id)})
    ids = sorted(companion_id.hex() for (companion_id,) in rows)
    remove(tx, ids)
    return ids


def remove(tx: Transaction, companion_ids: Sequence[str]) -> None:
    """Remove videos, with still or without; their files may go (blobs).

    A later ingest passes over the files they were read from while those are unchanged.
    """
    lock(tx)
    if companion_ids:
        values = {"tenant": tx.tenant, "ids": [photo_key(i) for i in companion_ids]}
        tx.conn.execute(FORGET, values)
        sql = "DELETE FROM companions WHERE tenant_id = %(tenant)s AND companion_id = ANY(%(ids)s)"
        tx.conn.execute(sql, values)
        blobs.leave(tx, companion_ids)


def release(tx: Transaction, older_than_s: float, limit: int) -> list[str]:
    """Let the bytes go of videos that waited for a still longer than that; their ids.

    Those that an ingest found stay known and join a still that comes yet, with their bytes at
    their source; those that were only uploaded are removed.
    """
    lock(tx)
    values: dict[str, Any] = {"tenant": tx.tenant, "seconds": older_than_s, "limit": limit}
    ids = [companion_id for (companion_id,) in tx.conn.execute(WAITED, values)]
    if ids:
        values["ids"] = [photo_key(i) for i in ids]
        for statement in (FORGET_UPLOADS, LET_GO, SOURCELESS):
            tx.conn.execute(statement, values)
        blobs.leave(tx, ids)
    return ids
