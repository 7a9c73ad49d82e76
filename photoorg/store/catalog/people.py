"""Persons: listed, named, hidden, merged and un-merged. Faces are in faces_of_people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row

from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.store.catalog import audit
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import clean

COUNTED = """
SELECT p.person_id, p.name, p.hidden, p.merged_into, p.created_at,
    count(f.person_id) AS faces, count(DISTINCT f.photo_id) AS photos, p.cover_photo, p.cover_face
FROM persons p
LEFT JOIN face_people f ON f.tenant_id = p.tenant_id AND f.person_id = p.person_id
    AND NOT EXISTS (SELECT 1 FROM photos t WHERE t.tenant_id = f.tenant_id
        AND t.photo_id = f.photo_id AND t.trashed_at IS NOT NULL)
WHERE p.tenant_id = %(tenant)s
"""
# The face that was chosen may be gone, in the trash or another person's by now.
COVERED = """
SELECT c.person_id, c.name, c.hidden, c.merged_into, c.created_at, c.faces, c.photos,
    encode(coalesce(chosen.photo_id, best.photo_id), 'hex') AS cover_photo,
    coalesce(chosen.face_no, best.face_no) AS cover_face
FROM ({counted}) c
LEFT JOIN LATERAL (
    SELECT l.photo_id, l.face_no FROM face_people l JOIN photos t USING (tenant_id, photo_id)
    WHERE l.tenant_id = %(tenant)s AND l.photo_id = c.cover_photo AND l.face_no = c.cover_face
        AND l.person_id = c.person_id AND t.trashed_at IS NULL
) chosen ON true
LEFT JOIN LATERAL (
    SELECT l.photo_id, l.face_no FROM face_people l JOIN photos t USING (tenant_id, photo_id)
        JOIN faces f USING (tenant_id, photo_id, face_no)
    WHERE chosen.photo_id IS NULL AND l.tenant_id = %(tenant)s AND l.person_id = c.person_id
        AND t.trashed_at IS NULL
    ORDER BY f.quality DESC, l.photo_id, l.face_no LIMIT 1
) best ON true
ORDER BY c.faces DESC, c.person_id
"""
ONE = COVERED.format(
    counted=COUNTED + " AND p.person_id = %(person)s GROUP BY p.tenant_id, p.person_id"
)
PAGE = COVERED.format(
    counted=COUNTED
    + """
    AND p.merged_into IS NULL AND (%(hidden)s OR NOT p.hidden)
    AND (%(named)s::boolean IS NULL OR (p.name IS NOT NULL) = %(named)s)
GROUP BY p.tenant_id, p.person_id
HAVING %(count)s::bigint IS NULL OR (count(f.person_id), -p.person_id) < (%(count)s, -%(last)s)
ORDER BY faces DESC, p.person_id LIMIT %(limit)s
"""
)
BELOW = """
WITH RECURSIVE below AS (
    SELECT person_id FROM persons WHERE tenant_id = %(tenant)s AND person_id = %(person)s
    UNION
    SELECT p.person_id FROM persons p JOIN below b ON p.merged_into = b.person_id
    WHERE p.tenant_id = %(tenant)s
)
"""
GIVE_BACK = (
    BELOW
    + """
UPDATE face_people SET person_id = %(person)s
WHERE tenant_id = %(tenant)s AND person_id = %(kept)s
    AND coalesce(origin_id, person_id) IN (SELECT person_id FROM below)
"""
)
# Whoever took the name over from whom it was given to has it from there.
GIVE_NAME_BACK = """
WITH RECURSIVE took AS (
    SELECT %(kept)s::bigint AS person_id
    UNION
    SELECT m.kept_id FROM person_merges m JOIN took t ON m.merged_id = t.person_id
    WHERE m.tenant_id = %(tenant)s AND m.undone_at IS NULL AND m.name_taken = %(name)s
)
UPDATE persons SET name = NULL
WHERE tenant_id = %(tenant)s AND person_id IN (SELECT person_id FROM took) AND name = %(name)s
"""


@dataclass(frozen=True, slots=True)
class Person:
    """Someone who appears in photos; `merged_into` names whom this person became part of.

    `faces` and `photos` count what is not in the trash, which no cover is from either.
    """

    person_id: int
    name: str | None
    hidden: bool
    merged_into: int | None
    created_at: datetime
    faces: int
    photos: int
    cover_photo: str | None
    cover_face: int | None


@dataclass(frozen=True, slots=True)
class Merge:
    """One merge of the history; `undone_at` is set when it was taken back."""

    merge_id: int
    kept_id: int
    merged_id: int
    actor: str
    merged_at: datetime
    undone_at: datetime | None
    undone_by: str | None


def create(tx: Transaction, name: str | None = None, *, vouched: bool = False) -> int:
    """A new person's id."""
    row = tx.conn.execute(
        "INSERT INTO persons (tenant_id, name, vouched) VALUES (%s, %s, %s) RETURNING person_id",
        [tx.tenant, name, vouched],
    ).fetchone()
    assert row is not None
    return int(row[0])


