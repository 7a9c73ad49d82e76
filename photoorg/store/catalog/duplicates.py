"""Duplicates: scored pairs, the groups made of them, and what people decided about pairs."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import InputError
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean, photo_key

LOCK_CLASS = 0x64757065  # "dupe"
STAGE_PAIRS = """
CREATE TEMPORARY TABLE scanned_pairs (
    first_id bytea, second_id bytea, kind text, confidence real, evidence text[]
) ON COMMIT DROP
"""
COPY_PAIRS = "COPY scanned_pairs (first_id, second_id, kind, confidence, evidence) FROM STDIN"
PAIRS = """
INSERT INTO duplicate_pairs (tenant_id, first_id, second_id, kind, confidence, evidence)
SELECT %s, first_id, second_id, kind, confidence, evidence FROM scanned_pairs
"""
STAGE = """
CREATE TEMPORARY TABLE scanned_groups (
    signature bytea PRIMARY KEY, kind text, confidence real, keeper_id bytea, reason text,
    bytes bigint, members integer
) ON COMMIT DROP;
CREATE TEMPORARY TABLE scanned_members (
    signature bytea, photo_id bytea, kind text, confidence real, evidence text[]
) ON COMMIT DROP;
"""
COPY_GROUPS = (
    "COPY scanned_groups (signature, kind, confidence, keeper_id, reason, bytes, members)"
    " FROM STDIN"
)
COPY_MEMBERS = "COPY scanned_members (signature, photo_id, kind, confidence, evidence) FROM STDIN"
FORGET = """
DELETE FROM duplicate_groups WHERE tenant_id = %s AND status = 'open'
    AND signature NOT IN (SELECT signature FROM scanned_groups)
"""
# A group that was merged and whose photos are all back is a group again.
KEEP = """
INSERT INTO duplicate_groups
    (tenant_id, signature, kind, confidence, keeper_id, reason, bytes, members)
SELECT %s, signature, kind, confidence, keeper_id, reason, bytes, members FROM scanned_groups
ORDER BY confidence, signature
ON CONFLICT (tenant_id, signature) DO UPDATE SET kind = excluded.kind,
    confidence = excluded.confidence, keeper_id = excluded.keeper_id, reason = excluded.reason,
    bytes = excluded.bytes, members = excluded.members, status = 'open'
RETURNING (xmax = 0)
"""
CLEAR_MEMBERS = """
DELETE FROM duplicate_members m USING duplicate_groups g, scanned_groups s
WHERE m.tenant_id = %s AND g.tenant_id = m.tenant_id AND g.group_id = m.group_id
    AND g.signature = s.signature
"""
MEMBERS = """
INSERT INTO duplicate_members (tenant_id, group_id, photo_id, kind, confidence, evidence)
SELECT g.tenant_id, g.group_id, s.photo_id, s.kind, s.confidence, s.evidence
FROM scanned_members s JOIN duplicate_groups g ON g.tenant_id = %s AND g.signature = s.signature
"""
PAGE = """
SELECT group_id, kind, confidence, encode(keeper_id, 'hex') AS keeper_id, reason, bytes, status,
    found_at
FROM duplicate_groups WHERE tenant_id = %(tenant)s AND status = %(status)s
    AND (%(kind)s::text IS NULL OR kind = %(kind)s)
    AND confidence >= %(least)s
    AND (%(after)s::real IS NULL OR (confidence, group_id) < (%(after)s::real, %(after_id)s))
ORDER BY confidence DESC, group_id DESC LIMIT %(limit)s
"""
ONE = """
SELECT group_id, kind, confidence, encode(keeper_id, 'hex') AS keeper_id, reason, bytes, status,
    found_at FROM duplicate_groups WHERE tenant_id = %s AND group_id = %s
"""
MEMBERS_OF = """
SELECT m.group_id, encode(m.photo_id, 'hex'), m.kind, m.confidence, m.evidence, p.uri, p.size,
    p.width, p.height, p.mime, p.quality, p.captured_at, p.has_thumbnail,
    p.trashed_at IS NOT NULL
