"""Events and the photos in them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row

from photoorg.errors import InputError
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

LOCK_CLASS = 0x65766E74  # "evnt"
EventKind = Literal["home", "away", "trip", "unknown"]
PLACE_IN_TIME = "coalesce(starts_at, '-infinity'::timestamp)"
LIVE = """
    FROM event_photos l JOIN photos p USING (tenant_id, photo_id)
    WHERE l.tenant_id = e.tenant_id AND l.event_id = e.event_id AND p.trashed_at IS NULL
"""
TRIPS = f"""
WITH t AS (
    SELECT e.trip_id, max(e.trip_title) AS title, min(e.starts_at) AS starts_at,
        max(e.ends_at) AS ends_at
    FROM events e WHERE e.tenant_id = %(tenant)s AND e.trip_id IS NOT NULL
        AND EXISTS (SELECT {LIVE})
    GROUP BY e.trip_id
    HAVING %(moment)s::timestamp IS NULL
        OR (min(e.starts_at), e.trip_id) < (%(moment)s::timestamp, %(number)s::bigint)
    ORDER BY min(e.starts_at) DESC, e.trip_id DESC LIMIT %(limit)s
)
SELECT t.trip_id, t.title, t.starts_at, t.ends_at, count(DISTINCT e.event_id) AS events,
    count(*) AS photos,
    encode((array_agg(p.photo_id ORDER BY e.photos DESC, p.photo_id = e.cover_id DESC,
        l.taken_at, p.photo_id))[1], 'hex') AS cover_id
FROM t JOIN events e ON e.tenant_id = %(tenant)s AND e.trip_id = t.trip_id
    JOIN event_photos l ON l.tenant_id = %(tenant)s AND l.event_id = e.event_id
    JOIN photos p ON p.tenant_id = %(tenant)s AND p.photo_id = l.photo_id
        AND p.trashed_at IS NULL
GROUP BY t.trip_id, t.title, t.starts_at, t.ends_at ORDER BY t.starts_at DESC, t.trip_id DESC
"""
# Photos may have gone into the trash, or out of the library, since the events were found.
SELECT = f"""
SELECT e.event_id, coalesce(e.title, e.auto_title) AS title, e.title IS NOT NULL AS named,
    e.starts_at, e.ends_at, e.latitude, e.longitude, e.place, e.kind, e.trip_id, e.trip_title,
    (SELECT count(*) {LIVE}) AS photos,
    encode(coalesce((SELECT l.photo_id {LIVE} AND l.photo_id = e.cover_id),
        (SELECT l.photo_id {LIVE} ORDER BY l.taken_at, l.photo_id LIMIT 1)), 'hex') AS cover_id
FROM events e WHERE e.tenant_id = %(tenant)s AND EXISTS (SELECT {LIVE})
"""


@dataclass(frozen=True, slots=True)
class Event:
    """One event; `starts_at` and `ends_at` are local clock time, None if undated.

    `photos` counts those that are not in the trash, which the cover is one of.

    `named` says that somebody gave it its title. `trip_id` is the first event of its trip.
    """

    event_id: int
    title: str
    named: bool
    starts_at: datetime | None
    ends_at: datetime | None
    latitude: float | None
    longitude: float | None
    place: str | None
    kind: EventKind
    trip_id: int | None
    trip_title: str | None
    photos: int
    cover_id: str | None


@dataclass(frozen=True, slots=True)
class Trip:
    """Events away from home that follow each other; `photos` and the cover as of an event."""

    trip_id: int
    title: str
    starts_at: datetime
    ends_at: datetime
    events: int
    photos: int
    cover_id: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """What detection says of an event; the title only where nobody named it."""

    event_id: int
    auto_title: str
    starts_at: datetime | None
    ends_at: datetime | None
    latitude: float | None
    longitude: float | None
    place: str | None
    kind: str
    trip_id: int | None
    trip_title: str | None
    photos: int
    cover_id: bytes | None


@dataclass(frozen=True, slots=True)
class PhotoRow:
    """What detection reads of a photo; `event_id` and `pin` as they were left."""

    photo_id: bytes
    uri: str
    captured_at: datetime | None
    captured_offset_minutes: int | None
    captured_source: str | None
    latitude: float | None
    longitude: float | None
    make: str | None
    model: str | None
    event_id: int | None
    pin: int | None


def lock(tx: Transaction) -> None:
    """Lock the tenant's events: until it ends, only this transaction changes them."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, tx.tenant])


