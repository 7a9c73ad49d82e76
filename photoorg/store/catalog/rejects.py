"""Files that could not become photos, and why."""

from __future__ import annotations

from photoorg.models import Rejection
from photoorg.store.catalog.connection import Transaction

PAGE = """
SELECT key, stage, reason, retryable, code FROM rejects
WHERE tenant_id = %(tenant)s AND (%(after)s::text IS NULL OR key > %(after)s)
    AND (NOT %(retryable)s OR retryable)
ORDER BY key LIMIT %(limit)s
"""


def page(
    tx: Transaction, *, after: str | None = None, limit: int = 100, retryable: bool = False
) -> tuple[list[Rejection], str | None]:
    """Rejected files by name and where the next page begins, None at the end.

    `after` is the last file of the page before; `retryable` leaves out those that no retry helps.
    """
    values = {"tenant": tx.tenant, "after": after, "limit": limit + 1, "retryable": retryable}
    found = [Rejection(*row) for row in tx.conn.execute(PAGE, values)]
    return found[:limit], found[limit - 1].key if len(found) > limit else None
