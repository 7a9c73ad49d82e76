"""Files of the object store that are to go: noted with the row that goes, removed afterwards.

Who promises that a blob is there (a row that names it) holds the lock shared while it looks at the
blob and writes the row; who removes blobs holds it alone. Taken before every other lock. Contents
whose files were removed are remembered, so that who stored them long before the row comes knows
when to look.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

LOCK_CLASS = 0x626C6F62  # "blob"

NOTE = """
INSERT INTO leaving_blobs (tenant_id, blob_id) SELECT %s, unnest(%s::bytea[])
ON CONFLICT (tenant_id, blob_id) DO UPDATE SET left_at = now(), removed_at = NULL
"""
REFERRED = """
SELECT encode(b, 'hex') FROM unnest(%(ids)s::bytea[]) AS b
WHERE EXISTS (SELECT FROM photos p WHERE p.tenant_id = %(tenant)s AND p.photo_id = b)
    OR EXISTS (SELECT FROM companions c
        WHERE c.tenant_id = %(tenant)s AND c.companion_id = b AND c.blob_uri IS NOT NULL)
"""


def hold(tx: Transaction) -> None:
    """Until this transaction ends no blob of the tenant is removed."""
    sql = "SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))"
    tx.conn.execute(sql, [LOCK_CLASS, tx.tenant])


def lock(tx: Transaction) -> None:
    """Lock the tenant's blobs: once nobody holds them, this transaction alone may remove any."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, tx.tenant])


def leave(tx: Transaction, blob_ids: Sequence[str]) -> None:
    """Note that these blobs may be removed once this transaction is committed."""
    if blob_ids:
        tx.conn.execute(NOTE, [tx.tenant, [photo_key(i) for i in blob_ids]])


def leaving(tx: Transaction, limit: int) -> list[str]:
    """Ids of blobs that are to go, the oldest first."""
    sql = (
        "SELECT encode(blob_id, 'hex') FROM leaving_blobs WHERE tenant_id = %s"
        " AND removed_at IS NULL ORDER BY left_at, blob_id LIMIT %s"
    )
    return [blob_id for (blob_id,) in tx.conn.execute(sql, [tx.tenant, limit])]


def referred(tx: Transaction, blob_ids: Sequence[str]) -> set[str]:
    """Those of the ids that a photo or a stored video of a live photo has (again)."""
    values = {"tenant": tx.tenant, "ids": [photo_key(i) for i in blob_ids]}
    return {blob_id for (blob_id,) in tx.conn.execute(REFERRED, values)}


def removed(tx: Transaction, blob_ids: Sequence[str]) -> set[str]:
    """Those of the ids whose files are to go, or went at some time; they may have come again."""
    sql = (
        "SELECT encode(blob_id, 'hex') FROM leaving_blobs"
        " WHERE tenant_id = %s AND blob_id = ANY(%s)"
    )
    return {i for (i,) in tx.conn.execute(sql, [tx.tenant, [photo_key(i) for i in blob_ids]])}


def settle(tx: Transaction, gone: Collection[str], came: Collection[str]) -> None:
    """Note that files were removed; those that `came` again are to go no more."""
    sql = "UPDATE leaving_blobs SET removed_at = now() WHERE tenant_id = %s AND blob_id = ANY(%s)"
    tx.conn.execute(sql, [tx.tenant, [photo_key(i) for i in gone]])
    sql = "DELETE FROM leaving_blobs WHERE tenant_id = %s AND blob_id = ANY(%s)"
    tx.conn.execute(sql, [tx.tenant, [photo_key(i) for i in came]])
