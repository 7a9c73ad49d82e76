"""Numbers that decide, per tenant and embedding space, where they differ from the configuration."""

from __future__ import annotations

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
