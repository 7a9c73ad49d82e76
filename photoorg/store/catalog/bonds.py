"""What ties photos to each other besides their looks: one event, the same people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

BONDS = """
SELECT encode(asked.photo_id, 'hex'), e.event_id, ARRAY(
    SELECT DISTINCT l.person_id FROM face_people l JOIN persons n USING (tenant_id, person_id)
    WHERE l.tenant_id = %(tenant)s AND l.photo_id = asked.photo_id AND NOT n.hidden)
FROM unnest(%(ids)s::bytea[]) asked(photo_id)
LEFT JOIN event_photos e ON e.tenant_id = %(tenant)s AND e.photo_id = asked.photo_id
"""


@dataclass(frozen=True, slots=True)
class Bonds:
    """The event a photo is in, if any, and the numbers of the people who were found in it."""

    event: int | None = None
    people: frozenset[int] = frozenset()


NO_BONDS = Bonds()


def of(tx: Transaction, photo_ids: Sequence[str]) -> dict[str, Bonds]:
    """The bonds of those photos that have any; people who are hidden do not count."""
    values = {"tenant": tx.tenant, "ids": [photo_key(i) for i in photo_ids]}
    rows = tx.conn.execute(BONDS, values)
    return {
        photo: Bonds(event, frozenset(people))
        for photo, event, people in rows
        if event is not None or people
    }


def any_here(tx: Transaction) -> bool:
    """Whether any photo of the tenant is in an event or shows a known person."""
    row = tx.conn.execute(
        "SELECT EXISTS (SELECT FROM event_photos WHERE tenant_id = %(tenant)s)"
        " OR EXISTS (SELECT FROM face_people WHERE tenant_id = %(tenant)s)",
        {"tenant": tx.tenant},
    ).fetchone()
    return row is not None and bool(row[0])
