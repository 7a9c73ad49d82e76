"""Embedding spaces a tenant has vectors in, and which one is the default of each kind."""

from __future__ import annotations

from psycopg.types.json import Jsonb

from photoorg.errors import NotFoundError
from photoorg.space import EmbeddingSpace, Kind
from photoorg.store.catalog.connection import Transaction


def register(tx: Transaction, space: EmbeddingSpace) -> None:
    """Make the space known; again does nothing but note what does not enter its id."""
    tx.conn.execute(
        "INSERT INTO spaces (tenant_id, space_id, kind, description) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (tenant_id, space_id) DO UPDATE SET description = excluded.description",
        [tx.tenant, space.id, space.kind, Jsonb(space.to_dict())],
    )


def get(tx: Transaction, space_id: str) -> EmbeddingSpace | None:
    """The space, None if it is not known."""
    row = tx.conn.execute(
        "SELECT description FROM spaces WHERE tenant_id = %s AND space_id = %s",
        [tx.tenant, space_id],
    ).fetchone()
    return None if row is None else EmbeddingSpace.from_dict(row[0])


def list_spaces(tx: Transaction) -> list[EmbeddingSpace]:
    """Every known space, oldest first."""
    rows = tx.conn.execute(
        "SELECT description FROM spaces WHERE tenant_id = %s ORDER BY created_at, space_id",
        [tx.tenant],
    )
    return [EmbeddingSpace.from_dict(description) for (description,) in rows]


def set_default(tx: Transaction, space_id: str, kind: Kind) -> None:
    """Let searches of that kind use the space; NotFoundError if it is not known."""
    space = get(tx, space_id)
    if space is None or space.kind != kind:
        raise NotFoundError(
            f"There is no {kind} space {space_id!r}.", fix="Ingest photos with that space first."
        )
    tx.conn.execute(
        "INSERT INTO tenant_spaces (tenant_id, kind, space_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (tenant_id, kind)"
        " DO UPDATE SET space_id = excluded.space_id, updated_at = now()",
        [tx.tenant, kind, space_id],
    )


def get_default(tx: Transaction, kind: Kind = "image") -> EmbeddingSpace | None:
    """The space that searches of that kind use, None if none was chosen."""
    row = tx.conn.execute(
        "SELECT space_id FROM tenant_spaces WHERE tenant_id = %s AND kind = %s", [tx.tenant, kind]
    ).fetchone()
    return None if row is None else get(tx, row[0])
