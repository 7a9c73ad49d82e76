"""Numbers that decide, per tenant and embedding space, where they differ from the configuration."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from photoorg.errors import ConflictError, NotFoundError
from photoorg.store.catalog import audit
from photoorg.store.catalog.connection import Transaction


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


def change(tx: Transaction, space_id: str, values: Mapping[str, float | None], actor: str) -> str:
    """Put values in force (None: back to the configured one), audited; the token to undo it with.

    The audit log keeps what was there before.
    """
    token = uuid.uuid4().hex
    before = get_all(tx, space_id)
    for name, value in values.items():
        if value is None:
            remove(tx, space_id, name)
        else:
            put(tx, space_id, name, value)
        detail = {"name": name, "before": before.get(name), "after": value, "change": token}
        audit.record(tx, actor, "threshold.set", "space", space_id, detail)
    return token


def undo(tx: Transaction, token: str, actor: str) -> tuple[str, dict[str, float | None], str]:
    """Take a change back: its space, the values now in force (None: the configured one), and a
    token to undo this with.

    NotFoundError for an unknown token, ConflictError where a value was changed again since.
    """
    rows = tx.conn.execute(
        "SELECT entity_id, detail->>'name', (detail->>'before')::float8,"
        " (detail->>'after')::float8 FROM audit_log WHERE tenant_id = %s"
        " AND entity = 'space' AND action = 'threshold.set' AND detail->>'change' = %s"
        " ORDER BY audit_id",
        [tx.tenant, token],
    ).fetchall()
    if not rows:
        raise NotFoundError(
            f"No change of thresholds has the token {token}.",
            fix="`photoorg calibrate ... --apply` printed it as undo_token.",
        )
    space_id = str(rows[0][0])
    now = get_all(tx, space_id)
    changed = [str(name) for _, name, _, after in rows if now.get(name) != after]
    if changed:
        raise ConflictError(
            f"Changed again since: {', '.join(changed)}.", fix="Undo the later change first."
        )
    values = {str(name): before for _, name, before, _ in rows}
    return space_id, values, change(tx, space_id, values, actor)
