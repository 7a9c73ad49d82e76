"""A number that grows with every committed change of photos and of what hangs on them."""

from __future__ import annotations

from photoorg.store.catalog.connection import Transaction


def count(tx: Transaction) -> int:
    """The tenant's number of changes so far; what was read after it is at least as new."""
    row = tx.conn.execute(
        "SELECT coalesce(sum(changes), 0) FROM library_changes WHERE tenant_id = %s", [tx.tenant]
    ).fetchone()
    assert row is not None
    return int(row[0])
