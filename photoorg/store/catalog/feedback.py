"""What people said of answers (feedback) and which they opened (clicks)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from psycopg.errors import ForeignKeyViolation
from psycopg.types.json import Jsonb

from photoorg.errors import NotFoundError
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean, photo_key

FeedbackKind = Literal["search", "similar", "duplicate", "person"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One judged answer: the score and signals it was shown with, and whether it was right."""

    kind: str
    accepted: bool
    score: float | None
    signals: dict[str, float]


def add(
    tx: Transaction,
    kind: FeedbackKind,
    photo_id: str,
    *,
    accepted: bool,
    actor: str,
    query_id: str | None = None,
    query: str | None = None,
    score: float | None = None,
    signals: Mapping[str, float] | None = None,
    space_id: str | None = None,
) -> int:
    """Note a verdict and return its number; NotFoundError for an unknown photo."""
    values: dict[str, Any] = {"kind": kind, "accepted": accepted}
    values |= _answer(photo_id, actor, query_id, query, score, signals, space_id)
    return _insert(tx, "feedback", "feedback_id", photo_id, values)


def add_click(
    tx: Transaction,
    photo_id: str,
    *,
    position: int,
    shown: int,
    actor: str,
    query_id: str | None = None,
    query: str | None = None,
    score: float | None = None,
    signals: Mapping[str, float] | None = None,
    space_id: str | None = None,
) -> int:
    """Note that the hit at `position` (from 1) of `shown` was opened; its number."""
    values: dict[str, Any] = {"position": position, "shown": shown}
    values |= _answer(photo_id, actor, query_id, query, score, signals, space_id)
    return _insert(tx, "clicks", "click_id", photo_id, values)


def withdraw(tx: Transaction, feedback_id: int) -> bool:
    """Forget a verdict; False if there is none of that number."""
    sql = "DELETE FROM feedback WHERE tenant_id = %s AND feedback_id = %s"
    return bool(tx.conn.execute(sql, [tx.tenant, feedback_id]).rowcount)


def verdicts(tx: Transaction, space_id: str, limit: int = 200_000) -> list[Verdict]:
    """The latest verdicts with a score in the space or in none; a later one on a pair counts."""
    rows = tx.conn.execute(
        "SELECT kind, accepted, score, signals FROM ("
        " SELECT DISTINCT ON (kind, photo_id, query_id, query) * FROM feedback"
        " WHERE tenant_id = %s AND score IS NOT NULL AND (space_id IS NULL OR space_id = %s)"
        " ORDER BY kind, photo_id, query_id, query, feedback_id DESC) f"
        " ORDER BY feedback_id DESC LIMIT %s",
        [tx.tenant, space_id, limit],
    )
    return [Verdict(*row) for row in rows]


def positions(tx: Transaction) -> list[int]:
    """The positions of all clicks."""
    rows = tx.conn.execute("SELECT position FROM clicks WHERE tenant_id = %s", [tx.tenant])
    return [int(position) for (position,) in rows]


def _answer(
    photo_id: str,
    actor: str,
    query_id: str | None,
    query: str | None,
    score: float | None,
    signals: Mapping[str, float] | None,
    space_id: str | None,
) -> dict[str, Any]:
    return {
        "photo_id": photo_key(photo_id),
        "query_id": None if query_id is None else photo_key(query_id),
        "query": None if query is None else clean(query),
        "score": score,
        "signals": Jsonb(dict(signals or {})),
        "space_id": space_id,
        "actor": actor,
    }


def _insert(
    tx: Transaction, table: str, number: str, photo_id: str, values: Mapping[str, Any]
) -> int:
    names = ", ".join(values)
    places = ", ".join(f"%({name})s" for name in values)
    sql = (
        f"INSERT INTO {table} (tenant_id, {names}) VALUES (%(tenant)s, {places}) RETURNING {number}"
    )
    try:
        row = tx.conn.execute(sql.encode(), {"tenant": tx.tenant, **values}).fetchone()
    except ForeignKeyViolation:
        raise NotFoundError(
            f"There is no photo {photo_id!r}.",
            fix="Search results and GET /v1/photos show the ids there are.",
        ) from None
    assert row is not None
    return int(row[0])
