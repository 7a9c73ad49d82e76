"""The upload queue: durable in PostgreSQL, at least once, leased, with a limit of attempts."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from photoorg.models import PhotoStatus, Rejection
from photoorg.store.catalog import delta, loading
from photoorg.store.catalog.connection import Catalog, Transaction
from photoorg.store.catalog.keys import clean, photo_key, uri_key
from photoorg.store.catalog.keys import filename as last_part

MAX_ATTEMPTS = 5
FIRST_WAIT_S = 2.0
GIVEN_UP = Rejection(
    key="",
    stage="ingest",
    reason="Processing was tried several times and broke off each time.",
    retryable=True,
    code="attempts-exhausted",
)

INSERT_PHOTO = """
INSERT INTO photos (tenant_id, photo_id, uri, uri_key, filename, mime, size, width, height, status)
VALUES (%(tenant)s, %(photo)s, %(uri)s, %(uri_key)s, %(filename)s, %(mime)s, %(size)s, 0, 0,
    'queued')
ON CONFLICT DO NOTHING
"""
INSERT_SOURCE = """
INSERT INTO photo_sources (tenant_id, uri_key, uri, photo_id, etag)
VALUES (%(tenant)s, %(uri_key)s, %(uri)s, %(photo)s, '') ON CONFLICT DO NOTHING
"""
INSERT_WORK = """
INSERT INTO uploads (tenant_id, photo_id) VALUES (%(tenant)s, %(photo)s) ON CONFLICT DO NOTHING
"""
# Ingested by reference before: now its bytes are in the store as well, wherever its source goes.
KEEP = """
UPDATE photos SET blob_uri = %(uri)s
WHERE tenant_id = %(tenant)s AND photo_id = %(photo)s AND blob_uri IS NULL AND uri <> %(uri)s
"""
# Uploading again is how a user asks for another try, where one can help.
REQUEUE = """
UPDATE photos p SET status = 'queued', reason = NULL, updated_at = now()
WHERE tenant_id = %(tenant)s AND photo_id = %(photo)s AND status = 'failed' AND EXISTS (
    SELECT FROM photo_failures f
    WHERE f.tenant_id = p.tenant_id AND f.photo_id = p.photo_id AND f.retryable)
"""
CLAIM = """
UPDATE uploads u SET lease_until = now() + make_interval(secs => %(lease)s), attempts = attempts + 1
FROM (
    SELECT tenant_id, photo_id FROM uploads
    WHERE lease_until < now() AND attempts < %(attempts)s
    ORDER BY enqueued_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
) AS due
WHERE u.tenant_id = due.tenant_id AND u.photo_id = due.photo_id
RETURNING u.tenant_id, encode(u.photo_id, 'hex')
"""
EXHAUSTED = """
SELECT tenant_id, encode(photo_id, 'hex') FROM uploads
WHERE lease_until < now() AND attempts >= %s ORDER BY lease_until LIMIT 1000
"""
LEASE = """
UPDATE uploads u SET lease_until = now() + make_interval(secs => %(seconds)s)
FROM unnest(%(tenants)s::text[], %(photos)s::bytea[]) AS held (tenant_id, photo_id)
WHERE u.tenant_id = held.tenant_id AND u.photo_id = held.photo_id
"""
POSTPONE = """
UPDATE uploads SET lease_until = now() + make_interval(secs => %s),
    attempts = greatest(attempts - 1, 0)
WHERE tenant_id = %s AND photo_id = %s
"""
FAIL = """
UPDATE photos SET status = 'failed', reason = %s, updated_at = now()
WHERE tenant_id = %s AND photo_id = %s
"""
NOTE_FAILURE = """
INSERT INTO photo_failures (tenant_id, photo_id, stage, reason, code, retryable)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (tenant_id, photo_id, stage) DO UPDATE SET reason = excluded.reason,
    code = excluded.code, retryable = excluded.retryable, failed_at = now()