FROM duplicate_members m JOIN photos p USING (tenant_id, photo_id)
WHERE m.tenant_id = %s AND m.group_id = ANY(%s)
ORDER BY m.group_id, m.confidence DESC, m.photo_id
"""


@dataclass(frozen=True, slots=True)
class ScannedMember:
    """A photo of a group that was just found; `evidence` is about it and the keeper."""

    photo_id: str
    kind: str
    confidence: float
    evidence: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScannedGroup:
    """A group that was just found; `members` hold the keeper too, with confidence 1.

    `reclaimable` are the bytes of all members but the keeper.
    """

    kind: str
    confidence: float
    keeper_id: str
    reason: str
    reclaimable: int
    members: tuple[ScannedMember, ...]

    @property
    def signature(self) -> bytes:
        """The same for the same photos."""
        keys = sorted(photo_key(m.photo_id) for m in self.members)
        return hashlib.blake2b(b"".join(keys), digest_size=16).digest()


@dataclass(frozen=True, slots=True)
class Member:
    """A photo of a stored group, with what a person compares."""

    photo_id: str
    kind: str
    confidence: float
    evidence: tuple[str, ...]
    uri: str
    size: int
    width: int
    height: int
    mime: str
    quality: float | None
    captured_at: Any
    has_thumbnail: bool
    trashed: bool


@dataclass(frozen=True, slots=True)
class StoredGroup:
    """A group as it is kept; `reclaimable` are the bytes of all members but the keeper."""

    group_id: int
    kind: str
    confidence: float
    keeper_id: str
    reason: str
    reclaimable: int
    status: str
    found_at: Any
    members: tuple[Member, ...]


@dataclass(frozen=True, slots=True)
class PairRow:
    """A scored pair, first_id < second_id."""

    first_id: str
    second_id: str
    kind: str
    confidence: float
    evidence: Sequence[str]


def lock(tx: Transaction) -> None:
    """Lock the tenant's groups: until it ends, only this transaction writes them."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [LOCK_CLASS, tx.tenant])


def replace_pairs(tx: Transaction, pairs: Iterable[PairRow]) -> int:
    """Forget what the scan before scored and keep these; how many."""
    tx.conn.execute("SET LOCAL statement_timeout = 0")
    tx.conn.execute("DELETE FROM duplicate_pairs WHERE tenant_id = %s", [tx.tenant])
    tx.conn.execute(STAGE_PAIRS)  # COPY does not go into tables with row level security
    count = 0
    with tx.conn.cursor() as cursor, cursor.copy(COPY_PAIRS) as copy:
        for pair in pairs:
            keys = photo_key(pair.first_id), photo_key(pair.second_id)
            copy.write_row((*keys, pair.kind, pair.confidence, list(pair.evidence)))
            count += 1
    tx.conn.execute(PAIRS, [tx.tenant])
    return count


def pairs(
    tx: Transaction, least: float
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[np.bool_]]:
    """Digests of both photos, each [n] of 32 bytes, confidences [n] of pairs from `least` on, and
    which of them are bursts.

    In no particular order.
    """
    sql = (
        "SELECT first_id, second_id, confidence, kind = 'burst' FROM duplicate_pairs"
        " WHERE tenant_id = %s AND confidence >= %s"
    )
    first, second, confidence, bursts = [], [], [], []
    with tx.conn.cursor(name="pairs", binary=True) as cursor:
        cursor.itersize = 50_000
        for a, b, value, burst in cursor.execute(sql, [tx.tenant, least]):
            first.append(bytes(a))
            second.append(bytes(b))
            confidence.append(value)
            bursts.append(burst)
    values = np.asarray(confidence, np.float64)
    return _digests(first), _digests(second), values, np.asarray(bursts, np.bool_)


def scored(tx: Transaction) -> Iterator[tuple[str, str, str, float]]:
    """Every pair of the last scan: both photos (hex, smaller first), kind and confidence."""
    sql = (
        "SELECT encode(first_id, 'hex'), encode(second_id, 'hex'), kind, confidence"
        " FROM duplicate_pairs WHERE tenant_id = %s"
    )
    with tx.conn.cursor(name="scored") as cursor:
        cursor.itersize = 10_000
        yield from cursor.execute(sql, [tx.tenant])


def decisions(tx: Transaction) -> Iterator[tuple[str, str, str]]:
    """Every decision: the two photos (hex, smaller first) and keep, stack or distinct."""
    rows = tx.conn.execute(
        "SELECT encode(first_id, 'hex'), encode(second_id, 'hex'), decision"
        " FROM duplicate_decisions WHERE tenant_id = %s",
        [tx.tenant],
    )
    yield from rows


def decide(
    tx: Transaction, photo_ids: Sequence[str], decision: str, *, undo_token: str | None = None
) -> int:
    """Note the same decision for every two of these photos; later ones win."""
    sql = (
        "INSERT INTO duplicate_decisions (tenant_id, first_id, second_id, decision, undo_token)"
        " SELECT %s, a, b, %s, %s FROM unnest(%s::bytea[]) a JOIN unnest(%s::bytea[]) b ON a < b"
        " ON CONFLICT (tenant_id, first_id, second_id) DO UPDATE"
        " SET decision = excluded.decision, undo_token = excluded.undo_token, at = now()"
    )
    keys = [photo_key(i) for i in photo_ids]
    return tx.conn.execute(sql, [tx.tenant, decision, undo_token, keys, keys]).rowcount


