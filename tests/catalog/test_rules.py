"""Rules over a real catalog: tried, run, taken back."""

from typing import Any

import pytest

from photoorg.curate.rule_runs import Outcome, run_rules, undo_rule
from photoorg.curate.rules import parse_rules
from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.models import PhotoTag
from photoorg.store.catalog import Catalog, photos, rules, tags, trash
from tests.catalog import rows

pytestmark = pytest.mark.postgres
POOR = {"field": "quality", "below": 0.3}


def load(catalog: Catalog, *made: dict[str, Any]) -> None:
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    made = [rows.photo(f"file:///p/{n}.jpg", n, quality=n / 10) for n in range(10)]
    load(catalog, *made)
    return catalog


def run(catalog: Catalog, when: Any, then: str, dry_run: bool = False, **more: Any) -> Outcome:
    book = parse_rules({"name": "rule", "when": when, "then": then, **more})
    with catalog.tenant("a") as tx:
        (outcome,) = run_rules(tx, book, "test", dry_run=dry_run)
    return outcome


def matching(catalog: Catalog, when: Any) -> set[str]:
    return set(run(catalog, when, "favourite", dry_run=True).examples)


def ids(*numbers: int) -> set[str]:
    return {rows.photo_id(n) for n in numbers}


def state(catalog: Catalog) -> list[tuple[Any, ...]]:
    with catalog.tenant("a") as tx:
        return (
            tx.conn.execute(
                "SELECT photo_id, archived_at IS NULL, trashed_at IS NULL, favourite FROM photos"
                " ORDER BY photo_id"
            ).fetchall()
            + tx.conn.execute(
                "SELECT photo_id, label, source FROM photo_tags JOIN tags USING (tenant_id, tag_id)"
                " ORDER BY photo_id, label"
            ).fetchall()
        )


@pytest.mark.parametrize("then", ["archive", "trash", "favourite", "tag"])
def test_a_dry_run_tells_what_a_run_does_and_undo_puts_it_back(library, then):
    more = {"label": "poor"} if then == "tag" else {}
    before = state(library)
    tried = run(library, POOR, then, dry_run=True, **more)
    assert (tried.photos, tried.bytes, tried.run_id) == (3, 3000, None)
    assert state(library) == before
    done = run(library, POOR, then, **more)
    assert (done.photos, set(done.examples)) == (3, ids(0, 1, 2))
    assert state(library) != before
    assert run(library, POOR, then, **more).photos == 0
    with library.tenant("a") as tx:
        assert undo_rule(tx, done.run_id, "test") == ("rule", 3)
    assert state(library) == before
    with library.tenant("a") as tx, pytest.raises(ConflictError, match="already"):
        undo_rule(tx, done.run_id, "test")


def test_undo_leaves_alone_what_was_so_before_and_what_was_changed_since(library):
    with library.tenant("a") as tx:
        tx.conn.execute(
            "UPDATE photos SET favourite = true WHERE photo_id = decode(%s, 'hex')",
            [rows.photo_id(0)],
        )
    done = run(library, POOR, "favourite")
    assert done.photos == 2
    with library.tenant("a") as tx:
        undo_rule(tx, done.run_id, "test")
    assert matching(library, {"field": "favourite", "is": False}) == ids(*range(1, 10))


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        ({"field": "quality", "above": 0.7}, {8, 9}),
        ({"field": "quality", "is": 0.5}, {5}),
        ({"field": "quality", "above": 0.2, "below": 0.5}, {3, 4}),
        ({"field": "filename", "is": "3.JPG"}, {3}),
        ({"field": "filename", "contains": "%"}, set()),
        ({"field": "uri", "starts": "file:///p/1"}, {1}),
        ({"not": {"field": "quality", "above": 0.15}}, {0, 1}),
        ({"any": [{"field": "quality", "is": 0.1}, {"field": "filename", "is": "7.jpg"}]}, {1, 7}),
        ({"all": [POOR, {"field": "quality", "above": 0.05}]}, {1, 2}),
        ({"field": "captured_at", "before": "2024-01-01T00:00:00Z"}, set()),
        ({"field": "captured_at", "after": "2024-01-01T00:00:00Z"}, set(range(10))),
        ({"field": "megapixels", "below": 0.1}, set()),
        ({"field": "nsfw", "above": 0.0}, set()),
        ({"field": "tag", "is": "beach"}, set()),
        ({"field": "located"}, set(range(10))),
        ({"field": "in_album"}, set()),
        ({"field": "anomaly", "above": 0.5}, set()),
    ],
)
def test_conditions_choose_the_photos_they_say(library, when, expected):
    assert matching(library, when) == ids(*expected)


def test_text_of_a_rule_never_becomes_part_of_a_query(library):
    nasty = "x'; DROP TABLE photos; --"
    assert matching(library, {"field": "filename", "contains": nasty}) == set()
    assert run(library, POOR, "tag", label=nasty).photos == 3
    assert matching(library, {"field": "tag", "is": nasty}) == ids(0, 1, 2)


