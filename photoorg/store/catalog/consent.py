"""Consent to faces: off until the tenant and the user both agree; withdrawing it deletes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from photoorg import schema
from photoorg.store.catalog import audit
from photoorg.store.catalog.connection import Transaction

TENANT = ""
"""Stands, among users, for the tenant as a whole."""
FACE_USER = b"photoorg.faces_user"

AGREED = """
SELECT user_id FROM face_consents
WHERE tenant_id = %s AND user_id = ANY(%s) AND agreed ORDER BY user_id {lock}
"""
SET = """
INSERT INTO face_consents (tenant_id, user_id, agreed, changed_by) VALUES (%s, %s, %s, %s)
ON CONFLICT (tenant_id, user_id) DO UPDATE
    SET agreed = excluded.agreed, changed_by = excluded.changed_by, changed_at = now()
"""
OF_USER = "DELETE FROM {table} WHERE tenant_id = %(tenant)s AND (%(all)s OR user_id = %(user)s)"
EMPTY = """
WITH RECURSIVE alive AS (
    SELECT p.person_id, p.merged_into FROM persons p WHERE p.tenant_id = %(tenant)s AND (
        EXISTS (SELECT FROM face_people f
            WHERE f.tenant_id = p.tenant_id AND p.person_id IN (f.person_id, f.origin_id))
        OR EXISTS (SELECT FROM face_memories m
            WHERE m.tenant_id = p.tenant_id AND m.origin_id = p.person_id)
        OR EXISTS (SELECT FROM face_decisions d
            WHERE d.tenant_id = p.tenant_id AND d.person_id = p.person_id))
    UNION
    SELECT p.person_id, p.merged_into FROM persons p JOIN alive a ON p.person_id = a.merged_into
    WHERE p.tenant_id = %(tenant)s
)
DELETE FROM persons WHERE tenant_id = %(tenant)s AND person_id NOT IN (SELECT person_id FROM alive)
    AND (%(named)s OR (name IS NULL AND NOT vouched))
"""


@dataclass(frozen=True, slots=True)
class Consent:
    """What one user (TENANT: the tenant) last said about faces."""

    user: str
    agreed: bool
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """How many faces and persons went."""

    faces: int
    persons: int


def agreed(tx: Transaction, user: str) -> bool:
    """Whether the tenant and the user both agreed."""
    return _agreed(tx, user, "")


def listing(tx: Transaction) -> list[Consent]:
    """What was said, the tenant first."""
    rows = tx.conn.execute(
        "SELECT user_id, agreed, changed_at, changed_by FROM face_consents"
        " WHERE tenant_id = %s ORDER BY user_id",
        [tx.tenant],
    )
    return [Consent(*row) for row in rows]


def agree(tx: Transaction, user: str, actor: str) -> None:
    """Note that the user (or TENANT) agrees."""
    tx.conn.execute(SET, [tx.tenant, user, True, actor])
    audit.record(tx, actor, "faces.agree", "consent", user or "tenant")


def withdraw(tx: Transaction, user: str, actor: str) -> Withdrawn:
    """Note that the user (or TENANT) does not agree, and delete all that was made of their faces.

    Faces, embeddings, assignments, memories and decisions go, with the cluster centres made from
    them and the persons that are left without a face. Files of runs are for
    photoorg.curate.forgetting. Waits for loads that began under the consent.
    """
    tx.conn.execute(SET, [tx.tenant, user, False, actor])
    values = {"tenant": tx.tenant, "user": user, "all": user == TENANT}
    gone = tx.conn.execute(OF_USER.format(table="faces").encode(), values).rowcount
    for table in ("face_memories", "face_decisions", "face_links"):
        tx.conn.execute(OF_USER.format(table=table).encode(), values)
    tx.conn.execute("DELETE FROM face_clusters WHERE tenant_id = %s", [tx.tenant])
    persons = remove_empty(tx, named=True)
    detail = {"faces": gone, "persons": persons}
    audit.record(tx, actor, "faces.withdraw", "consent", user or "tenant", detail)
    return Withdrawn(gone, persons)


def remove_empty(tx: Transaction, *, named: bool = False) -> int:
    """Delete persons without faces, memories and decisions; named ones only if asked to."""
    return tx.conn.execute(EMPTY, {"tenant": tx.tenant, "named": named}).rowcount


def covered(tx: Transaction, table: pa.Table) -> pa.Table:
    """Rows of schema.PHOTOS without their faces if the user they were read for does not agree.

    The consent cannot be withdrawn before this transaction ends.
    """
    user = user_of(table)
    if user is None or table["faces"].null_count == len(table) or _agreed(tx, user, "FOR SHARE"):
        return table
    at = table.schema.get_field_index("faces")
    return table.set_column(at, table.schema.field(at), pa.nulls(len(table), schema.FACES))


def user_of(table: pa.Table) -> str | None:
    """Whose consent covers the faces of a table, None where it does not say."""
    said = (table.schema.metadata or {}).get(FACE_USER)
    return None if said is None else said.decode()


def _agreed(tx: Transaction, user: str, lock: str) -> bool:
    asked = [TENANT, user]
    found = tx.conn.execute(AGREED.format(lock=lock).encode(), [tx.tenant, asked]).fetchall()
    return {row[0] for row in found} == set(asked)
