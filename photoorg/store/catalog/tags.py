"""Tags of photos: what machines found, what people gave or took away, and their categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from photoorg.errors import InputError, NotFoundError
from photoorg.models import PhotoTag
from photoorg.store.catalog import audit
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean, photo_key
from photoorg.store.catalog.staging import hex_column, stage

LONGEST = 100
FEW = 50
"""Photos up to which temporary tables are used as they are."""

TAGGED_COLUMNS = {"photo_id": "bytea"}
TAG_COLUMNS = {"photo_id": "bytea", "tag_id": "bigint", "score": "real"}

# Ordered by label, so that two writers that share new tags wait for each other in one order.
INTRODUCE = """
INSERT INTO tags AS t (tenant_id, category, label)
SELECT %(tenant)s, n.category, n.label
FROM unnest(%(categories)s::text[], %(labels)s::text[]) AS n (category, label) ORDER BY n.label
ON CONFLICT (tenant_id, label) DO UPDATE SET category = excluded.category
    WHERE t.category = '' AND excluded.category <> ''
"""
NUMBERS = "SELECT label, tag_id FROM tags WHERE tenant_id = %(tenant)s AND label = ANY(%(labels)s)"
DROP_STALE = """
DELETE FROM photo_tags p USING staged_tagged d
WHERE p.tenant_id = %(tenant)s AND p.photo_id = d.photo_id AND p.source = 'zero-shot'
    AND NOT EXISTS (SELECT FROM staged_tags s
        WHERE s.photo_id = p.photo_id AND s.tag_id = p.tag_id)
"""
PUT = """
INSERT INTO photo_tags AS p (tenant_id, photo_id, tag_id, score, source)
SELECT %(tenant)s, s.photo_id, s.tag_id, s.score, 'zero-shot'
FROM staged_tags s JOIN photos k ON k.tenant_id = %(tenant)s AND k.photo_id = s.photo_id
WHERE NOT EXISTS (SELECT FROM tag_refusals r WHERE r.tenant_id = %(tenant)s
    AND r.photo_id = s.photo_id AND r.tag_id = s.tag_id)
ORDER BY s.photo_id, s.tag_id
ON CONFLICT (tenant_id, photo_id, tag_id) DO UPDATE SET score = excluded.score
    WHERE p.source = 'zero-shot' AND p.score IS DISTINCT FROM excluded.score
"""
SETTLE = """
DELETE FROM photo_failures f USING staged_tagged d
WHERE f.tenant_id = %(tenant)s AND f.photo_id = d.photo_id AND f.stage = 'tags'
"""
NO_LONGER_PARTIAL = """
UPDATE photos p SET status = 'ready' FROM staged_tagged d
WHERE p.tenant_id = %(tenant)s AND p.photo_id = d.photo_id AND p.status = 'partial'
    AND NOT EXISTS (SELECT FROM photo_failures f
        WHERE f.tenant_id = p.tenant_id AND f.photo_id = p.photo_id)
"""
CATEGORY = "coalesce(m.category, t.category)"
OF_PHOTOS = f"""
SELECT encode(p.photo_id, 'hex'), t.label, {CATEGORY}, p.score, p.source
FROM photo_tags p JOIN tags t USING (tenant_id, tag_id)
    LEFT JOIN tag_categories m ON m.tenant_id = t.tenant_id AND m.label = t.label
WHERE p.tenant_id = %(tenant)s AND p.photo_id = ANY(%(ids)s)
ORDER BY p.photo_id, {CATEGORY}, p.score DESC NULLS FIRST, t.label
"""
PAGE = f"""
SELECT t.label, {CATEGORY}, t.category, count(p.photo_id),
    count(p.photo_id) FILTER (WHERE p.source <> 'zero-shot')
FROM (SELECT t.tenant_id, t.tag_id, t.label, t.category FROM tags t
        LEFT JOIN tag_categories m ON m.tenant_id = t.tenant_id AND m.label = t.label
        WHERE t.tenant_id = %(tenant)s AND (%(after)s::text IS NULL OR t.label > %(after)s)
            AND (%(category)s::text IS NULL OR {CATEGORY} = %(category)s)
        ORDER BY t.label LIMIT %(limit)s) t
    LEFT JOIN tag_categories m ON m.tenant_id = t.tenant_id AND m.label = t.label
    LEFT JOIN photo_tags p ON p.tenant_id = t.tenant_id AND p.tag_id = t.tag_id
