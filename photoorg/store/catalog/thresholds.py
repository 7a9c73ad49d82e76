"""Numbers that decide, per tenant and embedding space, where they differ from the configuration."""

from __future__ import annotations

from collections.abc import Mapping

from photoorg.store.catalog import audit
from photoorg.store.catalog.connection import Transaction

ACTION = "threshold.set"
LAST = """
SELECT detail->>'name', detail->>'before' FROM audit_log a
WHERE tenant_id = %(tenant)s AND entity = 'space' AND entity_id = %(space)s AND action = %(action)s
    AND at = (SELECT max(at) FROM audit_log WHERE tenant_id = %(tenant)s AND entity = 'space'
        AND entity_id = %(space)s AND action = %(action)s)
"""


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


def change(
    tx: Transaction, space_id: str, values: Mapping[str, float | None], actor: str
) -> dict[str, tuple[float | None, float | None]]:
    """Set several (None: remove), note each in the audit log; (before, after) of what changed."""
    before = get_all(tx, space_id)
    changed = {n: (before.get(n), v) for n, v in values.items() if before.get(n) != v}
    for name, (old, new) in changed.items():
        if new is None:
            remove(tx, space_id, name)
        else:
            put(tx, space_id, name, new)
        detail = {"name": name, "before": old, "after": new}
        audit.record(tx, actor, ACTION, "space", space_id, detail)
    return changed


def undo(
    tx: Transaction, space_id: str, actor: str
) -> dict[str, tuple[float | None, float | None]]:
    """Put back what the last change set; (before, after) of each, empty if there was none.

    To undo twice is to have the change again.
    """
    rows = tx.conn.execute(LAST, {"tenant": tx.tenant, "space": space_id, "action": ACTION})
    return change(tx, space_id, {str(n): None if v is None else float(v) for n, v in rows}, actor)
