"""Runs of rules: which photos they would change, changing them, and putting them back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from photoorg.errors import InputError
from photoorg.store.catalog import trash
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key
from photoorg.store.catalog.rule_sql import Where

DUPLICATE_FIELDS = {"near_duplicate", "duplicate_confidence"}
# Photos that an action would leave as they are.
UNCHANGED = {
    "archive": "p.archived_at IS NOT NULL",
    "trash": "p.trashed_at IS NOT NULL",
    "favourite": "p.favourite",
    # Nor does a rule put a tag where a person took it off.
    "tag": "EXISTS (SELECT FROM tags t WHERE t.tenant_id = p.tenant_id AND t.label = %s AND ("
    "EXISTS (SELECT FROM photo_tags x WHERE x.tenant_id = t.tenant_id AND x.tag_id = t.tag_id"
    " AND x.photo_id = p.photo_id)"
    " OR EXISTS (SELECT FROM tag_refusals r WHERE r.tenant_id = t.tenant_id"
    " AND r.tag_id = t.tag_id AND r.photo_id = p.photo_id)))",
}
# A copy that others depend on: the keeper of a group, or the one left of trashed photos.
KEEPER = (
    "EXISTS (SELECT FROM duplicate_groups g WHERE g.tenant_id = p.tenant_id"
    " AND g.keeper_id = p.photo_id)"
)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a rule would change. `kept` photos match but are the copy that stays of duplicates."""

    photo_ids: list[str]
    bytes: int
    matched: int
    kept: int


@dataclass(frozen=True, slots=True)
class RuleRun:
    """One run of one rule."""

    run_id: int
    name: str
    action: str
    rule: dict[str, Any]
    actor: str
    photos: int
    at: datetime
    undone_at: datetime | None


def plan(tx: Transaction, where: Where, action: str, label: str | None) -> Plan:
    """The photos that meet the condition and that the action would change, none of the trash.

    Archiving and trashing leave the keeper of a duplicate group alone, whatever the rule says.
    """
    duplicates = _has_duplicates(tx)
    if where.asks & DUPLICATE_FIELDS and not duplicates:
        raise InputError(
            "The rule asks for duplicates, and this catalog has no table of them.",
            fix="Run `photoorg dedup scan` with a version of photoorg that finds duplicates.",
        )
    guarded = KEEPER if duplicates and action in ("archive", "trash") else "false"
    sql = (
        f"SELECT encode(p.photo_id, 'hex'), p.size, {guarded}, {UNCHANGED[action]} FROM photos p"
        f" WHERE p.tenant_id = %s AND p.trashed_at IS NULL AND p.status = ANY(%s)"
        f" AND ({where.sql}) ORDER BY p.photo_id"
    )
    values: list[Any] = [label] if action == "tag" else []
    values += [tx.tenant, ["ready", "partial"], *where.values]
    rows = tx.conn.execute(sql.encode(), values).fetchall()
    chosen = [(photo, size) for photo, size, keep, done in rows if not keep and not done]
    return Plan(
        [photo for photo, _ in chosen],
        sum(size for _, size in chosen),
        len(rows),
        sum(bool(keep) for _, _, keep, _ in rows),
    )


def apply(
    tx: Transaction,
    name: str,
    action: str,
    rule: Mapping[str, Any],
    label: str | None,
    photo_ids: Sequence[str],
    actor: str,
) -> int:
    """Do it, remember which photos were changed, and return the run's number."""
    row = tx.conn.execute(
        "INSERT INTO rule_runs (tenant_id, name, action, rule, actor, photos)"
        " VALUES (%s, %s, %s, %s, %s, 0) RETURNING run_id",
        [tx.tenant, name, action, Jsonb(dict(rule)), actor],
    ).fetchone()
    assert row is not None
    run_id = int(row[0])
    changed = _act(tx, action, label, photo_ids)
    tx.conn.execute(
        "INSERT INTO rule_run_photos (tenant_id, run_id, photo_id)"
        " SELECT %s, %s, id FROM unnest(%s::bytea[]) AS id",
        [tx.tenant, run_id, [photo_key(photo) for photo in changed]],
    )
    tx.conn.execute(
        "UPDATE rule_runs SET photos = %s WHERE tenant_id = %s AND run_id = %s",
        [len(changed), tx.tenant, run_id],
    )
    return run_id


