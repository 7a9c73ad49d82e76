"""Photos that belong together (RAW and JPEG, bursts, live photos), with the evidence."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from psycopg.rows import dict_row

from photoorg.models import Photo
from photoorg.store.catalog import companions, photos
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean, photo_key

# Photos of these runs, and whatever was taken within `seconds` of one of them.
NEAR = """
SELECT p.*, false AS leased FROM photos p
WHERE p.tenant_id = %(tenant)s AND p.captured_at IS NOT NULL AND EXISTS (
    SELECT FROM photos q
    WHERE q.tenant_id = p.tenant_id AND q.run_id = ANY(%(runs)s)
        AND q.captured_at BETWEEN p.captured_at - make_interval(secs => %(seconds)s)
        AND p.captured_at + make_interval(secs => %(seconds)s))
ORDER BY p.captured_at, p.photo_id
"""
UPSERT = """
INSERT INTO photo_pairs (tenant_id, kind, first_id, second_id, confidence, evidence)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT (tenant_id, kind, first_id, second_id) DO UPDATE
    SET confidence = excluded.confidence, evidence = excluded.evidence, found_at = now()
"""
OF_PHOTO = """
SELECT kind, encode(first_id, 'hex'), encode(second_id, 'hex'), confidence, evidence
FROM photo_pairs
WHERE tenant_id = %(tenant)s AND (first_id = %(photo)s OR second_id = %(photo)s)
ORDER BY kind, first_id, second_id
"""


@dataclass(frozen=True, slots=True)
class StoredPair:
    """Two files that belong together.

    `first_id` is the RAW, the earlier frame of a burst, or the still of a live photo; then
    `second_id` is its video, which is no photo (companions).
    """

    kind: str
    first_id: str
    second_id: str
    confidence: float
    evidence: tuple[str, ...]


def taken_near(tx: Transaction, run_ids: Sequence[str], seconds: float) -> Iterator[Photo]:
    """Photos of the runs and their neighbours in time, by capture time, streamed."""
    with tx.conn.cursor(name="taken_near", row_factory=dict_row) as cursor:
        cursor.itersize = 2_000
        values = {"tenant": tx.tenant, "runs": list(run_ids), "seconds": seconds}
        for row in cursor.execute(NEAR, values):
            yield photos.from_row(row)


def store(tx: Transaction, found: Sequence[StoredPair]) -> None:
    """Record pairs; one that is there already gets the new evidence."""
    with tx.conn.cursor() as cursor:
        cursor.executemany(
            UPSERT,
            [
                (
                    tx.tenant,
                    pair.kind,
                    photo_key(pair.first_id),
                    photo_key(pair.second_id),
                    pair.confidence,
                    [clean(line) for line in pair.evidence],
                )
                for pair in found
            ],
        )


def of_photo(tx: Transaction, photo_id: str) -> list[StoredPair]:
    """Every pair the photo is part of, the videos of a live photo last."""
    rows = tx.conn.execute(OF_PHOTO, {"tenant": tx.tenant, "photo": photo_key(photo_id)})
    found = [StoredPair(k, a, b, round(c, 2), tuple(e)) for k, a, b, c, e in rows]
    return found + [
        StoredPair(companions.KIND, v.photo_id, v.companion_id, v.confidence, v.evidence)
        for v in companions.of_photo(tx, photo_id)
    ]
