"""Tenants: whose libraries this catalog holds."""

from __future__ import annotations

from datetime import datetime

from photoorg.store.catalog.connection import Transaction


def since(tx: Transaction) -> datetime:
    """When this catalog first heard of the tenant."""
    row = tx.conn.execute(
        "SELECT created_at FROM tenants WHERE tenant_id = %s", [tx.tenant]
    ).fetchone()
    assert row is not None, "a transaction makes its tenant known"
    found: datetime = row[0]
    return found
