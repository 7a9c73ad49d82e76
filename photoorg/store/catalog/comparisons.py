"""Live queries that were put to a shadow too, and the verdicts over whole comparisons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.types.json import Jsonb

from photoorg.store.catalog.connection import Transaction

COLUMNS = (
    "live_space, space_id, version, query, k, overlap, rank_corr, score_drift, live_ms, shadow_ms"
)


@dataclass(frozen=True, slots=True)
class DualRead:
    """One query answered by both indices.

    `overlap` is the share 0..1 of the first k that both name, `rank_correlation` Spearman's rho
    over those (None for fewer than two), `score_drift` the mean difference of the cosines at equal
    rank (shadow minus live).
    """

    live_space: str
    space_id: str
    version: str
    query: str
    k: int
    overlap: float
    rank_correlation: float | None
    score_drift: float | None
    live_ms: float
    shadow_ms: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The last comparison of a version: its whole report, and whether every gate was passed."""

    passed: bool
    report: Mapping[str, Any]
    at: datetime


def note(tx: Transaction, read: DualRead) -> None:
    """Keep one dual read."""
    tx.conn.execute(
        f"INSERT INTO dual_reads (tenant_id, {COLUMNS})"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        [
            tx.tenant,
            read.live_space,
            read.space_id,
            read.version,
            read.query,
            read.k,
            read.overlap,
            read.rank_correlation,
            read.score_drift,
            read.live_ms,
            read.shadow_ms,
        ],
    )


def noted(tx: Transaction, space_id: str, version: str, limit: int = 10_000) -> list[DualRead]:
    """The newest dual reads of a version."""
    rows = tx.conn.execute(
        f"SELECT {COLUMNS} FROM dual_reads WHERE tenant_id = %s AND space_id = %s"
        " AND version = %s ORDER BY read_id DESC LIMIT %s",
        [tx.tenant, space_id, version, limit],
    )
    return [DualRead(*row) for row in rows]


def forget(tx: Transaction, older_than_s: float) -> int:
    """Remove old dual reads; how many."""
    return tx.conn.execute(
        "DELETE FROM dual_reads WHERE tenant_id = %s AND at < now() - make_interval(secs => %s)",
        [tx.tenant, older_than_s],
    ).rowcount


def put(
    tx: Transaction, space_id: str, version: str, *, passed: bool, report: Mapping[str, Any]
) -> None:
    """Keep the verdict on a version; it replaces an earlier one."""
    tx.conn.execute(
        "INSERT INTO index_comparisons (tenant_id, space_id, version, passed, report)"
        " VALUES (%s, %s, %s, %s, %s) ON CONFLICT (tenant_id, space_id, version) DO UPDATE"
        " SET passed = excluded.passed, report = excluded.report, at = now()",
        [tx.tenant, space_id, version, passed, Jsonb(dict(report))],
    )


def get(tx: Transaction, space_id: str, version: str) -> Verdict | None:
    """The verdict on a version, None if it was never compared."""
    row = tx.conn.execute(
        "SELECT passed, report, at FROM index_comparisons"
        " WHERE tenant_id = %s AND space_id = %s AND version = %s",
        [tx.tenant, space_id, version],
    ).fetchone()
    return None if row is None else Verdict(*row)