def photo_rows(tx: Transaction) -> Iterator[PhotoRow]:
    """Every photo that can be found, ascending by id, streamed."""
    sql = (
        "SELECT p.photo_id, p.uri, p.captured_at, p.captured_offset_minutes, p.captured_source,"
        " p.latitude, p.longitude, p.make, p.model, e.event_id, e.pin"
        " FROM photos p LEFT JOIN event_photos e USING (tenant_id, photo_id)"
        " WHERE p.tenant_id = %s AND p.trashed_at IS NULL AND p.status = ANY(%s)"
        " ORDER BY p.photo_id"
    )
    with tx.conn.cursor(name="event_photo_rows", row_factory=class_row(PhotoRow)) as cursor:
        cursor.itersize = 20_000
        yield from cursor.execute(sql, [tx.tenant, ["ready", "partial"]])


def new_ids(tx: Transaction, count: int) -> list[int]:
    """Numbers for events that are about to be stored."""
    rows = tx.conn.execute("SELECT nextval('event_seq') FROM generate_series(1, %s)", [count])
    return [number for (number,) in rows]


def store(
    tx: Transaction,
    found: Iterable[EventRow],
    photos: Iterable[tuple[bytes, int, datetime | None]],
) -> None:
    """Write detected events and (photo, event, local time); titles people gave and pins stay."""
    tx.conn.execute(
        "CREATE TEMPORARY TABLE new_events (LIKE events INCLUDING DEFAULTS) ON COMMIT DROP"
    )
    tx.conn.execute(
        "CREATE TEMPORARY TABLE new_event_photos (LIKE event_photos INCLUDING DEFAULTS)"
        " ON COMMIT DROP"
    )
    columns = ", ".join(EventRow.__slots__)
    with (
        tx.conn.cursor() as cursor,
        cursor.copy(f"COPY new_events (tenant_id, {columns}) FROM STDIN".encode()) as copy,
    ):
        for row in found:
            copy.write_row((tx.tenant, *(getattr(row, name) for name in EventRow.__slots__)))
    changed = ", ".join(f"{n} = excluded.{n}" for n in EventRow.__slots__ if n != "event_id")
    tx.conn.execute(
        f"INSERT INTO events (tenant_id, {columns}) SELECT tenant_id, {columns} FROM new_events"
        f" ON CONFLICT (tenant_id, event_id) DO UPDATE SET {changed}, updated_at = now()".encode()
    )
    with (
        tx.conn.cursor() as cursor,
        cursor.copy(
            "COPY new_event_photos (tenant_id, photo_id, event_id, taken_at) FROM STDIN"
        ) as copy,
    ):
        for photo, event, taken in photos:
            copy.write_row((tx.tenant, photo, event, taken))
    tx.conn.execute(
        "INSERT INTO event_photos (tenant_id, photo_id, event_id, taken_at)"
        " SELECT tenant_id, photo_id, event_id, taken_at FROM new_event_photos"
        " ON CONFLICT (tenant_id, photo_id) DO UPDATE"
        " SET event_id = excluded.event_id, taken_at = excluded.taken_at"
        " WHERE (event_photos.event_id, event_photos.taken_at)"
        " IS DISTINCT FROM (excluded.event_id, excluded.taken_at)"
    )
    drop_empty(tx)


def drop_empty(tx: Transaction) -> None:
    """Forget events that hold no photo and that no decision can bring back."""
    tx.conn.execute(
        "UPDATE events e SET photos = 0 WHERE tenant_id = %(t)s AND photos > 0 AND NOT EXISTS"
        " (SELECT FROM event_photos p WHERE p.tenant_id = %(t)s AND p.event_id = e.event_id)",
        {"t": tx.tenant},
    )
    tx.conn.execute(
        "DELETE FROM events e WHERE tenant_id = %(t)s AND photos = 0 AND NOT EXISTS"
        " (SELECT FROM event_photos p WHERE p.tenant_id = %(t)s AND p.event_id = e.event_id)"
        " AND NOT EXISTS (SELECT FROM event_decision_photos d"
        " WHERE d.tenant_id = %(t)s AND d.event_id = e.event_id)"
        " AND NOT EXISTS (SELECT FROM event_decisions d"
        " WHERE d.tenant_id = %(t)s AND d.event_id = e.event_id)",
        {"t": tx.tenant},
    )


def get(tx: Transaction, event_id: int) -> Event | None:
    """The event, None if there is none of that number, or no photo in it any more."""
    sql = SELECT + " AND e.event_id = %(event)s"
    with tx.conn.cursor(row_factory=class_row(Event)) as cursor:
        return cursor.execute(sql.encode(), {"tenant": tx.tenant, "event": event_id}).fetchone()


