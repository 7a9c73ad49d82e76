"""The log of what changed since an index was built: one per tenant, in commit order.

Writers hold a lock per tenant until they commit, so an event is never seen after a later one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

LOCK_CLASS = 0x64656C74  # "delt"
Visibility = Literal["hide", "show"]


@dataclass(frozen=True, slots=True)
class DeltaEvent:
    """A photo that came (with its vector, float32 from float16), went, was hidden or shown."""

    seq: int
    op: Literal["add", "delete", "hide", "show"]
    photo_id: str
    vector: NDArray[np.float32] | None


def lock(tx: Transaction) -> None:
    """Be the tenant's only writer of the log until this transaction ends.

    A transaction that also changes photos takes it first; everything in this package does.
    """
    tx.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, tx.tenant])


def add(tx: Transaction, space_id: str, photo_ids: Sequence[str], x_nd: NDArray[np.float32]) -> int:
    """Log that photos have these vectors [n, dim] in the space; return the last event's number."""
    assert len(photo_ids) == len(x_nd), "one vector per photo"
    lock(tx)
    halves = np.ascontiguousarray(x_nd, dtype="<f2")
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO delta_log (tenant_id, seq, space_id, op, photo_id, vector)"
            " VALUES (%s, nextval('delta_seq'), %s, 'add', %s, %s)",
            [
                (tx.tenant, space_id, photo_key(i), half.tobytes())
                for i, half in zip(photo_ids, halves, strict=True)
            ],
        )
    return head(tx)


def remove(tx: Transaction, photo_ids: Sequence[str]) -> int:
    """Log that photos are gone, from every space; return the last event's number."""
    return _log(tx, photo_ids, "delete")


def mark(tx: Transaction, photo_ids: Sequence[str], op: Visibility) -> int:
    """Log that photos are hidden from every space or shown again; the last event's number."""
    return _log(tx, photo_ids, op)


def since(tx: Transaction, space_id: str, seq: int, limit: int = 10_000) -> list[DeltaEvent]:
    """Events of the space after number `seq`, oldest first, at most `limit`."""
    rows = tx.conn.execute(
        "SELECT seq, op, photo_id, vector FROM delta_log WHERE tenant_id = %s AND seq > %s"
        " AND (space_id = %s OR space_id IS NULL) ORDER BY seq LIMIT %s",
        [tx.tenant, seq, space_id, limit],
    )
    return [
        DeltaEvent(
            number,
            op,
            photo.hex(),
            None if vector is None else np.frombuffer(vector, "<f2").astype(np.float32),
        )
        for number, op, photo, vector in rows
    ]


def head(tx: Transaction) -> int:
    """The number of the tenant's last event, 0 if there was none."""
    row = tx.conn.execute(
        "SELECT coalesce(max(seq), 0) FROM delta_log WHERE tenant_id = %s", [tx.tenant]
    ).fetchone()
    assert row is not None
    return int(row[0])


def trim(tx: Transaction, seq: int) -> int:
    """Forget events up to number `seq`, when every index holds them; return how many.

    The last event stays, so that numbers are never given out as if nothing had happened.
    """
    return tx.conn.execute(
        "DELETE FROM delta_log WHERE tenant_id = %s AND seq <= %s AND seq < %s",
        [tx.tenant, seq, head(tx)],
    ).rowcount


def _log(tx: Transaction, photo_ids: Sequence[str], op: Literal["delete", "hide", "show"]) -> int:
    lock(tx)
    tx.conn.execute(
        "INSERT INTO delta_log (tenant_id, seq, op, photo_id)"
        " SELECT %s, nextval('delta_seq'), %s, id FROM unnest(%s::bytea[]) AS id",
        [tx.tenant, op, [photo_key(i) for i in photo_ids]],
    )
    return head(tx)
