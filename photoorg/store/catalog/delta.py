"""The log of what changed since an index was built: one per tenant, in commit order.

Writers hold a lock per tenant until they commit, so an event is never seen after a later one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, LiteralString

import numpy as np
from numpy.typing import NDArray

from photoorg.store.catalog.connection import Catalog, Transaction
from photoorg.store.catalog.keys import photo_key

LOCK_CLASS = 0x64656C74  # "delt"
Visibility = Literal["hide", "show"]
HEAD: LiteralString = "SELECT coalesce(max(seq), 0) FROM delta_log WHERE tenant_id = %(tenant)s"


@dataclass(frozen=True, slots=True)
class DeltaEvent:
    """A photo that came (with its vector, float32 from float16), went, was hidden or shown."""

    seq: int
    op: Literal["add", "delete", "hide", "show"]
    photo_id: str
    vector: NDArray[np.float32] | None


def lock(tx: Transaction) -> None:
    """Lock the tenant's log: until it ends, only this transaction writes to it.

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
        " AND (space_id = %s OR space_id IS NULL) AND op <> 'switch' ORDER BY seq LIMIT %s",
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


def runs(tx: Transaction, space_id: str, seq: int) -> Iterator[list[DeltaEvent]]:
    """All events of the space after number `seq`, in runs that are read as they are asked for."""
    while events := since(tx, space_id, seq):
        yield events
        seq = events[-1].seq


def switch(tx: Transaction) -> int:
    """Log that other versions or spaces serve from here on; return the event's number.

    The log moves, so every reader and slot asks anew what serves.
    """
    lock(tx)
    tx.conn.execute(
        "INSERT INTO delta_log (tenant_id, seq, op, photo_id)"
        " VALUES (%s, nextval('delta_seq'), 'switch', '')",
        [tx.tenant],
    )
    return head(tx)


def floor(tx: Transaction) -> int:
    """The position up to which events were forgotten, 0 if none were.

    Read it after the events: who stood before it may have missed some.
    """
    row = tx.conn.execute(
        "SELECT seq FROM delta_floors WHERE tenant_id = %s", [tx.tenant]
    ).fetchone()
    return int(row[0]) if row else 0


def added_spaces(tx: Transaction, seq: int) -> list[str]:
    """Spaces in which photos came up to event `seq`."""
    rows = tx.conn.execute(
        "SELECT DISTINCT space_id FROM delta_log"
        " WHERE tenant_id = %s AND op = 'add' AND seq <= %s ORDER BY space_id",
        [tx.tenant, seq],
    )
    return [space_id for (space_id,) in rows]


def waiting(tx: Transaction, space_id: str, seq: int) -> tuple[int, int]:
    """How many photos came to the space and how many were deleted after event `seq`."""
    row = tx.conn.execute(
        "SELECT count(DISTINCT photo_id) FILTER (WHERE op = 'add'),"
        " count(DISTINCT photo_id) FILTER (WHERE op = 'delete') FROM delta_log"
        " WHERE tenant_id = %s AND seq > %s AND (space_id = %s OR space_id IS NULL)",
        [tx.tenant, seq, space_id],
    ).fetchone()
    assert row is not None
    return int(row[0]), int(row[1])


def last_words(tx: Transaction, space_id: str, seq: int) -> tuple[list[str], list[str]]:
    """Photos that, by the log after event `seq`, are in the space now, and those that went.

    A photo that came (with a vector in the space) and went counts by what happened last.
    """
    rows = tx.conn.execute(
        "SELECT DISTINCT ON (photo_id) encode(photo_id, 'hex'), op FROM delta_log"
        " WHERE tenant_id = %s AND seq > %s AND (space_id = %s OR space_id IS NULL)"
        " AND op IN ('add', 'delete') ORDER BY photo_id, seq DESC",
        [tx.tenant, seq, space_id],
    ).fetchall()
    came = [photo_id for photo_id, op in rows if op == "add"]
    return came, [photo_id for photo_id, op in rows if op == "delete"]


def elsewhere(tx: Transaction, space_id: str, seq: int) -> int:
    """How many photos came after event `seq` to other spaces, and not to this one."""
    row = tx.conn.execute(
        "SELECT count(*) FROM (SELECT photo_id FROM delta_log"
        " WHERE tenant_id = %s AND seq > %s AND op = 'add'"
        " GROUP BY photo_id HAVING NOT bool_or(space_id = %s)) AS other",
        [tx.tenant, seq, space_id],
    ).fetchone()
    assert row is not None
    return int(row[0])


def head(tx: Transaction) -> int:
    """The number of the tenant's last event, 0 if there was none."""
    row = tx.conn.execute(HEAD, {"tenant": tx.tenant}).fetchone()
    assert row is not None
    return int(row[0])


def head_now(catalog: Catalog, tenant: str) -> int:
    """As head, in a transaction of its own and in one round trip to the server."""
    ((seq,),) = catalog.glance(tenant, HEAD)
    return int(seq)


def trim(tx: Transaction, seq: int) -> int:
    """Forget events up to number `seq`, when every index holds them; return how many.

    The last event stays, so that numbers are never given out as if nothing had happened.
    """
    lock(tx)
    last = min(seq, head(tx) - 1)
    gone = tx.conn.execute(
        "DELETE FROM delta_log WHERE tenant_id = %s AND seq <= %s", [tx.tenant, last]
    ).rowcount
    if gone:
        tx.conn.execute(
            "INSERT INTO delta_floors (tenant_id, seq) VALUES (%s, %s)"
            " ON CONFLICT (tenant_id) DO UPDATE SET seq = greatest(delta_floors.seq, excluded.seq)",
            [tx.tenant, last],
        )
    return gone


def _log(tx: Transaction, photo_ids: Sequence[str], op: Literal["delete", "hide", "show"]) -> int:
    lock(tx)
    tx.conn.execute(
        "INSERT INTO delta_log (tenant_id, seq, op, photo_id)"
        " SELECT %s, nextval('delta_seq'), %s, id FROM unnest(%s::bytea[]) AS id",
        [tx.tenant, op, [photo_key(i) for i in photo_ids]],
    )
    return head(tx)
