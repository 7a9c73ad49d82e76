"""Runs in the catalog: which parts are loaded, and what files came to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import pyarrow as pa

from photoorg.schema import LIVE_VIDEO
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import uri_key
from photoorg.store.catalog.staging import hex_column, stage

CHUNK = 50_000


@dataclass(frozen=True, slots=True)
class Totals:
    """What files came to: files = photos + duplicates + rejects.

    A file counts as photo if it is the one at which its content was first seen, as duplicate if
    the same bytes were already there under another URI, as reject if it could not be used. It
    stays so however often a job is repeated. `missing` files are none of these (yet).

    The video of a live photo is a further file of a photo that is counted already, so it counts
    among the duplicates (`live_videos` of them), and among the rejects (`waiting_videos` of those)
    until its still is there.
    """

    photos: int
    duplicates: int
    rejects: int
    missing: int = 0
    live_videos: int = 0
    waiting_videos: int = 0

    @property
    def files(self) -> int:
        """Files that were dealt with."""
        return self.photos + self.duplicates + self.rejects


COUNT = """
SELECT count(*) FILTER (WHERE p.uri_key = s.uri_key),
       count(*) FILTER (WHERE p.uri_key <> s.uri_key)
FROM photo_sources s JOIN photos p USING (tenant_id, photo_id)
WHERE s.tenant_id = %(tenant)s AND s.uri_key IN (SELECT uri_key FROM staged_uris)
"""
COUNT_REJECTS = """
SELECT count(*), count(*) FILTER (WHERE r.code = %(live)s) FROM rejects r
WHERE r.tenant_id = %(tenant)s AND r.uri_key IN (SELECT uri_key FROM staged_uris)
"""
COUNT_VIDEOS = """
SELECT count(*) FROM companion_sources s
WHERE s.tenant_id = %(tenant)s AND s.uri_key IN (SELECT uri_key FROM staged_uris)
    AND NOT EXISTS (SELECT FROM rejects r
        WHERE r.tenant_id = s.tenant_id AND r.uri_key = s.uri_key)
"""


def loaded_parts(tx: Transaction, run_id: str) -> set[int]:
    """Numbers of the run's parts that copy_part has loaded."""
    rows = tx.conn.execute(
        "SELECT part FROM run_parts WHERE tenant_id = %s AND run_id = %s", [tx.tenant, run_id]
    )
    return {part for (part,) in rows}


def count_loaded(tx: Transaction) -> int:
    """How many parts were ever loaded: it grows with every part that brings photos."""
    row = tx.conn.execute(
        "SELECT count(*) FROM run_parts WHERE tenant_id = %s", [tx.tenant]
    ).fetchone()
    assert row is not None
    return int(row[0])


def totals(tx: Transaction, uris: Iterable[str]) -> Totals:
    """What these files came to, whichever run dealt with them; each URI counts once."""
    return totals_of_keys(tx, (uri_key(uri) for uri in uris))


def totals_of_keys(tx: Transaction, keys: Iterable[bytes]) -> Totals:
    """Totals for the URIs with these keys, each counted once; of any number of them."""
    tx.conn.execute("SET LOCAL statement_timeout = 0")
    stage(tx, "staged_uris", {"uri_key": "bytea"}, _tables(keys))
    tx.conn.execute("ANALYZE staged_uris")
    distinct = tx.conn.execute("SELECT count(DISTINCT uri_key) FROM staged_uris").fetchone()
    assert distinct is not None
    found = _count_staged(tx)
    return replace(found, missing=int(distinct[0]) - found.files)


def _tables(keys: Iterable[bytes]) -> Iterator[pa.Table]:
    waiting = iter(keys)
    while chunk := list(islice(waiting, CHUNK)):
        yield pa.table({"uri_key": hex_column(chunk)})


def _count_staged(tx: Transaction) -> Totals:
    values = {"tenant": tx.tenant, "live": LIVE_VIDEO}
    found = tx.conn.execute(COUNT, values).fetchone()
    rejected = tx.conn.execute(COUNT_REJECTS, values).fetchone()
    videos = tx.conn.execute(COUNT_VIDEOS, values).fetchone()
    assert found is not None and rejected is not None and videos is not None
    return Totals(
        photos=int(found[0]),
        duplicates=int(found[1]) + int(videos[0]),
        rejects=int(rejected[0]),
        live_videos=int(videos[0]),
        waiting_videos=int(rejected[1]),
    )