GROUP BY t.label, m.category, t.category ORDER BY t.label
"""


@dataclass(frozen=True, slots=True)
class TagSummary:
    """One tag of a tenant: its category, the one its maker gave it, and how many photos have it.

    `given` counts those on which a person put it.
    """

    label: str
    category: str
    made_as: str
    photos: int
    given: int


def replace(tx: Transaction, found: Mapping[str, Sequence[PhotoTag]]) -> None:
    """Make `found` the machine's tags of these photos; what people gave or refused stays.

    Photos that are not there are passed over; one that could not be tagged before is no longer
    partial for that. A tag that a person gave too keeps that source.
    """
    values = {"tenant": tx.tenant}
    numbers = _introduced(tx, {t.label: t.category for tags in found.values() for t in tags})
    stage(tx, "staged_tagged", TAGGED_COLUMNS, [_photo_table(found)])
    stage(tx, "staged_tags", TAG_COLUMNS, [_tag_table(found, numbers)])
    if len(found) > FEW:
        # Without counts the planner compares every staged tag with every other.
        tx.conn.execute("ANALYZE staged_tagged, staged_tags")
    tx.conn.execute(DROP_STALE, values)
    tx.conn.execute(PUT, values)
    if tx.conn.execute(SETTLE, values).rowcount:
        tx.conn.execute(NO_LONGER_PARTIAL, values)


def of_photos(tx: Transaction, photo_ids: Sequence[str]) -> dict[str, list[PhotoTag]]:
    """The tags of each photo by category, people's before the machine's; photos without: none."""
    values = {"tenant": tx.tenant, "ids": [photo_key(i) for i in photo_ids]}
    found: dict[str, list[PhotoTag]] = {photo_id: [] for photo_id in photo_ids}
    for photo_id, label, category, score, source in tx.conn.execute(OF_PHOTOS, values):
        found[photo_id].append(PhotoTag(label, category, score, source))
    return found


def page(
    tx: Transaction, *, after: str | None = None, limit: int = 100, category: str | None = None
) -> tuple[list[TagSummary], str | None]:
    """Tags by label and where the next page begins, None at the end; of one category if given."""
    values = {"tenant": tx.tenant, "after": after, "limit": limit + 1, "category": category}
    found = [TagSummary(*row) for row in tx.conn.execute(PAGE.encode(), values)]
    return found[:limit], found[limit - 1].label if len(found) > limit else None


def add(tx: Transaction, actor: str, photo_id: str, label: str, category: str = "") -> bool:
    """Put a tag on a photo for a person; False if a person had already. NotFoundError.

    `category` is that of a tag that is new; one that is known keeps its own.
    """
    label = normal(label)
    _require_photo(tx, photo_id)
    tx.conn.execute(
        "INSERT INTO tags (tenant_id, category, label) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        [tx.tenant, _category(category), label],
    )
    tag_id, key = _tag_id(tx, label), photo_key(photo_id)
    tx.conn.execute(
        "DELETE FROM tag_refusals WHERE tenant_id = %s AND photo_id = %s AND tag_id = %s",
        [tx.tenant, key, tag_id],
    )
    changed = tx.conn.execute(
        "INSERT INTO photo_tags AS p (tenant_id, photo_id, tag_id) VALUES (%s, %s, %s)"
        " ON CONFLICT (tenant_id, photo_id, tag_id) DO UPDATE SET source = 'user', score = NULL"
        " WHERE p.source <> 'user'",
        [tx.tenant, key, tag_id],
    ).rowcount
    if changed:
        audit.record(tx, actor, "photo.tag", "photo", photo_id, {"label": label})
    return bool(changed)


def remove(tx: Transaction, actor: str, photo_id: str, label: str) -> bool:
    """Take a tag off a photo, so that no machine puts it on again; False if it was not on.

    `add` takes both back. NotFoundError for a photo that is not there.
    """
    label = normal(label)
    _require_photo(tx, photo_id)
    key = photo_key(photo_id)
    row = tx.conn.execute(
        "DELETE FROM photo_tags p USING tags t WHERE p.tenant_id = %s AND p.photo_id = %s"
        " AND t.tenant_id = p.tenant_id AND t.tag_id = p.tag_id AND t.label = %s"
        " RETURNING p.tag_id, p.source, p.score",
        [tx.tenant, key, label],
    ).fetchone()
    if row is None:
        return False
    tag_id, source, score = row
    tx.conn.execute(
        "INSERT INTO tag_refusals (tenant_id, photo_id, tag_id) VALUES (%s, %s, %s)"
        " ON CONFLICT DO NOTHING",
        [tx.tenant, key, tag_id],
    )
    detail = {"label": label, "source": source, "score": score}
    audit.record(tx, actor, "photo.untag", "photo", photo_id, detail)
    return True


def map_category(tx: Transaction, actor: str, label: str, category: str) -> str:
    """Let the tag belong to `category` on every photo; the category it had. NotFoundError."""
    label, category = normal(label), _category(category)
    before = category_of(tx, label)
    tx.conn.execute(
        "INSERT INTO tag_categories (tenant_id, label, category) VALUES (%s, %s, %s)"
        " ON CONFLICT (tenant_id, label)"
        " DO UPDATE SET category = excluded.category, mapped_at = now()",
        [tx.tenant, label, category],
    )
    detail = {"from": before, "to": category}
    audit.record(tx, actor, "tag.map", "tag", label, detail)
    return before


def unmap_category(tx: Transaction, actor: str, label: str) -> str:
    """Give the tag the category its maker gave it; the one it had until now. NotFoundError."""
    label = normal(label)
    before = category_of(tx, label)
    removed = tx.conn.execute(
        "DELETE FROM tag_categories WHERE tenant_id = %s AND label = %s", [tx.tenant, label]
    ).rowcount
    if removed:
        detail = {"from": before, "to": category_of(tx, label)}
        audit.record(tx, actor, "tag.unmap", "tag", label, detail)
    return before


def category_of(tx: Transaction, label: str) -> str:
    """The category of a tag; NotFoundError if no photo ever had it."""
    label = normal(label)
    row = tx.conn.execute(
        "SELECT coalesce(m.category, t.category) FROM tags t"
        " LEFT JOIN tag_categories m ON m.tenant_id = t.tenant_id AND m.label = t.label"
        " WHERE t.tenant_id = %s AND t.label = %s",
        [tx.tenant, label],
    ).fetchone()
    if row is None:
        raise NotFoundError(
            f"There is no tag {label!r}.", fix="`photoorg tags list` shows those there are."
        )
    return str(row[0])


def normal(label: str) -> str:
    """A tag as it is stored: trimmed, lower case, single spaces; InputError if nothing is left."""
    text = " ".join(clean(label).lower().split())
    if not 0 < len(text) <= LONGEST:
        raise InputError(
            f"A tag has 1 to {LONGEST} characters, not {len(text)}.", fix="Choose another label."
        )
    return text


def _introduced(tx: Transaction, categories: Mapping[str, str]) -> dict[str, int]:
    """The number of each tag by its label; new ones are added under their category."""
    values = {
        "tenant": tx.tenant,
        "labels": list(categories),
        "categories": list(categories.values()),
    }
    tx.conn.execute(INTRODUCE, values)
    return dict(tx.conn.execute(NUMBERS, values).fetchall())


def _photo_table(found: Mapping[str, Sequence[PhotoTag]]) -> pa.Table:
    return pa.table({"photo_id": hex_column(photo_key(i) for i in found)})


def _tag_table(found: Mapping[str, Sequence[PhotoTag]], numbers: Mapping[str, int]) -> pa.Table:
    """One row per photo and tag; of a tag that a photo has twice the last."""
    rows = {(i, numbers[t.label]): t.score for i, tags in found.items() for t in tags}
    return pa.table(
        {
            "photo_id": hex_column(photo_key(i) for i, _ in rows),
            "tag_id": pa.array([number for _, number in rows], pa.int64()),
            "score": pa.array(list(rows.values()), pa.float32()),
        }
    )


def _category(name: str) -> str:
    text = " ".join(clean(name).lower().split())
    if len(text) > LONGEST:
        raise InputError(f"A category has at most {LONGEST} characters, not {len(text)}.")
    return text


def _tag_id(tx: Transaction, label: str) -> int:
    row = tx.conn.execute(
        "SELECT tag_id FROM tags WHERE tenant_id = %s AND label = %s", [tx.tenant, label]
    ).fetchone()
    assert row is not None, "the tag was inserted or there before"
    return int(row[0])


def _require_photo(tx: Transaction, photo_id: str) -> None:
    known = tx.conn.execute(
        "SELECT FROM photos WHERE tenant_id = %s AND photo_id = %s FOR KEY SHARE",
        [tx.tenant, photo_key(photo_id)],
    ).fetchone()
    if known is None:
        raise NotFoundError(
            f"There is no photo {photo_id!r}.", fix="Its id is the sha256 of its bytes."
        )
