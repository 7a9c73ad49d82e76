"""Versions of indexes, of which at most one per tenant and space is active."""

from __future__ import annotations

from typing import Any

from psycopg import errors

from photoorg.errors import InputError, NotFoundError
from photoorg.models import IndexStatus, IndexVersion
from photoorg.store.catalog.connection import Transaction

LOCK_CLASS = 0x696E6478  # "indx"
COLUMNS = (
    "tenant_id, space_id, version, status, location, vectors, shards, created_at, recall_at_10"
)
SELECT = f"SELECT {COLUMNS}, delta_seq FROM index_versions WHERE tenant_id = %s"


def create(tx: Transaction, version: IndexVersion, delta_seq: int) -> None:
    """Record a version that holds everything up to event `delta_seq` of the delta log."""
    assert version.tenant == tx.tenant, "a version belongs to the transaction's tenant"
    assert version.status != "active", "a version becomes active through activate"
    try:
        with tx.conn.transaction():
            tx.conn.execute(
                f"INSERT INTO index_versions ({COLUMNS}, delta_seq)"
                " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                [
                    tx.tenant,
                    version.space_id,
                    version.version,
                    version.status,
                    version.location,
                    version.vectors,
                    version.shards,
                    version.created_at,
                    version.recall_at_10,
                    delta_seq,
                ],
            )
    except errors.UniqueViolation:
        raise InputError(
            f"There already is an index version {version.version!r} of {version.space_id}.",
            fix="Choose another version name.",
        ) from None


def get(tx: Transaction, space_id: str, version: str) -> tuple[IndexVersion, int] | None:
    """A version and its delta_seq, None if there is none."""
    return _one(tx, " AND space_id = %s AND version = %s", [space_id, version])


def list_versions(tx: Transaction, space_id: str | None = None) -> list[IndexVersion]:
    """All versions, newest first, of one space or of every one."""
    rows = tx.conn.execute(
        SELECT + " AND (%s::text IS NULL OR space_id = %s) ORDER BY created_at DESC, version DESC",
        [tx.tenant, space_id, space_id],
    )
    return [IndexVersion(*row[:-1]) for row in rows]


def active(tx: Transaction, space_id: str) -> tuple[IndexVersion, int] | None:
    """The version that serves the space and its delta_seq, None if there is none."""
    return _one(tx, " AND space_id = %s AND status = 'active'", [space_id])


def activate(tx: Transaction, space_id: str, version: str) -> None:
    """Make a version the active one and deprecate the one before, in this transaction.

    NotFoundError if there is no such version, InputError if it is still building or was deleted.
    """
    _lock(tx, space_id)
    found = get(tx, space_id, version)
    if found is None:
        raise _missing(space_id, version)
    status = found[0].status
    if status in ("building", "deleted"):
        raise InputError(
            f"Index version {version!r} of {space_id} is {status} and cannot serve.",
            fix="Activate one that is shadow or deprecated (`photoorg index list`).",
        )
    if status == "active":
        return
    tx.conn.execute(
        "UPDATE index_versions SET status = 'deprecated', changed_at = now()"
        " WHERE tenant_id = %s AND space_id = %s AND status = 'active'",
        [tx.tenant, space_id],
    )
    _set(tx, space_id, version, "active")


def set_status(tx: Transaction, space_id: str, version: str, status: IndexStatus) -> None:
    """Change a version's status; to active only through activate. NotFoundError if not there."""
    if status == "active":
        activate(tx, space_id, version)
        return
    _lock(tx, space_id)
    if not _set(tx, space_id, version, status):
        raise _missing(space_id, version)


def _set(tx: Transaction, space_id: str, version: str, status: IndexStatus) -> bool:
    done = tx.conn.execute(
        "UPDATE index_versions SET status = %s, changed_at = now()"
        " WHERE tenant_id = %s AND space_id = %s AND version = %s",
        [status, tx.tenant, space_id, version],
    )
    return bool(done.rowcount)


def _lock(tx: Transaction, space_id: str) -> None:
    tx.conn.execute(
        "SELECT pg_advisory_xact_lock(%s, hashtext(%s))",
        [LOCK_CLASS, f"{tx.tenant} {space_id}"],
    )


def _one(tx: Transaction, condition: str, values: list[Any]) -> tuple[IndexVersion, int] | None:
    row = tx.conn.execute((SELECT + condition).encode(), [tx.tenant, *values]).fetchone()
    return None if row is None else (IndexVersion(*row[:-1]), row[-1])


def _missing(space_id: str, version: str) -> NotFoundError:
    return NotFoundError(
        f"There is no index version {version!r} of {space_id}.",
        fix="`photoorg index list` shows those there are.",
    )
