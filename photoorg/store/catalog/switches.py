"""The history of what served: cutovers and rollbacks, each with where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from photoorg.store.catalog.connection import Transaction

LOCK_CLASS = 0x73776974  # "swit"
COLUMNS = "switch_id, action, from_space, from_version, to_space, to_version, actor, at, lacking"
Action = Literal["cutover", "rollback"]


@dataclass(frozen=True, slots=True)
class Switch:
    """One change of what serves; `from_space` and `from_version` are None for the first.

    `lacking` photos that were found before it are not found since.
    """

    switch_id: int
    action: Action
    from_space: str | None
    from_version: str | None
    to_space: str
    to_version: str
    actor: str
    at: datetime
    lacking: int = 0


def lock(tx: Transaction) -> None:
    """Lock what serves the tenant: until it ends, only this transaction changes it."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, tx.tenant])


def record(
    tx: Transaction,
    kind: str,
    action: Action,
    before: tuple[str, str] | None,
    after: tuple[str, str],
    actor: str,
) -> int:
    """Add a change, from (space, version) to (space, version); its number."""
    row = tx.conn.execute(
        "INSERT INTO switches (tenant_id, kind, action, from_space, from_version, to_space,"
        " to_version, actor) VALUES (%s, %s, %s, %s, %s, %s, %s, %s) RETURNING switch_id",
        [tx.tenant, kind, action, *(before or (None, None)), *after, actor],
    ).fetchone()
    assert row is not None
    return int(row[0])


def note_lacking(tx: Transaction, switch_id: int, lacking: int) -> None:
    """Note how many photos a change has lost from sight."""
    tx.conn.execute(
        "UPDATE switches SET lacking = %s WHERE tenant_id = %s AND switch_id = %s",
        [lacking, tx.tenant, switch_id],
    )


def last(tx: Transaction, kind: str = "image") -> Switch | None:
    """The newest change, None if there was none."""
    row = tx.conn.execute(
        f"SELECT {COLUMNS} FROM switches WHERE tenant_id = %s AND kind = %s"
        " ORDER BY switch_id DESC LIMIT 1",
        [tx.tenant, kind],
    ).fetchone()
    return None if row is None else Switch(*row)