def get(tx: Transaction, person_id: int) -> Person:
    """The person, merged or not; NotFoundError if there is none."""
    with tx.conn.cursor(row_factory=class_row(Person)) as cursor:
        found = cursor.execute(ONE.encode(), {"tenant": tx.tenant, "person": person_id}).fetchone()
    if found is None:
        raise NotFoundError(
            f"There is no person {person_id}.", fix="`photoorg people list` shows those there are."
        )
    return found


def page(
    tx: Transaction,
    *,
    after: str | None = None,
    limit: int = 50,
    hidden: bool = False,
    named: bool | None = None,
) -> tuple[list[Person], str | None]:
    """Persons, those with most faces first, and the cursor of the next page, None at the end.

    Merged persons are left out, hidden ones unless `hidden`; `named` asks for those with a name,
    or without. InputError for a cursor that is none.
    """
    count, last = _place(after)
    values = {"tenant": tx.tenant, "hidden": hidden, "named": named, "count": count, "last": last}
    with tx.conn.cursor(row_factory=class_row(Person)) as cursor:
        found = cursor.execute(PAGE.encode(), {**values, "limit": limit + 1}).fetchall()
    more = len(found) > limit
    found = found[:limit]
    return found, f"{found[-1].faces}-{found[-1].person_id}" if more and found else None


def rename(tx: Transaction, person_id: int, name: str | None, actor: str) -> Person:
    """Give a name, or take it away (None); it stays through every later clustering."""
    before = living(tx, person_id)
    given = _name(name)
    tx.conn.execute(
        "UPDATE persons SET name = %s, vouched = vouched OR %s"
        " WHERE tenant_id = %s AND person_id = %s",
        [given, given is not None, tx.tenant, person_id],
    )
    _noted(tx, actor, "rename", person_id, {"before": before.name, "after": given})
    return get(tx, person_id)


def hide(tx: Transaction, person_id: int, hidden: bool, actor: str) -> Person:
    """Leave the person out of lists, or show it again."""
    living(tx, person_id)
    tx.conn.execute(
        "UPDATE persons SET hidden = %s WHERE tenant_id = %s AND person_id = %s",
        [hidden, tx.tenant, person_id],
    )
    _noted(tx, actor, "hide" if hidden else "show", person_id, {})
    return get(tx, person_id)


def merge(tx: Transaction, kept_id: int, merged_id: int, actor: str) -> Merge:
    """Make one person of two; the kept one takes over a name if it has none.

    InputError if they are one already, or one of them is part of another person.
    """
    if kept_id == merged_id:
        raise InputError(f"Person {kept_id} cannot be merged with itself.")
    lock(tx)
    kept, merged = living(tx, kept_id), living(tx, merged_id)
    taken = merged.name if kept.name is None else None
    pair = sorted((kept_id, merged_id))
    tx.conn.execute(
        "DELETE FROM person_strangers WHERE tenant_id = %s AND first_id = %s AND second_id = %s",
        [tx.tenant, *pair],
    )
    tx.conn.execute(
        "DELETE FROM person_suggestions WHERE tenant_id = %s AND first_id = %s AND second_id = %s",
        [tx.tenant, *pair],
    )
    tx.conn.execute(
        "UPDATE persons SET merged_into = %s, vouched = true"
        " WHERE tenant_id = %s AND person_id = %s",
        [kept_id, tx.tenant, merged_id],
    )
    tx.conn.execute(
        "UPDATE persons SET vouched = true, name = coalesce(name, %s)"
        " WHERE tenant_id = %s AND person_id = %s",
        [taken, tx.tenant, kept_id],
    )
    tx.conn.execute(
        "UPDATE face_people SET person_id = %s, origin_id = coalesce(origin_id, person_id)"
        " WHERE tenant_id = %s AND person_id = %s",
        [kept_id, tx.tenant, merged_id],
    )
    tx.conn.execute(
        "INSERT INTO person_merges (tenant_id, kept_id, merged_id, name_taken, actor)"
        " VALUES (%s, %s, %s, %s, %s)",
        [tx.tenant, kept_id, merged_id, taken, actor],
    )
    _noted(tx, actor, "merge", kept_id, {"merged": merged_id, "name_taken": taken})
    return _last_merge(tx, merged_id)


def unmerge(tx: Transaction, merged_id: int, actor: str) -> Merge:
    """Take a person out of the one it was merged into, with the faces and name it brought.

    Faces that came since stay with the other. The two are noted as strangers, so that they are not
    suggested again. ConflictError if the person is not merged.
    """
    lock(tx)
    person = get(tx, merged_id)
    if person.merged_into is None:
        raise ConflictError(
            f"Person {merged_id} is not merged into another.",
            fix="Name the person that was merged; `photoorg people show` tells the history.",
        )
    kept = root(parents(tx), person.merged_into)
    values = {"tenant": tx.tenant, "person": merged_id, "kept": kept}
    tx.conn.execute(GIVE_BACK, values)
    row = tx.conn.execute(
        "UPDATE person_merges SET undone_at = now(), undone_by = %s WHERE tenant_id = %s"
        " AND merged_id = %s AND kept_id = %s AND undone_at IS NULL RETURNING name_taken",
        [actor, tx.tenant, merged_id, person.merged_into],
    ).fetchone()
    tx.conn.execute(
        "UPDATE persons SET merged_into = NULL WHERE tenant_id = %s AND person_id = %s",
        [tx.tenant, merged_id],
    )
    if row is not None and row[0] is not None:
        tx.conn.execute(GIVE_NAME_BACK, {**values, "kept": person.merged_into, "name": row[0]})
    strangers(tx, kept, merged_id, actor)
    _noted(tx, actor, "unmerge", person.merged_into, {"merged": merged_id})
    return _last_merge(tx, merged_id)