def test_a_rule_gives_a_known_tag_but_not_where_a_person_took_it_off(library):
    with library.tenant("a") as tx:
        tags.replace(tx, {rows.photo_id(0): [PhotoTag("poor", "mood", 0.5)]})
        tags.add(tx, "ann", rows.photo_id(1), "poor")
        tags.remove(tx, "ann", rows.photo_id(1), "poor")
    tried = run(library, POOR, "tag", dry_run=True, label=" Poor")
    done = run(library, POOR, "tag", label=" Poor")
    assert tried.examples == done.examples == (rows.photo_id(2),)
    assert matching(library, {"field": "tag", "is": "poor"}) == ids(0, 2)
    assert done.run_id is not None
    with library.tenant("a") as tx:
        assert undo_rule(tx, done.run_id, "test") == ("rule", 1)
    assert matching(library, {"field": "tag", "is": "poor"}) == ids(0)


def test_photos_in_the_trash_are_out_of_reach(library):
    with library.tenant("a") as tx:
        trash.put(tx, [rows.photo_id(0)])
    assert matching(library, POOR) == ids(1, 2)


def test_one_tenant_does_not_reach_another(library):
    book = parse_rules({"name": "all", "when": {"field": "width", "above": 0}, "then": "trash"})
    with library.tenant("b") as tx:
        (outcome,) = run_rules(tx, book, "test", dry_run=False)
        assert (outcome.photos, rules.page(tx)) == (0, ([], None))
        with pytest.raises(NotFoundError):
            undo_rule(tx, 1, "test")


def test_runs_are_listed_the_latest_first(library):
    run(library, POOR, "archive")
    run(library, {"field": "quality", "above": 0.7}, "favourite")
    with library.tenant("a") as tx:
        first, cursor = rules.page(tx, limit=1)
        rest, end = rules.page(tx, before=cursor, limit=1)
    assert [(r.action, r.photos) for r in first + rest] == [("favourite", 2), ("archive", 3)]
    assert end is None and first[0].rule["when"]["above"] == 0.7


def has_duplicates(catalog: Catalog) -> bool:
    with catalog.tenant("a") as tx:
        row = tx.conn.execute("SELECT to_regclass('duplicate_groups') IS NOT NULL").fetchone()
    return bool(row and row[0])


def test_keepers_of_duplicates_are_never_trashed(library):
    if not has_duplicates(library):
        with pytest.raises(InputError, match="duplicates"):
            run(library, {"field": "near_duplicate"}, "archive")
        return
    group(library, 1, [0, 1, 2])
    group(library, 2, [2, 5])
    archived = run(library, {"field": "near_duplicate"}, "archive", dry_run=True)
    assert set(archived.examples) == ids(0, 5)
    trashed = run(library, {"field": "width", "above": 0}, "trash")
    assert (trashed.photos, trashed.kept) == (8, 2)
    with library.tenant("a") as tx:
        assert set(trash.ids(tx)) == ids(0, *range(3, 10))


def group(catalog: Catalog, keeper: int, members: list[int]) -> None:
    with catalog.tenant("a") as tx:
        (number,) = tx.conn.execute(
            "INSERT INTO duplicate_groups (tenant_id, signature, kind, confidence, keeper_id,"
            " reason, bytes, members) VALUES ('a', decode(%s, 'hex'), 'copy', 0.9,"
            " decode(%s, 'hex'), 'larger', 1, 2) RETURNING group_id",
            [rows.photo_id(f"g{keeper}"), rows.photo_id(keeper)],
        ).fetchone()
        for member in members:
            tx.conn.execute(
                "INSERT INTO duplicate_members (tenant_id, group_id, photo_id, kind, confidence,"
                " evidence) VALUES ('a', %s, decode(%s, 'hex'), 'copy', 0.9, '{}')",
                [number, rows.photo_id(member)],
            )


def test_undo_keeps_a_tag_that_a_person_gave_too_and_trash_of_later(library):
    tagged = run(library, POOR, "tag", label="poor")
    trashed = run(library, {"field": "quality", "above": 0.75}, "trash")
    with library.tenant("a") as tx:
        assert tags.add(tx, "anna", rows.photo_id(1), "poor")
    with library.tenant("a") as tx:
        trash.restore(tx, [rows.photo_id(8)])
    with library.tenant("a") as tx:
        trash.put(tx, [rows.photo_id(8)])
    with library.tenant("a") as tx:
        assert undo_rule(tx, tagged.run_id, "test")[1] == 2
        assert undo_rule(tx, trashed.run_id, "test")[1] == 1
        assert trash.ids(tx) == [rows.photo_id(8)]
        kept = tags.of_photos(tx, [rows.photo_id(1)])[rows.photo_id(1)]
    assert [(t.label, t.source) for t in kept] == [("poor", "user")]
