"""Thresholds of a tenant in a space: numbers that mean something for its scores alone."""

from __future__ import annotations

from photoorg.store.catalog.connection import Transaction


def get(tx: Transaction, space_id: str, name: str) -> float | None:
    """The threshold, None where none was set."""
    row = tx.conn.execute(
        "SELECT value FROM thresholds WHERE tenant_id = %s AND space_id = %s AND name = %s",
        [tx.tenant, space_id, name],
    ).fetchone()
    return None if row is None else float(row[0])


def put(tx: Transaction, space_id: str, name: str, value: float) -> None:
    """Set the threshold."""
    tx.conn.execute(
        "INSERT INTO thresholds (tenant_id, space_id, name, value) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (tenant_id, space_id, name)"
        " DO UPDATE SET value = excluded.value, updated_at = now()",
        [tx.tenant, space_id, name, value],
    )
