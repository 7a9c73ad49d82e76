"""What people decided about events, kept so that it can be taken back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

DecisionKind = Literal["split", "merge", "move", "rename"]
COLUMNS = "decision_id, kind, event_id, actor, detail, at, undone_at"


@dataclass(frozen=True, slots=True)
class Decision:
    """One change somebody made; `event_id` is the event that came out of it."""

    decision_id: int
    kind: DecisionKind
    event_id: int
    actor: str
    detail: dict[str, Any]
    at: datetime
    undone_at: datetime | None


def record(
    tx: Transaction,
    kind: DecisionKind,
    event_id: int,
    actor: str,
    detail: Mapping[str, Any],
) -> int:
    """Note a decision and return its number."""
    row = tx.conn.execute(
        "INSERT INTO event_decisions (tenant_id, kind, event_id, actor, detail)"
        " VALUES (%s, %s, %s, %s, %s) RETURNING decision_id",
        [tx.tenant, kind, event_id, actor, Jsonb(dict(detail))],
    ).fetchone()
    assert row is not None
    return int(row[0])


def place(
    tx: Transaction,
    decision_id: int,
    event_id: int,
    pin: int,
    *,
    photo_ids: Sequence[str] = (),
    of_events: Sequence[int] = (),
) -> list[str]:
    """Put photos, or all of some events, into an event and pin them; those that were there.

    Where they were before is kept under the decision.
    """
    keys = [photo_key(photo) for photo in photo_ids]
    where = "tenant_id = %(t)s AND (photo_id = ANY(%(keys)s) OR event_id = ANY(%(events)s))"
    values = {
        "t": tx.tenant,
        "keys": keys,
        "events": list(of_events),
        "d": decision_id,
        "to": event_id,
        "pin": pin,
    }
    tx.conn.execute(
        "INSERT INTO event_decision_photos (tenant_id, decision_id, photo_id, event_id, pin)"
        f" SELECT tenant_id, %(d)s, photo_id, event_id, pin FROM event_photos WHERE {where}"
        " ON CONFLICT DO NOTHING".encode(),
        values,
    )
    rows = tx.conn.execute(
        f"UPDATE event_photos SET event_id = %(to)s, pin = %(pin)s WHERE {where}"
        " RETURNING encode(photo_id, 'hex')".encode(),
        values,
    )
    return [photo for (photo,) in rows]


def take_back(tx: Transaction, decision_id: int) -> set[int]:
    """Put the decision's photos back where they were; the events that changed."""
    values = {"t": tx.tenant, "d": decision_id}
    left = tx.conn.execute(
        "SELECT DISTINCT e.event_id FROM event_photos e"
        " JOIN event_decision_photos d USING (tenant_id, photo_id)"
        " WHERE d.tenant_id = %(t)s AND d.decision_id = %(d)s",
        values,
    ).fetchall()
    entered = tx.conn.execute(
        "WITH moved AS (UPDATE event_photos e SET event_id = d.event_id, pin = d.pin"
        " FROM event_decision_photos d WHERE d.tenant_id = %(t)s AND d.decision_id = %(d)s"
        " AND e.tenant_id = d.tenant_id AND e.photo_id = d.photo_id RETURNING e.event_id)"
        " SELECT DISTINCT event_id FROM moved",
        values,
    ).fetchall()
    tx.conn.execute(
        "UPDATE event_decisions SET undone_at = now()"
        " WHERE tenant_id = %(t)s AND decision_id = %(d)s",
        values,
    )
    return {event for (event,) in [*left, *entered]}


def later(tx: Transaction, decision_id: int) -> int | None:
    """The newest later decision in force that concerns the same photos or title, if any."""
    row = tx.conn.execute(
        "SELECT max(l.decision_id) FROM event_decisions l JOIN event_decisions d"
        " ON d.tenant_id = l.tenant_id AND d.decision_id = %(d)s"
        " WHERE l.tenant_id = %(t)s AND l.decision_id > %(d)s AND l.undone_at IS NULL AND ("
        " (l.kind = 'rename' AND d.kind = 'rename' AND l.event_id = d.event_id) OR EXISTS ("
        "  SELECT FROM event_decision_photos a JOIN event_decision_photos b"
        "  ON b.tenant_id = a.tenant_id AND b.photo_id = a.photo_id"
        "  WHERE a.tenant_id = %(t)s AND a.decision_id = %(d)s"
        "  AND b.decision_id = l.decision_id))",
        {"t": tx.tenant, "d": decision_id},
    ).fetchone()
    return None if row is None or row[0] is None else int(row[0])


