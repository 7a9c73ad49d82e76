"""The trash: photos that are hidden from every search and list until restored or purged."""

from __future__ import annotations

from collections.abc import Sequence

from photoorg.store.catalog import delta
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

DAY_S = 86_400.0


def put(tx: Transaction, photo_ids: Sequence[str]) -> list[str]:
    """Hide photos from the next search on; those that were not in the trash already."""
    sql = (
        "UPDATE photos SET trashed_at = now(), updated_at = now() WHERE tenant_id = %s"
        " AND photo_id = ANY(%s) AND trashed_at IS NULL RETURNING encode(photo_id, 'hex')"
    )
    return _change(tx, sql, photo_ids, "hide")


def restore(tx: Transaction, photo_ids: Sequence[str]) -> list[str]:
    """Bring photos back as they were; those that were in the trash."""
    sql = (
        "UPDATE photos SET trashed_at = NULL, updated_at = now() WHERE tenant_id = %s"
        " AND photo_id = ANY(%s) AND trashed_at IS NOT NULL RETURNING encode(photo_id, 'hex')"
    )
    return _change(tx, sql, photo_ids, "show")


def ids(tx: Transaction) -> list[str]:
    """Every photo in the trash, ascending."""
    sql = (
        "SELECT encode(photo_id, 'hex') FROM photos WHERE tenant_id = %s"
        " AND trashed_at IS NOT NULL ORDER BY photo_id"
    )
    return [photo_id for (photo_id,) in tx.conn.execute(sql, [tx.tenant])]


def older_than(tx: Transaction, days: float, limit: int) -> list[str]:
    """Photos that were put into the trash more than `days` ago, the oldest first."""
    sql = (
        "SELECT encode(photo_id, 'hex') FROM photos WHERE tenant_id = %s"
        " AND trashed_at < now() - make_interval(secs => %s) ORDER BY trashed_at, photo_id LIMIT %s"
    )
    rows = tx.conn.execute(sql, [tx.tenant, days * DAY_S, limit])
    return [photo_id for (photo_id,) in rows]


def is_older(tx: Transaction, photo_id: str, days: float) -> bool:
    """Whether the photo is still in the trash and was put there more than `days` ago."""
    sql = (
        "SELECT 1 FROM photos WHERE tenant_id = %s AND photo_id = %s"
        " AND trashed_at < now() - make_interval(secs => %s) FOR UPDATE"
    )
    found = tx.conn.execute(sql, [tx.tenant, photo_key(photo_id), days * DAY_S]).fetchone()
    return found is not None


def _change(tx: Transaction, sql: str, photo_ids: Sequence[str], op: delta.Visibility) -> list[str]:
    delta.lock(tx)
    keys = [photo_key(i) for i in photo_ids]
    changed = sorted(i for (i,) in tx.conn.execute(sql.encode(), [tx.tenant, keys]))
    if changed:
        delta.mark(tx, changed, op)
    return changed
