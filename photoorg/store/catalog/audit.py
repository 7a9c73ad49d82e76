"""The audit log: who changed what. It can be added to and read, never changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from psycopg.types.json import Jsonb

from photoorg.store.catalog.connection import Transaction


def record(
    tx: Transaction,
    actor: str,
    action: str,
    entity: str,
    entity_id: str,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry; it is committed or rolled back with the change it tells of."""
    tx.conn.execute(
        "INSERT INTO audit_log (tenant_id, actor, action, entity, entity_id, detail)"
        " VALUES (%s, %s, %s, %s, %s, %s)",
        [tx.tenant, actor, action, entity, entity_id, Jsonb(dict(detail or {}))],
    )