def get(tx: Transaction, decision_id: int) -> Decision | None:
    """The decision, None if there is none of that number."""
    sql = f"SELECT {COLUMNS} FROM event_decisions WHERE tenant_id = %s AND decision_id = %s"
    with tx.conn.cursor(row_factory=class_row(Decision)) as cursor:
        return cursor.execute(sql.encode(), [tx.tenant, decision_id]).fetchone()


def page(
    tx: Transaction, *, before: int | None = None, limit: int = 50
) -> tuple[list[Decision], int | None]:
    """Decisions, the latest first, and the number to give as `before` for the next page."""
    sql = (
        f"SELECT {COLUMNS} FROM event_decisions WHERE tenant_id = %s"
        " AND (%s::bigint IS NULL OR decision_id < %s) ORDER BY decision_id DESC LIMIT %s"
    )
    with tx.conn.cursor(row_factory=class_row(Decision)) as cursor:
        found = cursor.execute(sql.encode(), [tx.tenant, before, before, limit + 1]).fetchall()
    return found[:limit], found[limit - 1].decision_id if len(found) > limit else None


def set_title(tx: Transaction, event_id: int, title: str | None) -> str | None:
    """Name an event (None: back to its own title); the name it had before."""
    row = tx.conn.execute(
        "SELECT title FROM events WHERE tenant_id = %s AND event_id = %s FOR UPDATE",
        [tx.tenant, event_id],
    ).fetchone()
    tx.conn.execute(
        "UPDATE events SET title = %s, updated_at = now() WHERE tenant_id = %s AND event_id = %s",
        [title, tx.tenant, event_id],
    )
    return None if row is None else row[0]


REFRESH = """
WITH s AS (
    SELECT count(*) AS photos, min(e.taken_at) AS starts_at, max(e.taken_at) AS ends_at,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY p.latitude)
            FILTER (WHERE abs(p.latitude) > 0.001 OR abs(p.longitude) > 0.001) AS latitude,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY p.longitude)
            FILTER (WHERE abs(p.latitude) > 0.001 OR abs(p.longitude) > 0.001) AS lon,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY CASE WHEN p.longitude < 0
            THEN p.longitude + 360 ELSE p.longitude END) AS beyond,
        max(p.longitude) - min(p.longitude) > 180 AS across,
        (array_agg(e.photo_id ORDER BY e.taken_at, e.photo_id))[(count(*) + 1) / 2] AS cover_id
    FROM event_photos e JOIN photos p USING (tenant_id, photo_id)
    WHERE e.tenant_id = %(t)s AND e.event_id = %(e)s AND p.trashed_at IS NULL)
UPDATE events SET photos = s.photos, starts_at = s.starts_at, ends_at = s.ends_at,
    latitude = s.latitude, longitude = CASE WHEN NOT s.across THEN s.lon
        WHEN s.beyond > 180 THEN s.beyond - 360 ELSE s.beyond END,
    cover_id = s.cover_id, updated_at = now()
FROM s WHERE events.tenant_id = %(t)s AND events.event_id = %(e)s
RETURNING events.starts_at, events.ends_at, events.place, events.kind
"""


def refresh(
    tx: Transaction, event_id: int
) -> tuple[datetime | None, datetime | None, str | None, str] | None:
    """Count an event's photos anew; its times, place and kind, from which its title follows."""
    row = tx.conn.execute(REFRESH, {"t": tx.tenant, "e": event_id}).fetchone()
    return None if row is None else (row[0], row[1], row[2], row[3])


def set_auto_title(tx: Transaction, event_id: int, title: str) -> None:
    """The title an event has while nobody names it."""
    tx.conn.execute(
        "UPDATE events SET auto_title = %s WHERE tenant_id = %s AND event_id = %s",
        [title, tx.tenant, event_id],
    )


def copy_event(tx: Transaction, event_id: int, into: int) -> None:
    """A new event that is where another is, without its name and photos."""
    tx.conn.execute(
        "INSERT INTO events (tenant_id, event_id, place, kind, trip_id, trip_title)"
        " SELECT tenant_id, %s, place, kind, trip_id, trip_title FROM events"
        " WHERE tenant_id = %s AND event_id = %s",
        [into, tx.tenant, event_id],
    )
