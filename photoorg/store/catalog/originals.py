"""Where the bytes of every photo are, for jobs that read them all again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key
from photoorg.store.catalog.photos import LIVE

MOST_PLACES = 20


def live(tx: Transaction) -> Iterator[tuple[str, str]]:
    """Id and place (for sources.read_original) of every photo that can be found, streamed."""
    sql = (
        "SELECT encode(photo_id, 'hex'), coalesce(blob_uri, uri) FROM photos"
        " WHERE tenant_id = %s AND status = ANY(%s) ORDER BY photo_id"
    )
    with tx.conn.cursor(name="live_originals") as cursor:
        cursor.itersize = 10_000
        cursor.execute(sql, [tx.tenant, list(LIVE)])
        yield from cursor


def places(tx: Transaction, photo_ids: Sequence[str]) -> dict[str, list[str]]:
    """Where the bytes of photos are or were seen, for sources.read_content.

    The copy in the store first, then where they were seen first, then elsewhere, the last first.
    """
    rows = tx.conn.execute(
        "SELECT encode(p.photo_id, 'hex'), p.blob_uri, p.uri, ARRAY(SELECT s.uri"
        " FROM photo_sources s WHERE s.tenant_id = p.tenant_id AND s.photo_id = p.photo_id"
        " ORDER BY s.seen_at DESC, s.uri LIMIT %s) FROM photos p"
        " WHERE p.tenant_id = %s AND p.photo_id = ANY(%s)",
        [MOST_PLACES, tx.tenant, [photo_key(i) for i in photo_ids]],
    )
    return {
        photo_id: list(dict.fromkeys(uri for uri in (blob, first, *others) if uri is not None))
        for photo_id, blob, first, others in rows
    }


def live_count(tx: Transaction) -> int:
    """How many photos can be found."""
    row = tx.conn.execute(
        "SELECT count(*) FROM photos WHERE tenant_id = %s AND status = ANY(%s)",
        [tx.tenant, list(LIVE)],
    ).fetchone()
    assert row is not None
    return int(row[0])


def still_live(tx: Transaction, photo_ids: Sequence[str]) -> set[str]:
    """Those of the photos that can be found now."""
    rows = tx.conn.execute(
        "SELECT encode(photo_id, 'hex') FROM photos"
        " WHERE tenant_id = %s AND status = ANY(%s) AND photo_id = ANY(%s)",
        [tx.tenant, list(LIVE), [photo_key(i) for i in photo_ids]],
    )
    return {photo_id for (photo_id,) in rows}