def history(
    tx: Transaction, person_id: int, *, before: int | None = None, limit: int = 50
) -> tuple[list[Merge], int | None]:
    """Merges the person was part of, newest first, and what to give as `before` for the next."""
    with tx.conn.cursor(row_factory=class_row(Merge)) as cursor:
        found = cursor.execute(
            "SELECT merge_id, kept_id, merged_id, actor, merged_at, undone_at, undone_by"
            " FROM person_merges WHERE tenant_id = %s AND %s IN (kept_id, merged_id)"
            " AND (%s::bigint IS NULL OR merge_id < %s) ORDER BY merge_id DESC LIMIT %s",
            [tx.tenant, person_id, before, before, limit + 1],
        ).fetchall()
    return found[:limit], found[limit - 1].merge_id if len(found) > limit else None


def _last_merge(tx: Transaction, person_id: int) -> Merge:
    (merge,), _ = history(tx, person_id, limit=1)
    return merge


def strangers(tx: Transaction, one: int, two: int, actor: str) -> None:
    """Note for ever that two persons are not one; they are not suggested again."""
    first, second = sorted((one, two))
    for sql in (
        "INSERT INTO person_strangers (tenant_id, first_id, second_id, actor)"
        " VALUES (%(tenant)s, %(first)s, %(second)s, %(actor)s) ON CONFLICT DO NOTHING",
        "DELETE FROM person_suggestions WHERE tenant_id = %(tenant)s"
        " AND first_id = %(first)s AND second_id = %(second)s",
    ):
        values = {"tenant": tx.tenant, "first": first, "second": second, "actor": actor}
        tx.conn.execute(sql.encode(), values)


def refuse(tx: Transaction, one: int, two: int, actor: str) -> None:
    """Turn down the suggestion that two persons are one, for ever; InputError for one person."""
    if one == two:
        raise InputError(
            f"Person {one} is one person.", fix="Name the two persons of a suggestion."
        )
    strangers(tx, one, two, actor)
    _noted(tx, actor, "refuse", min(one, two), {"other": max(one, two)})


def reopen(tx: Transaction, one: int, two: int, actor: str) -> bool:
    """Take back that two persons are not one; False if nobody had said so."""
    pair = sorted((one, two))
    gone = tx.conn.execute(
        "DELETE FROM person_strangers WHERE tenant_id = %s AND first_id = %s AND second_id = %s",
        [tx.tenant, *pair],
    ).rowcount
    if gone:
        _noted(tx, actor, "reopen", pair[0], {"other": pair[1]})
    return gone > 0


def living(tx: Transaction, person_id: int) -> Person:
    """The person; NotFoundError if there is none, ConflictError if it is part of another now."""
    person = get(tx, person_id)
    if person.merged_into is not None:
        raise ConflictError(
            f"Person {person_id} is part of person {person.merged_into} now.",
            fix=f"Use {person.merged_into}, or un-merge first.",
        )
    return person


def parents(tx: Transaction) -> dict[int, int]:
    """Merged persons -> whom each was merged into."""
    rows = tx.conn.execute(
        "SELECT person_id, merged_into FROM persons"
        " WHERE tenant_id = %s AND merged_into IS NOT NULL",
        [tx.tenant],
    )
    return dict(rows.fetchall())


def root(parent_of: Mapping[int, int], person_id: int) -> int:
    """Who a person is after every merge."""
    while person_id in parent_of:
        person_id = parent_of[person_id]
    return person_id


def lock(tx: Transaction) -> None:
    """Lock the tenant's persons: until it ends, only this transaction changes them."""
    tx.conn.execute("SELECT pg_advisory_xact_lock(hashtext('people'), hashtext(%s))", [tx.tenant])


def _noted(
    tx: Transaction, actor: str, action: str, person_id: int, detail: Mapping[str, Any]
) -> None:
    audit.record(tx, actor, f"person.{action}", "person", str(person_id), detail)


def _name(name: str | None) -> str | None:
    if name is None:
        return None
    given = " ".join(clean(name).split())
    if not given or len(given) > 200:
        raise InputError("A name has 1 to 200 characters.", fix="Give a name, or none at all.")
    return given


def _place(after: str | None) -> tuple[int | None, int]:
    if after is None:
        return None, 0
    count, _, person = after.partition("-")
    if not (count.isdecimal() and person.isdecimal() and len(after) < 40):
        raise InputError(f"{after!r} is no cursor.", fix="Use the next_cursor of a page.")
    return int(count), int(person)