def take_back(tx: Transaction, run: RuleRun) -> int:
    """Put back the photos that the run changed and that are still as it left them.

    What went into the trash or the archive later than the run was put there by somebody else.
    """
    rows = tx.conn.execute(
        "SELECT encode(r.photo_id, 'hex') FROM rule_run_photos r"
        " JOIN photos p USING (tenant_id, photo_id)"
        " WHERE r.tenant_id = %s AND r.run_id = %s AND coalesce(CASE %s"
        " WHEN 'trash' THEN p.trashed_at = %s WHEN 'archive' THEN p.archived_at = %s"
        " ELSE true END, false)",
        [tx.tenant, run.run_id, run.action, run.at, run.at],
    )
    photos = [photo for (photo,) in rows]
    keys = [photo_key(photo) for photo in photos]
    restored = 0
    if run.action == "trash":
        restored = len(trash.restore(tx, photos))
    elif run.action == "archive":
        restored = tx.conn.execute(
            "UPDATE photos SET archived_at = NULL, updated_at = now() WHERE tenant_id = %s"
            " AND photo_id = ANY(%s) AND archived_at IS NOT NULL",
            [tx.tenant, keys],
        ).rowcount
    elif run.action == "favourite":
        restored = tx.conn.execute(
            "UPDATE photos SET favourite = false, updated_at = now() WHERE tenant_id = %s"
            " AND photo_id = ANY(%s) AND favourite",
            [tx.tenant, keys],
        ).rowcount
    else:
        restored = tx.conn.execute(
            "DELETE FROM photo_tags x USING tags t WHERE x.tenant_id = %s AND t.tenant_id = %s"
            " AND x.tag_id = t.tag_id AND t.label = %s"
            " AND x.photo_id = ANY(%s) AND x.source = 'rule'",
            [tx.tenant, tx.tenant, run.rule.get("label"), keys],
        ).rowcount
    tx.conn.execute(
        "UPDATE rule_runs SET undone_at = now() WHERE tenant_id = %s AND run_id = %s",
        [tx.tenant, run.run_id],
    )
    return restored


COLUMNS = "run_id, name, action, rule, actor, photos, at, undone_at"


def get(tx: Transaction, run_id: int) -> RuleRun | None:
    """The run, locked against another undo; None if there is none of that number."""
    sql = f"SELECT {COLUMNS} FROM rule_runs WHERE tenant_id = %s AND run_id = %s FOR UPDATE"
    with tx.conn.cursor(row_factory=class_row(RuleRun)) as cursor:
        return cursor.execute(sql.encode(), [tx.tenant, run_id]).fetchone()


def page(
    tx: Transaction, *, before: int | None = None, limit: int = 50
) -> tuple[list[RuleRun], int | None]:
    """Runs, the latest first, and the number to give as `before` for the next page."""
    sql = (
        f"SELECT {COLUMNS} FROM rule_runs WHERE tenant_id = %s"
        " AND (%s::bigint IS NULL OR run_id < %s) ORDER BY run_id DESC LIMIT %s"
    )
    with tx.conn.cursor(row_factory=class_row(RuleRun)) as cursor:
        found = cursor.execute(sql.encode(), [tx.tenant, before, before, limit + 1]).fetchall()
    return found[:limit], found[limit - 1].run_id if len(found) > limit else None


def _act(tx: Transaction, action: str, label: str | None, photo_ids: Sequence[str]) -> list[str]:
    keys = [photo_key(photo) for photo in photo_ids]
    if action == "trash":
        return trash.put(tx, photo_ids)
    if action == "tag":
        tx.conn.execute(
            "INSERT INTO tags (tenant_id, category, label) VALUES (%s, '', %s)"
            " ON CONFLICT DO NOTHING",
            [tx.tenant, label],
        )
        sql = (
            "INSERT INTO photo_tags (tenant_id, photo_id, tag_id, source)"
            " SELECT t.tenant_id, id, t.tag_id, 'rule' FROM tags t, unnest(%s::bytea[]) AS id"
            " WHERE t.tenant_id = %s AND t.label = %s"
            " ON CONFLICT DO NOTHING RETURNING encode(photo_id, 'hex')"
        )
        return [photo for (photo,) in tx.conn.execute(sql, [keys, tx.tenant, label])]
    change = {
        "archive": ("archived_at = now()", "archived_at IS NULL"),
        "favourite": ("favourite = true", "NOT favourite"),
    }[action]
    sql = (
        f"UPDATE photos SET {change[0]}, updated_at = now() WHERE tenant_id = %s"
        f" AND photo_id = ANY(%s) AND {change[1]} RETURNING encode(photo_id, 'hex')"
    )
    return [photo for (photo,) in tx.conn.execute(sql.encode(), [tx.tenant, keys])]


def _has_duplicates(tx: Transaction) -> bool:
    row = tx.conn.execute("SELECT to_regclass('duplicate_groups') IS NOT NULL").fetchone()
    return bool(row and row[0])
