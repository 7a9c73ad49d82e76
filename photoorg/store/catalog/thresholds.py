"""Numbers that decide, per tenant and embedding space, where they differ from the configuration."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from photoorg.errors import ConflictError, NotFoundError
from photoorg.store.catalog import audit
from photoorg.store.catalog.connection import Transaction

LOCK_CLASS = 0x74687273  # "thrs"
ACTION = "threshold.set"
LAST = """
SELECT detail->>'change' FROM audit_log
WHERE tenant_id = %s AND entity = 'space' AND entity_id = %s AND action = %s
ORDER BY audit_id DESC LIMIT 1
"""
CHANGED = """
SELECT entity_id, detail->>'name', (detail->>'before')::float8, (detail->>'after')::float8
FROM audit_log
WHERE tenant_id = %s AND entity = 'space' AND action = %s AND detail->>'change' = %s
ORDER BY audit_id
"""
SET_AT = """
SELECT DISTINCT ON (detail->>'name') detail->>'name', detail->>'photos' FROM audit_log
WHERE tenant_id = %s AND entity = 'space' AND entity_id = %s AND action = %s
ORDER BY detail->>'name', audit_id DESC
"""


@dataclass(frozen=True, slots=True)
class Change:
    """What was put in force in a space: before and after by name, None for "as configured".

    `token` takes it back; None where nothing changed.
    """

    space_id: str
    values: dict[str, tuple[float | None, float | None]]
    token: str | None


def get(tx: Transaction, space_id: str, name: str) -> float | None:
    """The threshold, None where none was set."""
    return get_all(tx, space_id).get(name)


def get_all(tx: Transaction, space_id: str) -> dict[str, float]:
    """Every threshold and weight set for the space, by name."""
    rows = tx.conn.execute(
        "SELECT name, value FROM thresholds WHERE tenant_id = %s AND space_id = %s",
        [tx.tenant, space_id],
    )
    return {str(name): float(value) for name, value in rows}


def put(tx: Transaction, space_id: str, name: str, value: float) -> None:
    """Set one; it counts from the next answer on."""
    tx.conn.execute(
        "INSERT INTO thresholds (tenant_id, space_id, name, value) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (tenant_id, space_id, name)"
        " DO UPDATE SET value = excluded.value, updated_at = now()",
        [tx.tenant, space_id, name, value],
    )


def remove(tx: Transaction, space_id: str, name: str) -> bool:
    """Back to the configured value; False if it was not set."""
    sql = "DELETE FROM thresholds WHERE tenant_id = %s AND space_id = %s AND name = %s"
    return bool(tx.conn.execute(sql, [tx.tenant, space_id, name]).rowcount)


def fitted_to(tx: Transaction, space_id: str) -> dict[str, int | None]:
    """How many photos the library had when each name was last set; None where people set it."""
    rows = tx.conn.execute(SET_AT, [tx.tenant, space_id, ACTION])
    return {str(name): None if count is None else int(count) for name, count in rows}


def lock(tx: Transaction) -> None:
    """Be the only one who changes the tenant's thresholds until this transaction ends."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, tx.tenant])


def change(
    tx: Transaction,
    space_id: str,
    values: Mapping[str, float | None],
    actor: str,
    *,
    photos: int | None = None,
) -> Change:
    """Put values in force (None: back to the configured one); the audit log keeps those before.

    `photos` is the size of the library that they were fitted to. Changes wait for each other: what
    one notes as "before" is what the other left.
    """
    lock(tx)
    before = get_all(tx, space_id)
    changed = {n: (before.get(n), v) for n, v in values.items() if before.get(n) != v}
    token = uuid.uuid4().hex if changed else None
    for name, (old, new) in changed.items():
        if new is None:
            remove(tx, space_id, name)
        else:
            put(tx, space_id, name, new)
        detail: dict[str, Any] = {"name": name, "before": old, "after": new, "change": token}
        if photos is not None:
            detail["photos"] = photos
        audit.record(tx, actor, ACTION, "space", space_id, detail)
    return Change(space_id, changed, token)


def undo(tx: Transaction, token: str, actor: str) -> Change:
    """Take a change back, which is a change that can be taken back itself.

    NotFoundError for an unknown token, ConflictError where a value was changed again since.
    """
    lock(tx)
    rows = tx.conn.execute(CHANGED, [tx.tenant, ACTION, token]).fetchall()
    if not rows:
        raise NotFoundError(
            f"No change of thresholds has the token {token}.",
            fix="`photoorg calibrate ... --apply` printed it as undo_token.",
        )
    space_id, now = str(rows[0][0]), get_all(tx, str(rows[0][0]))
    changed = [str(name) for _, name, _, after in rows if now.get(name) != after]
    if changed:
        raise ConflictError(
            f"Changed again since: {', '.join(changed)}.", fix="Undo the later change first."
        )
    return change(tx, space_id, {str(name): before for _, name, before, _ in rows}, actor)


def undo_last(tx: Transaction, space_id: str, actor: str) -> Change:
    """Take the space's last change back; undoing twice restores it."""
    lock(tx)
    row = tx.conn.execute(LAST, [tx.tenant, space_id, ACTION]).fetchone()
    return Change(space_id, {}, None) if row is None else undo(tx, str(row[0]), actor)