"""


def enqueue(
    tx: Transaction, *, photo_id: str, uri: str, mime: str, size: int, filename: str
) -> PhotoStatus:
    """Queue a photo whose bytes already lie at `uri`; its status if it was there before.

    Idempotent, also when the same bytes are enqueued twice at once. A photo that failed for a
    reason that a retry can help is queued again.
    """
    values = {
        "tenant": tx.tenant,
        "photo": photo_key(photo_id),
        "uri": clean(uri),
        "uri_key": uri_key(uri),
        "filename": clean(filename or last_part(uri)),
        "mime": clean(mime),
        "size": size,
    }
    if tx.conn.execute(INSERT_PHOTO, values).rowcount:
        tx.conn.execute(INSERT_SOURCE, values)
        tx.conn.execute(INSERT_WORK, values)
        return "queued"
    tx.conn.execute(KEEP, values)
    if tx.conn.execute(REQUEUE, values).rowcount:
        tx.conn.execute(INSERT_WORK, values)
        return "queued"
    row = tx.conn.execute(
        "SELECT status FROM photos WHERE tenant_id = %(tenant)s AND photo_id = %(photo)s", values
    ).fetchone()
    if row is None:  # deleted between the two statements
        return enqueue(tx, photo_id=photo_id, uri=uri, mime=mime, size=size, filename=filename)
    status: PhotoStatus = row[0]
    return status


def claim(
    tx: Transaction, limit: int, lease_s: float, *, max_attempts: int = MAX_ATTEMPTS
) -> list[tuple[str, str]]:
    """Take up to `limit` waiting photos of any tenants: (tenant, photo id).

    For a worker's transaction. They are this worker's until `lease_s` seconds have passed;
    then, if neither finish nor fail was called, another may take them.
    """
    values = {"limit": limit, "lease": lease_s, "attempts": max_attempts}
    return [(tenant, photo) for tenant, photo in tx.conn.execute(CLAIM, values)]


def extend(tx: Transaction, items: Sequence[tuple[str, str]], lease_s: float) -> None:
    """Hold claimed photos for `lease_s` seconds from now; 0 gives them back at once."""
    values = {
        "seconds": lease_s,
        "tenants": [tenant for tenant, _ in items],
        "photos": [photo_key(photo) for _, photo in items],
    }
    tx.conn.execute(LEASE, values)


def postpone(tx: Transaction, photo_id: str, seconds: float) -> None:
    """Give a claimed photo back for so long, as if it had not been tried: it was not to blame."""
    tx.conn.execute(POSTPONE, [seconds, tx.tenant, photo_key(photo_id)])


def depth(tx: Transaction) -> int:
    """How many photos wait or are being worked on: all tenants' for a worker, else the tenant's."""
    row = tx.conn.execute("SELECT count(*) FROM uploads").fetchone()
    assert row is not None
    return int(row[0])


def finish(
    tx: Transaction, photo_id: str, status: PhotoStatus, photos: pa.Table, *, face_space: str = ""
) -> bool:
    """Record what a photo became (one row of schema.PHOTOS) and take it off the queue.

    False, and nothing is written, if it is not queued any more: it was deleted meanwhile, or
    another worker was faster. Only after True may its vector go into the delta log.
    """
    assert photos["photo_id"].to_pylist() == [photo_id], "the row is that of the photo"
    delta.lock(tx)
    if not _take_off(tx, photo_id):
        return False
    index = photos.schema.get_field_index("status")
    photos = photos.set_column(index, photos.schema.field(index), pa.array([status], pa.string()))
    loading.upsert_photos(tx, photos, run_id=None, part=None, stored=False, face_space=face_space)
    return True


def fail(
    tx: Transaction, photo_id: str, rejection: Rejection, *, max_attempts: int = MAX_ATTEMPTS
) -> PhotoStatus | None:
    """Record why a photo could not be processed; its status then, None if it is not queued.

    Where a retry can help and attempts are left, it stays queued and is due again after a wait
    that doubles with every attempt; otherwise it is failed, with the reason.
    """
    delta.lock(tx)
    key = photo_key(photo_id)
    row = tx.conn.execute(
        "SELECT attempts FROM uploads WHERE tenant_id = %s AND photo_id = %s FOR UPDATE",
        [tx.tenant, key],
    ).fetchone()
    if row is None:
        return None
    if rejection.retryable and row[0] < max_attempts:
        extend(tx, [(tx.tenant, photo_id)], FIRST_WAIT_S * 2 ** row[0])
        return "queued"
    _take_off(tx, photo_id)
    reason = clean(rejection.reason)
    tx.conn.execute(FAIL, [reason, tx.tenant, key])
    tx.conn.execute(
        NOTE_FAILURE,
        [tx.tenant, key, clean(rejection.stage), reason, rejection.code, rejection.retryable],
    )
    return "failed"


def give_up(catalog: Catalog, *, max_attempts: int = MAX_ATTEMPTS) -> int:
    """Fail the photos whose last lease ran out with no attempts left; return how many.

    Such photos broke every worker that took them (memory, a crash of a decoder).
    """
    with catalog.worker() as tx:
        items = tx.conn.execute(EXHAUSTED, [max_attempts]).fetchall()
    for tenant, photo_id in items:
        with catalog.tenant(tenant) as tx:
            fail(tx, photo_id, GIVEN_UP, max_attempts=max_attempts)
    return len(items)


def _take_off(tx: Transaction, photo_id: str) -> bool:
    sql = "DELETE FROM uploads WHERE tenant_id = %s AND photo_id = %s"
    return bool(tx.conn.execute(sql, [tx.tenant, photo_key(photo_id)]).rowcount)
