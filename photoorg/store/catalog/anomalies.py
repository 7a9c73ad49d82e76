"""The review queue: photos unlike all others, open until somebody dismisses them."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from psycopg.rows import class_row

from photoorg.errors import InputError
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key

AnomalyStatus = Literal["open", "dismissed"]
COLUMNS = (
    "encode(a.photo_id, 'hex') AS photo_id, p.uri, a.space_id, a.score, a.nearest, a.density,"
    " a.ood, a.reasons, a.status, a.found_at, a.decided_by, a.decided_at"
)


@dataclass(frozen=True, slots=True)
class Found:
    """What a scan says of one photo."""

    photo_id: bytes
    score: float
    nearest: float
    density: float
    ood: float
    reasons: list[str]


@dataclass(frozen=True, slots=True)
class Anomaly:
    """One photo of the queue; the measures are those of curate.anomalies."""

    photo_id: str
    uri: str
    space_id: str
    score: float
    nearest: float
    density: float
    ood: float
    reasons: list[str]
    status: AnomalyStatus
    found_at: datetime
    decided_by: str | None
    decided_at: datetime | None


def replace(tx: Transaction, space_id: str, found: Sequence[Found]) -> int:
    """Take a scan's findings; dismissed photos stay dismissed. How many are open."""
    tx.conn.execute(
        "DELETE FROM anomalies WHERE tenant_id = %s AND status = 'open' AND photo_id <> ALL(%s)",
        [tx.tenant, [one.photo_id for one in found]],
    )
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO anomalies (tenant_id, photo_id, space_id, score, nearest, density, ood,"
            " reasons) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
            " ON CONFLICT (tenant_id, photo_id) DO UPDATE SET space_id = excluded.space_id,"
            " score = excluded.score, nearest = excluded.nearest, density = excluded.density,"
            " ood = excluded.ood, reasons = excluded.reasons",
            [
                (tx.tenant, f.photo_id, space_id, f.score, f.nearest, f.density, f.ood, f.reasons)
                for f in found
            ],
        )
    row = tx.conn.execute(
        "SELECT count(*) FROM anomalies WHERE tenant_id = %s AND status = 'open'", [tx.tenant]
    ).fetchone()
    assert row is not None
    return int(row[0])


def page(
    tx: Transaction,
    *,
    status: AnomalyStatus = "open",
    after: str | None = None,
    limit: int = 50,
) -> tuple[list[Anomaly], str | None]:
    """The strangest first, none of the trash, and the cursor of the next page.

    InputError for a cursor that no page gave.
    """
    sql = (
        f"SELECT {COLUMNS} FROM anomalies a JOIN photos p USING (tenant_id, photo_id)"
        " WHERE a.tenant_id = %(tenant)s AND a.status = %(status)s AND p.trashed_at IS NULL"
    )
    values: dict[str, Any] = {"tenant": tx.tenant, "status": status, "limit": limit + 1}
    if after is not None:
        score, photo = _unpacked(after)
        sql += " AND (a.score, a.photo_id) < (%(score)s::real, %(photo)s)"
        values |= {"score": score, "photo": photo}
    sql += " ORDER BY a.score DESC, a.photo_id DESC LIMIT %(limit)s"
    with tx.conn.cursor(row_factory=class_row(Anomaly)) as cursor:
        found = cursor.execute(sql.encode(), values).fetchall()
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    text = f"{last.score!r} {last.photo_id}"
    return found[:limit], base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def set_status(
    tx: Transaction, photo_ids: Sequence[str], status: AnomalyStatus, actor: str
) -> list[str]:
    """Dismiss photos from the queue or put them back; those whose status changed."""
    rows = tx.conn.execute(
        "UPDATE anomalies SET status = %s, decided_by = %s, decided_at = now()"
        " WHERE tenant_id = %s AND photo_id = ANY(%s) AND status <> %s"
        " RETURNING encode(photo_id, 'hex')",
        [status, actor, tx.tenant, [photo_key(photo) for photo in photo_ids], status],
    )
    return sorted(photo for (photo,) in rows)


def known(tx: Transaction, photo_ids: Sequence[str]) -> set[str]:
    """Those of the photos that are in the queue, open or dismissed."""
    rows = tx.conn.execute(
        "SELECT encode(photo_id, 'hex') FROM anomalies WHERE tenant_id = %s AND photo_id = ANY(%s)",
        [tx.tenant, [photo_key(photo) for photo in photo_ids]],
    )
    return {photo for (photo,) in rows}


def _unpacked(cursor: str) -> tuple[float, bytes]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        score, photo = text.split(" ")
        return float(score), photo_key(photo)
    except (ValueError, binascii.Error, InputError):
        raise InputError(
            "The cursor is not one that a page of anomalies gave.",
            fix="Take next_cursor of the page before, or start without one.",
        ) from None