def named(tx: Transaction) -> list[int]:
    """Numbers of the events that somebody gave a name."""
    rows = tx.conn.execute(
        "SELECT event_id FROM events WHERE tenant_id = %s AND title IS NOT NULL", [tx.tenant]
    )
    return [number for (number,) in rows]


def page(
    tx: Transaction, *, after: str | None = None, limit: int = 50, trip: int | None = None
) -> tuple[list[Event], str | None]:
    """Events, the latest first and undated ones last, and the cursor of the next page.

    Only those of a `trip`, if one is named. InputError for a cursor that no page gave.
    """
    sql = SELECT + ("" if trip is None else " AND e.trip_id = %(trip)s")
    values: dict[str, Any] = {"tenant": tx.tenant, "limit": limit + 1, "trip": trip}
    if after is not None:
        moment, number = _unpacked(after, "events")
        sql += f" AND ({PLACE_IN_TIME}, e.event_id) < (%(moment)s::timestamp, %(number)s::bigint)"
        values |= {"moment": moment, "number": number}
    sql += f" ORDER BY {PLACE_IN_TIME} DESC, e.event_id DESC LIMIT %(limit)s"
    with tx.conn.cursor(row_factory=class_row(Event)) as cursor:
        found = cursor.execute(sql.encode(), values).fetchall()
    return found[:limit], _packed_event(found[limit - 1]) if len(found) > limit else None


def trips(
    tx: Transaction, *, after: str | None = None, limit: int = 50
) -> tuple[list[Trip], str | None]:
    """Trips, the latest first, and the cursor of the next page; InputError for a made-up cursor."""
    moment, number = (None, None) if after is None else _unpacked(after, "events")
    values = {"tenant": tx.tenant, "limit": limit + 1, "moment": moment, "number": number}
    with tx.conn.cursor(row_factory=class_row(Trip)) as cursor:
        found = cursor.execute(TRIPS.encode(), values).fetchall()
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], _packed(last.starts_at.isoformat(" "), str(last.trip_id))


def photo_page(
    tx: Transaction, event_id: int, *, after: str | None = None, limit: int = 100
) -> tuple[list[str], str | None]:
    """Ids of an event's photos in order of time, undated ones first, none of the trash."""
    sql = (
        "SELECT encode(e.photo_id, 'hex'), coalesce(e.taken_at, '-infinity'::timestamp)::text"
        " FROM event_photos e JOIN photos p USING (tenant_id, photo_id)"
        " WHERE e.tenant_id = %(tenant)s AND e.event_id = %(event)s AND p.trashed_at IS NULL"
    )
    values: dict[str, Any] = {"tenant": tx.tenant, "event": event_id, "limit": limit + 1}
    if after is not None:
        moment, photo = _unpacked(after, "photos of an event")
        sql += (
            " AND (coalesce(e.taken_at, '-infinity'::timestamp), e.photo_id)"
            " > (%(moment)s::timestamp, %(photo)s)"
        )
        values |= {"moment": moment, "photo": photo_key(photo)}
    sql += " ORDER BY coalesce(e.taken_at, '-infinity'::timestamp), e.photo_id LIMIT %(limit)s"
    found = tx.conn.execute(sql.encode(), values).fetchall()
    ids = [photo for photo, _ in found[:limit]]
    if len(found) <= limit:
        return ids, None
    photo, moment = found[limit - 1]
    return ids, _packed(moment, photo)


def event_of(tx: Transaction, photo_ids: Sequence[str]) -> dict[str, int]:
    """The event of each of the photos that is in one."""
    rows = tx.conn.execute(
        "SELECT encode(photo_id, 'hex'), event_id FROM event_photos"
        " WHERE tenant_id = %s AND photo_id = ANY(%s)",
        [tx.tenant, [photo_key(photo) for photo in photo_ids]],
    )
    return {str(photo): int(event) for photo, event in rows}


def _packed_event(event: Event) -> str:
    moment = "-infinity" if event.starts_at is None else event.starts_at.isoformat(" ")
    return _packed(moment, str(event.event_id))


def _packed(moment: str, key: str) -> str:
    return base64.urlsafe_b64encode(f"{moment}|{key}".encode()).decode().rstrip("=")


def _unpacked(cursor: str, what: str) -> tuple[str, str]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        moment, key = text.split("|")
        if moment != "-infinity":
            datetime.fromisoformat(moment)
        if what == "events":
            int(key)
        return moment, key
    except (ValueError, binascii.Error):
        raise InputError(
            f"The cursor is not one that a page of {what} gave.",
            fix="Take next_cursor of the page before, or start without one.",
        ) from None
