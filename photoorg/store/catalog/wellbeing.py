"""How a tenant's library is: what waits, what failed, what is open."""

from __future__ import annotations

from typing import Any

from photoorg.store.catalog.connection import Transaction

COUNTS = """
SELECT 'trashed', count(*) FROM photos WHERE tenant_id = %(tenant)s AND trashed_at IS NOT NULL
UNION ALL SELECT 'rejects', count(*) FROM rejects WHERE tenant_id = %(tenant)s
UNION ALL SELECT 'stage_failures', count(*) FROM photo_failures WHERE tenant_id = %(tenant)s
UNION ALL SELECT 'uploads_waiting', count(*) FROM uploads WHERE tenant_id = %(tenant)s
UNION ALL SELECT 'uploads_stuck', count(*) FROM uploads WHERE tenant_id = %(tenant)s
    AND enqueued_at < now() - interval '1 hour'
UNION ALL SELECT 'faces_waiting', count(*) FROM faces WHERE tenant_id = %(tenant)s AND NOT placed
    AND embedding IS NOT NULL
UNION ALL SELECT 'anomalies_open', count(*) FROM anomalies WHERE tenant_id = %(tenant)s
    AND status = 'open'
UNION ALL SELECT 'index_changes', count(*) FROM delta_log WHERE tenant_id = %(tenant)s
UNION ALL SELECT 'indexes_active', count(*) FROM index_versions WHERE tenant_id = %(tenant)s
    AND status = 'active'
"""


def report(tx: Transaction) -> dict[str, Any]:
    """Photos by status, counts of what waits or failed, and `problems` in words."""
    status = tx.conn.execute(
        "SELECT status, count(*) FROM photos WHERE tenant_id = %s AND trashed_at IS NULL"
        " GROUP BY status ORDER BY status",
        [tx.tenant],
    ).fetchall()
    photos = {name: int(count) for name, count in status}
    counts = {name: int(n) for name, n in tx.conn.execute(COUNTS.encode(), {"tenant": tx.tenant})}
    return {"photos": photos, **counts, "problems": _problems(photos, counts)}


def _problems(photos: dict[str, int], counts: dict[str, int]) -> list[str]:
    told = []
    if photos.get("failed"):
        told.append(f"{photos['failed']} photos failed: `photoorg rejects` tells why.")
    if photos.get("partial"):
        told.append(
            f"{photos['partial']} photos are partial: run the stage that failed again by"
            " `photoorg ingest URI --stage STAGE --force`."
        )
    if counts["uploads_stuck"]:
        told.append(
            f"{counts['uploads_stuck']} uploads wait for more than an hour: is `photoorg serve`"
            " running?"
        )
    if photos.get("ready") and not counts["indexes_active"]:
        told.append("There is no index in use: `photoorg index build` makes one.")
    return told
