"""Embedding spaces a tenant has vectors in, and which one is the default of each kind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from psycopg.types.json import Jsonb

from photoorg.errors import NotFoundError
from photoorg.space import EmbeddingSpace, Kind
from photoorg.store.catalog.connection import Transaction


@dataclass(frozen=True, slots=True)
class Route:
    """Which space answers whom: `default`, and `canary` for a sticky `share` of the users."""

    default: EmbeddingSpace | None
    canary: EmbeddingSpace | None = None
    share: float = 0.0
    salt: str = ""

    def of(self, user: str) -> EmbeddingSpace | None:
        """The user's space: the same at every call, nobody's is the default."""
        if self.canary is None or not user:
            return self.default
        digest = hashlib.sha256(f"{self.salt} {user}".encode()).digest()
        place = int.from_bytes(digest[:8], "big") / 2**64
        return self.canary if place < self.share else self.default


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


def route(tx: Transaction, kind: Kind = "image") -> Route:
    """Which space answers which user."""
    row = tx.conn.execute(
        "SELECT s.description, c.share, c.salt FROM canaries c"
        " JOIN spaces s USING (tenant_id, space_id) WHERE c.tenant_id = %s AND c.kind = %s",
        [tx.tenant, kind],
    ).fetchone()
    default = get_default(tx, kind)
    if row is None:
        return Route(default)
    return Route(default, EmbeddingSpace.from_dict(row[0]), *row[1:])


def set_canary(tx: Transaction, space: EmbeddingSpace, share: float, salt: str) -> None:
    """Let a share of the users be served from the space; an earlier canary's salt stays in force
    while its space is the same, so that a larger share keeps those who are in it.
    """
    tx.conn.execute(
        "INSERT INTO canaries AS c (tenant_id, kind, space_id, share, salt)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (tenant_id, kind) DO UPDATE SET"
        " share = excluded.share, space_id = excluded.space_id, started_at = now(),"
        " salt = CASE WHEN c.space_id = excluded.space_id THEN c.salt ELSE excluded.salt END",
        [tx.tenant, space.kind, space.id, share, salt],
    )


def end_canary(tx: Transaction, kind: Kind = "image") -> bool:
    """Serve everybody from the default space; False if there was no canary."""
    done = tx.conn.execute(
        "DELETE FROM canaries WHERE tenant_id = %s AND kind = %s", [tx.tenant, kind]
    )
    return bool(done.rowcount)
