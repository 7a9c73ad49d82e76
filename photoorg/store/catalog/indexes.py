"""Versions of indexes, of which at most one per tenant and space is active."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import errors

from photoorg.errors import ConflictError, NotFoundError
from photoorg.models import IndexStatus, IndexVersion
from photoorg.space import EmbeddingSpace, Kind
from photoorg.store.catalog import delta
from photoorg.store.catalog.connection import Transaction

LIVE: tuple[IndexStatus, ...] = ("building", "shadow", "active", "deprecated")
"""Versions that still have a use: photos that come or go must reach them."""
COMING: tuple[IndexStatus, ...] = ("building", "shadow", "active")
"""Those of them that serve, or are meant to."""
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
        raise ConflictError(
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


def serving(tx: Transaction, space_id: str) -> tuple[IndexVersion, int, int] | None:
    """The version a slot searches in the space, its delta_seq and its switch_seq.

    The active one; in a space that is not served (yet, or any more) the newest shadow or deprecated
    one, so that dual reads, canaries and queries that began before a cutover find it.
    """
    row = tx.conn.execute(
        f"SELECT {COLUMNS}, delta_seq, switch_seq FROM index_versions"
        " WHERE tenant_id = %s AND space_id = %s AND status IN ('active', 'shadow', 'deprecated')"
        " ORDER BY status = 'active' DESC, created_at DESC, version DESC LIMIT 1",
        [tx.tenant, space_id],
    ).fetchone()
    return None if row is None else (IndexVersion(*row[:-2]), row[-2], row[-1])


def wanted(tx: Transaction) -> list[tuple[IndexVersion, int]]:
    """Versions that slots are to hold beside the active ones, with their delta_seq."""
    sql = SELECT + " AND wanted AND status <> 'deleted'"
    rows = tx.conn.execute(sql.encode(), [tx.tenant])
    return [(IndexVersion(*row[:-1]), row[-1]) for row in rows]


def want(tx: Transaction, space_id: str, version: str, *, wanted: bool = True) -> None:
    """Ask slots to hold the version, or no longer to; NotFoundError if it is not there."""
    done = tx.conn.execute(
        "UPDATE index_versions SET wanted = %s"
        " WHERE tenant_id = %s AND space_id = %s AND version = %s",
        [wanted, tx.tenant, space_id, version],
    )
    if not done.rowcount:
        raise _missing(space_id, version)


def live_spaces(
    tx: Transaction, kind: Kind = "image", statuses: Sequence[IndexStatus] = LIVE
) -> list[EmbeddingSpace]:
    """Spaces with a version that still has a use: new photos need a vector in each of them."""
    rows = tx.conn.execute(
        "SELECT description FROM spaces s WHERE tenant_id = %s AND kind = %s AND EXISTS ("
        " SELECT FROM index_versions v WHERE v.tenant_id = s.tenant_id"
        " AND v.space_id = s.space_id AND v.status = ANY(%s)) ORDER BY created_at, space_id",
        [tx.tenant, kind, list(statuses)],
    )
    return [EmbeddingSpace.from_dict(description) for (description,) in rows]


def oldest_seq(tx: Transaction, space_id: str | None = None) -> int | None:
    """The least delta_seq of the versions that still have a use, None if there are none."""
    row = tx.conn.execute(
        "SELECT min(delta_seq) FROM index_versions WHERE tenant_id = %s AND status = ANY(%s)"
        " AND (%s::text IS NULL OR space_id = %s)",
        [tx.tenant, list(LIVE), space_id, space_id],
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def complete(tx: Transaction, version: IndexVersion, delta_seq: int) -> None:
    """A version that was building is whole: it becomes a shadow with these figures.

    ConflictError if it was retired meanwhile.
    """
    _lock(tx, version.space_id)
    done = tx.conn.execute(
        "UPDATE index_versions SET status = 'shadow', vectors = %s, shards = %s,"
        " recall_at_10 = %s, delta_seq = %s, changed_at = now() WHERE tenant_id = %s"
        " AND space_id = %s AND version = %s AND status = 'building'",
        [
            version.vectors,
            version.shards,
            version.recall_at_10,
            delta_seq,
            tx.tenant,
            version.space_id,
            version.version,
        ],
    )
    if not done.rowcount:
        require_kept(tx, version.space_id, version.version)
        raise _missing(version.space_id, version.version)


def require_kept(tx: Transaction, space_id: str, version: str) -> None:
    """ConflictError if the version was deleted, which whoever still builds it has to know."""
    found = get(tx, space_id, version)
    if found is not None and found[0].status == "deleted":
        raise ConflictError(
            f"Index version {version!r} of {space_id} was retired meanwhile.",
            fix="Start the job again for a new one; photos that are embedded already stay so.",
        )


def unused(tx: Transaction, status: IndexStatus, older_than_s: float) -> list[IndexVersion]:
    """Versions that have had this status for longer than that."""
    rows = tx.conn.execute(
        f"SELECT {COLUMNS} FROM index_versions WHERE tenant_id = %s AND status = %s"
        " AND changed_at < now() - make_interval(secs => %s) ORDER BY created_at",
        [tx.tenant, status, older_than_s],
    )
    return [IndexVersion(*row) for row in rows]


def touch(tx: Transaction, space_id: str, version: str) -> None:
    """Note that a version that is building is still being built."""
    tx.conn.execute(
        "UPDATE index_versions SET changed_at = now()"
        " WHERE tenant_id = %s AND space_id = %s AND version = %s",
        [tx.tenant, space_id, version],
    )


def activate(tx: Transaction, space_id: str, version: str) -> None:
    """Make a version the active one and deprecate the one before, in this transaction.

    The log gets a `switch` event: queries that know of it are answered from the new version.
    NotFoundError if there is no such version, ConflictError if it is still building or was deleted.
    """
    delta.lock(tx)
    _lock(tx, space_id)
    found = get(tx, space_id, version)
    if found is None:
        raise _missing(space_id, version)
    status = found[0].status
    if status in ("building", "deleted"):
        raise ConflictError(
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
    tx.conn.execute(
        "UPDATE index_versions SET switch_seq = %s, wanted = false"
        " WHERE tenant_id = %s AND space_id = %s AND version = %s",
        [delta.switch(tx), tx.tenant, space_id, version],
    )


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