def replace_open(tx: Transaction, groups: Iterable[ScannedGroup]) -> tuple[int, int]:
    """Make these the open groups; how many there are, and how many are new.

    A group of the same photos keeps its number; open ones that were not found again go.
    """
    conn = tx.conn
    conn.execute("SET LOCAL statement_timeout = 0")
    conn.execute(STAGE.encode())
    listed = list(groups)
    with conn.cursor() as cursor:
        with cursor.copy(COPY_GROUPS) as copy:
            for g in listed:
                keeper = photo_key(g.keeper_id)
                head = (g.signature, g.kind, g.confidence, keeper)
                copy.write_row((*head, clean(g.reason), g.reclaimable, len(g.members)))
        with cursor.copy(COPY_MEMBERS) as copy:
            for g in listed:
                signature = g.signature
                for m in g.members:
                    key = photo_key(m.photo_id)
                    copy.write_row((signature, key, m.kind, m.confidence, list(m.evidence)))
    conn.execute(FORGET, [tx.tenant])
    kept = conn.execute(KEEP, [tx.tenant]).fetchall()
    conn.execute(CLEAR_MEMBERS, [tx.tenant])
    conn.execute(MEMBERS, [tx.tenant])
    return len(listed), sum(new for (new,) in kept)


def page(
    tx: Transaction,
    *,
    after: str | None = None,
    limit: int = 100,
    least: float = 0.0,
    kind: str | None = None,
    status: str = "open",
) -> tuple[list[StoredGroup], str | None]:
    """Groups, the surest first, and the cursor of the next page; InputError for a made-up one."""
    place = (None, 0) if after is None else _place(after)
    values = {
        "tenant": tx.tenant,
        "status": status,
        "kind": kind,
        "least": least,
        "after": place[0],
        "after_id": place[1],
        "limit": limit + 1,
    }
    rows = tx.conn.execute(PAGE, values).fetchall()
    found = _with_members(tx, rows[:limit])
    more = len(rows) > limit and found
    return found, _cursor(found[-1]) if more else None


def get(tx: Transaction, group_id: int) -> StoredGroup | None:
    """One group, None if there is none of that number."""
    rows = tx.conn.execute(ONE, [tx.tenant, group_id]).fetchall()
    return next(iter(_with_members(tx, rows)), None)


def counts(tx: Transaction) -> dict[str, Any]:
    """Groups, photos beside the keepers and their bytes by status, and open groups by kind."""
    by_status = tx.conn.execute(
        "SELECT status, count(*), coalesce(sum(members - 1), 0)::bigint,"
        " coalesce(sum(bytes), 0)::bigint"
        " FROM duplicate_groups WHERE tenant_id = %s GROUP BY status ORDER BY status",
        [tx.tenant],
    ).fetchall()
    by_kind = tx.conn.execute(
        "SELECT kind, count(*) FROM duplicate_groups WHERE tenant_id = %s AND status = 'open'"
        " GROUP BY kind ORDER BY kind",
        [tx.tenant],
    ).fetchall()
    files = tx.conn.execute(
        "SELECT count(*), coalesce(sum(files - 1), 0)::bigint FROM (SELECT count(*) AS files"
        " FROM photo_sources WHERE tenant_id = %s GROUP BY photo_id HAVING count(*) > 1) AS same",
        [tx.tenant],
    ).fetchone()
    assert files is not None
    decided = tx.conn.execute(
        "SELECT count(*) FROM duplicate_decisions WHERE tenant_id = %s", [tx.tenant]
    ).fetchone()
    assert decided is not None
    return {
        "groups": {s: {"groups": g, "photos": p, "bytes": b} for s, g, p, b in by_status},
        "open_by_kind": dict(by_kind),
        "photos_in_several_files": files[0],
        "files_beyond_the_first": files[1],
        "decisions": decided[0],
    }


def _with_members(tx: Transaction, rows: Sequence[Any]) -> list[StoredGroup]:
    numbers = [row[0] for row in rows]
    members: dict[int, list[Member]] = {number: [] for number in numbers}
    for number, *values in tx.conn.execute(MEMBERS_OF, [tx.tenant, numbers]):
        values[3] = tuple(values[3])
        members[number].append(Member(*values))
    complete = ((*row, tuple(members[row[0]])) for row in rows)
    return [StoredGroup(*values) for values in complete]


def _digests(keys: list[bytes]) -> NDArray[Any]:
    return np.frombuffer(b"".join(keys), "V32")


def _cursor(group: StoredGroup) -> str:
    text = f"{group.confidence!r} {group.group_id}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _place(cursor: str) -> tuple[float, int]:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        confidence, group_id = text.split(" ")
        return float(confidence), int(group_id)
    except (ValueError, binascii.Error):
        raise InputError(
            "The cursor is not one that a page of duplicates gave.",
            fix="Take next_cursor of the page before, or start without one.",
        ) from None
