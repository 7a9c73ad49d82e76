"""Which files the catalog has dealt with already."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import uri_key

CHUNK = 20_000

# What a retry can help is not done yet: neither such rejects nor photos with such failures.
KNOWN = """
SELECT s.uri, s.etag FROM photo_sources s
WHERE s.tenant_id = %(tenant)s AND s.uri_key = ANY(%(keys)s) AND NOT EXISTS (
    SELECT FROM photo_failures f
    WHERE f.tenant_id = s.tenant_id AND f.photo_id = s.photo_id AND f.retryable)
UNION ALL
SELECT r.key, r.etag FROM rejects r
WHERE r.tenant_id = %(tenant)s AND r.uri_key = ANY(%(keys)s) AND NOT r.retryable
UNION ALL
SELECT c.uri, c.etag FROM companion_sources c
WHERE c.tenant_id = %(tenant)s AND c.uri_key = ANY(%(keys)s) AND NOT EXISTS (
    SELECT FROM rejects r
    WHERE r.tenant_id = c.tenant_id AND r.uri_key = c.uri_key AND r.retryable)
UNION ALL
SELECT g.uri, g.etag FROM forgotten_sources g
WHERE g.tenant_id = %(tenant)s AND g.uri_key = ANY(%(keys)s)
"""


def known(tx: Transaction, uris: Sequence[str]) -> dict[str, str]:
    """URI -> etag of the files that are dealt with.

    They became a photo, the video of a live photo, a reject that no retry can help, or a photo that
    was deleted since.
    """
    found: dict[str, str] = {}
    for start in range(0, len(uris), CHUNK):
        keys = [uri_key(u) for u in uris[start : start + CHUNK]]
        found.update(tx.conn.execute(KNOWN, {"tenant": tx.tenant, "keys": keys}).fetchall())
    return found


def of_photo(tx: Transaction, photo_id: str) -> list[str]:
    """Every URI at which the photo's bytes were seen, sorted."""
    rows = tx.conn.execute(
        "SELECT uri FROM photo_sources WHERE tenant_id = %s AND photo_id = decode(%s, 'hex')"
        " ORDER BY uri",
        [tx.tenant, photo_id],
    )
    return [uri for (uri,) in rows]


def photos(tx: Transaction) -> Iterator[tuple[str, str]]:
    """Every file that became a photo: its URI and the photo's id, streamed."""
    with tx.conn.cursor(name="sources") as cursor:
        cursor.itersize = 10_000
        yield from cursor.execute(
            "SELECT uri, encode(photo_id, 'hex') FROM photo_sources WHERE tenant_id = %s",
            [tx.tenant],
        )
