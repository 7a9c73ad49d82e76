"""What a library offers to learn from: photos, and pairs that people took for alike."""

from __future__ import annotations

from photoorg.store.catalog.connection import Transaction

SAMPLE = """
SELECT encode(photo_id, 'hex'), coalesce(blob_uri, uri) FROM photos
WHERE tenant_id = %s AND status IN ('ready', 'partial') AND trashed_at IS NULL
ORDER BY hashint8extended(('x' || encode(substr(photo_id, 1, 8), 'hex'))::bit(64)::bigint, %s)
LIMIT %s
"""

ALIKE = """
SELECT DISTINCT encode(least(photo_id, query_id), 'hex'),
    encode(greatest(photo_id, query_id), 'hex')
FROM (
    SELECT photo_id, query_id FROM feedback
    WHERE tenant_id = %(tenant)s AND accepted AND kind IN ('search', 'similar', 'duplicate')
    UNION ALL
    SELECT photo_id, query_id FROM clicks WHERE tenant_id = %(tenant)s
) AS said
WHERE query_id IS NOT NULL AND query_id <> photo_id
ORDER BY 1, 2 LIMIT %(limit)s
"""


def sample(tx: Transaction, count: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """At most `count` photos at random, as id and where the bytes are; one seed, one choice."""
    return [(i, uri) for i, uri in tx.conn.execute(SAMPLE, [tx.tenant, seed, count])]


def alike(tx: Transaction, limit: int = 100_000) -> list[tuple[str, str]]:
    """Pairs of photos of which one was found by the other and accepted or clicked, each once."""
    values = {"tenant": tx.tenant, "limit": limit}
    return [(a, b) for a, b in tx.conn.execute(ALIKE, values)]
