"""Duplicates in the catalog: scans, decisions that last, resolving, undoing, the last live copy."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from psycopg import errors

from photoorg.curate.sweep import Summary, preview, sweep
from photoorg.curation_config import DedupConfig
from photoorg.errors import CatalogError, ConflictError, InputError, NotFoundError
from photoorg.store.catalog import Catalog, duplicates, photo_facts, photos, resolutions, trash
from tests.catalog import rows

pytestmark = pytest.mark.postgres
CONFIG = DedupConfig(neighbours=0, looks=0)


def flipped(data: bytes, bits: int) -> bytes:
    number = int.from_bytes(data) ^ ((1 << bits) - 1)
    return number.to_bytes(len(data))


def copies(name: str, count: int, **more: Any) -> list[dict[str, Any]]:
    """A photo and smaller copies of it whose hashes differ in a few bits."""
    first = rows.photo(f"{name}-0.jpg", width=4000, height=3000, size=10_000, **more)
    made = [first]
    for n in range(1, count):
        made.append(
            rows.photo(
                f"{name}-{n}.jpg",
                width=4000 >> n,
                height=3000 >> n,
                size=10_000 >> n,
                pdq=flipped(first["pdq"], n),
                phash=first["phash"],
                **more,
            )
        )
    return made


def load(catalog: Catalog, run: str, *made: dict[str, Any], tenant: str = "a") -> None:
    with catalog.tenant(tenant) as tx:
        photos.copy_part(tx, run, 0, rows.photos(*made), rows.rejects())


def scan(catalog: Catalog, tenant: str = "a") -> Summary:
    return sweep(catalog, tenant, CONFIG)


def groups(catalog: Catalog, status: str = "open") -> list[duplicates.StoredGroup]:
    with catalog.tenant("a") as tx:
        return duplicates.page(tx, status=status)[0]


def ids(*names: str) -> list[str]:
    return [rows.photo_id(f"{name}.jpg") for name in names]


def test_the_largest_copy_is_kept_and_the_reason_says_so(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 3), rows.photo("other.jpg"))
    done = scan(catalog)
    (group,) = groups(catalog)
    assert (done.photos, done.groups, done.duplicates, done.bytes) == (4, 1, 2, 7_500)
    assert group.keeper_id == ids("x-0")[0]
    assert group.reason.startswith("highest resolution (4000 x 3000")
    assert {m.photo_id for m in group.members} == set(ids("x-0", "x-1", "x-2"))
    assert (group.kind, group.reclaimable) == ("copy", 7_500)
    assert all(m.confidence >= CONFIG.confidence and m.evidence for m in group.members)


def test_a_second_scan_keeps_the_groups_and_their_numbers(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 3), *copies("y", 2))
    scan(catalog)
    before = [g.group_id for g in groups(catalog)]
    assert scan(catalog).new_groups == 0
    assert [g.group_id for g in groups(catalog)] == before


def test_tenants_do_not_see_each_other(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 2))
    load(catalog, "r", *copies("x", 1), tenant="b")
    assert (scan(catalog).groups, scan(catalog, "b").groups) == (1, 0)


@pytest.mark.parametrize("distinct", [False, True])
def test_what_was_ignored_comes_back_only_with_a_new_member(
    catalog: Catalog, distinct: bool
) -> None:
    made = copies("x", 4)
    load(catalog, "r", *made[:3])
    scan(catalog)
    with catalog.tenant("a") as tx:
        resolutions.resolve(tx, groups(catalog)[0].group_id, "ignore", distinct=distinct)
    assert scan(catalog).groups == 0
    load(catalog, "s", made[3])
    assert scan(catalog).groups == 1
    (group,) = groups(catalog)
    members = {m.photo_id for m in group.members}
    assert ids("x-3")[0] in members
    # Photos that were called distinct never share a group, not even through a new one.
    assert len(members) == (2 if distinct else 4)


def test_a_stack_keeps_all_photos_and_is_not_suggested_again(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 3))
    scan(catalog)
    with catalog.tenant("a") as tx:
        done = resolutions.resolve(
            tx, groups(catalog)[0].group_id, "stack", keeper_id=ids("x-1")[0]
        )
        assert (done.removed, trash.ids(tx)) == ((), [])
    assert scan(catalog).groups == 0
    assert groups(catalog, "stacked")[0].keeper_id == ids("x-1")[0]


def test_undoing_a_merge_restores_photos_and_metadata(catalog: Catalog) -> None:
    made = copies("x", 3, captured_at=None, captured_source="none", latitude=None, longitude=None)
    made[2] |= {"latitude": 1.5, "longitude": 2.5}
    load(catalog, "r", *made)
    scan(catalog)
    keeper, one, two = (rows.photo_id(f"x-{n}.jpg") for n in range(3))
    with catalog.tenant("a") as tx:
        tx.conn.execute("INSERT INTO albums (tenant_id, name) VALUES ('a', 'Sea'), ('a', 'Sky')")
        tx.conn.execute(
            "INSERT INTO album_photos SELECT 'a', album_id, decode(%s, 'hex') FROM albums", [one]
        )
        tx.conn.execute(
            "INSERT INTO album_photos SELECT 'a', album_id, decode(%s, 'hex') FROM albums"
            " WHERE name = 'Sea'",
            [keeper],
        )
        tx.conn.execute("INSERT INTO tags (tenant_id, label) VALUES ('a', 'dog')")
        tx.conn.execute(
            "INSERT INTO photo_tags SELECT 'a', decode(%s, 'hex'), tag_id FROM tags", [two]
        )
        tx.conn.execute(
            "UPDATE photos SET favourite = true, title = 'Beach'"
            " WHERE photo_id = decode(%s, 'hex')",
            [one],
        )
    # Favourites go first as keepers, so the keeper is named.
    before = facts_of(catalog, keeper)
    with catalog.tenant("a") as tx:
        done = resolutions.resolve(tx, groups(catalog)[0].group_id, "merge", keeper_id=keeper)
        assert sorted(done.removed) == sorted([one, two]) == trash.ids(tx)
    after = facts_of(catalog, keeper)
    assert after == {
        "albums": {"Sea", "Sky"},
        "tags": {"dog"},
        "row": (True, "Beach", None, 1.5, 2.5),
    }
    with catalog.tenant("a") as tx:
        undone = resolutions.undo(tx, done.undo_token)
        assert sorted(undone.restored) == sorted([one, two])
        assert trash.ids(tx) == []
        actions = [a for (a,) in tx.conn.execute("SELECT action FROM audit_log ORDER BY audit_id")]
    assert facts_of(catalog, keeper) == before
    assert actions == ["duplicates.merge", "duplicates.undo"]
    assert groups(catalog)[0].status == "open"
    with catalog.tenant("a") as tx, pytest.raises(ConflictError, match="undone already"):
        resolutions.undo(tx, done.undo_token)


def facts_of(catalog: Catalog, photo_id: str) -> dict[str, Any]:
    with catalog.tenant("a") as tx:
        albums = tx.conn.execute(
            "SELECT name FROM albums JOIN album_photos USING (tenant_id, album_id)"
            " WHERE photo_id = decode(%s, 'hex')",
            [photo_id],
        ).fetchall()
        tags = tx.conn.execute(
            "SELECT label FROM tags JOIN photo_tags USING (tenant_id, tag_id)"
            " WHERE photo_id = decode(%s, 'hex')",
            [photo_id],
        ).fetchall()
        row = tx.conn.execute(
            "SELECT favourite, title, caption, latitude, longitude FROM photos"
            " WHERE photo_id = decode(%s, 'hex')",
            [photo_id],
        ).fetchone()
    return {"albums": {n for (n,) in albums}, "tags": {t for (t,) in tags}, "row": row}


def test_what_a_person_changed_after_a_merge_survives_the_undo(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 2))
    scan(catalog)
    keeper, other = ids("x-0", "x-1")
    with catalog.tenant("a") as tx:
        tx.conn.execute(
            "UPDATE photos SET title = 'Old' WHERE photo_id = decode(%s, 'hex')", [other]
        )
        done = resolutions.resolve(tx, groups(catalog)[0].group_id, "merge")
        tx.conn.execute(
            "UPDATE photos SET title = 'New' WHERE photo_id = decode(%s, 'hex')", [keeper]
        )
        resolutions.undo(tx, done.undo_token)
    assert facts_of(catalog, keeper)["row"][1] == "New"


def test_a_group_is_resolved_once_and_only_by_a_live_member(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 2))
    scan(catalog)
    number = groups(catalog)[0].group_id
    with catalog.tenant("a") as tx:
        with pytest.raises(InputError, match="no live member"):
            resolutions.resolve(tx, number, "merge", keeper_id="0" * 64)
        with pytest.raises(InputError, match="no one to keep"):
            resolutions.resolve(tx, number, "ignore", keeper_id="0" * 64)
        with pytest.raises(NotFoundError):
            resolutions.resolve(tx, number + 1, "merge")
        resolutions.resolve(tx, number, "merge")
        with pytest.raises(ConflictError, match="merged already"):
            resolutions.resolve(tx, number, "merge")
        with pytest.raises(NotFoundError):
            resolutions.undo(tx, "made-up")


def test_the_keeper_of_a_merge_cannot_be_trashed_by_anyone(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 2))
    scan(catalog)
    with catalog.tenant("a") as tx:
        done = resolutions.resolve(tx, groups(catalog)[0].group_id, "merge")
    with pytest.raises(ConflictError, match="last live copy"):
        with catalog.tenant("a") as tx:
            trash.put(tx, ids("x-0"))
    with catalog.tenant("a") as tx:
        resolutions.undo(tx, done.undo_token)
        assert trash.put(tx, ids("x-0")) == ids("x-0")


def test_two_merges_at_once_never_trash_both_copies(catalog: Catalog) -> None:
    """Raw statements, without the locks of the code: the triggers alone hold."""
    for round_ in range(6):
        name = f"x{round_}"
        load(catalog, f"r{round_}", *copies(name, 2))
        a, b = (bytes.fromhex(i) for i in ids(f"{name}-0", f"{name}-1"))

        def merge(pair: tuple[bytes, bytes], name: str = name) -> bool:
            gone, kept = pair
            try:
                with catalog.tenant("a") as tx:
                    token = f"{name}-{gone.hex()}"
                    tx.conn.execute(
                        "WITH g AS (INSERT INTO duplicate_groups (tenant_id, signature, kind,"
                        " confidence, keeper_id, reason, bytes, members) VALUES ('a', %s, 'copy',"
                        " 1, %s, '', 0, 2) RETURNING group_id) INSERT INTO duplicate_resolutions"
                        " (tenant_id, undo_token, group_id, action, actor)"
                        " SELECT 'a', %s, group_id, 'merge', 'test' FROM g",
                        [gone[:16], kept, token],
                    )
                    tx.conn.execute(
                        "INSERT INTO duplicate_trashed VALUES ('a', %s, %s, %s)",
                        [gone, kept, token],
                    )
                    tx.conn.execute(
                        "UPDATE photos SET trashed_at = now() WHERE tenant_id = 'a'"
                        " AND photo_id = %s",
                        [gone],
                    )
            except (CatalogError, ConflictError, errors.Error):
                return False
            return True

        with ThreadPoolExecutor(2) as pool:
            done = list(pool.map(merge, [(a, b), (b, a)]))
        assert sorted(done) == [False, True]
    with catalog.tenant("a") as tx:
        assert len(trash.ids(tx)) == 6


def test_a_chain_of_merges_cannot_lose_the_copy_in_the_middle(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 2))
    scan(catalog)
    with catalog.tenant("a") as tx:
        resolutions.resolve(tx, groups(catalog)[0].group_id, "merge")
    load(
        catalog,
        "s",
        rows.photo(
            "better.jpg",
            width=8000,
            height=6000,
            pdq=copies("x", 1)[0]["pdq"],
            phash=copies("x", 1)[0]["phash"],
        ),
    )
    scan(catalog)
    (group,) = groups(catalog)
    assert group.keeper_id == ids("better")[0]
    with catalog.tenant("a") as tx, pytest.raises(ConflictError, match="last live copy"):
        resolutions.resolve(tx, group.group_id, "merge")
    with catalog.tenant("a") as tx:
        assert trash.ids(tx) == ids("x-1")


def test_the_preview_counts_what_a_scan_would_suggest_and_writes_nothing(catalog: Catalog) -> None:
    load(catalog, "r", *copies("x", 3), *copies("y", 2))
    done = scan(catalog)
    with catalog.tenant("a") as tx:
        before = tx.conn.execute("SELECT count(*), max(group_id) FROM duplicate_groups").fetchone()
        low, same, high = preview(tx, CONFIG, [0.3, CONFIG.confidence, 1.0])
        after = tx.conn.execute("SELECT count(*), max(group_id) FROM duplicate_groups").fetchone()
    assert (same.groups, same.photos, same.bytes) == (done.groups, done.duplicates, done.bytes)
    assert low.photos >= same.photos >= high.photos == 0
    assert before == after


def test_pages_follow_each_other_without_gaps(catalog: Catalog) -> None:
    load(catalog, "r", *(photo for n in range(7) for photo in copies(f"p{n}", 2)))
    scan(catalog)
    seen, cursor = [], None
    with catalog.tenant("a") as tx:
        while True:
            found, cursor = duplicates.page(tx, after=cursor, limit=3)
            seen += [g.group_id for g in found]
            if cursor is None:
                break
        with pytest.raises(InputError, match="cursor"):
            duplicates.page(tx, after="x!")
    assert len(seen) == len(set(seen)) == 7


def test_bursts_are_told_from_copies(catalog: Catalog) -> None:
    shots = copies("x", 2, model="One", captured_source="exif_local")
    shots[1] |= {"captured_at": rows.WHEN + timedelta(seconds=1), "width": 4000, "height": 3000}
    load(catalog, "r", *shots)
    scan(catalog)
    assert [g.kind for g in groups(catalog)] == ["burst"]


def test_featureless_photos_and_an_empty_library_give_nothing(catalog: Catalog) -> None:
    assert scan(catalog).to_dict()["groups"] == 0
    black = [rows.photo(f"{n}", pdq=bytes(32), phash=bytes(8), pdq_quality=0) for n in range(50)]
    load(catalog, "r", *black)
    assert scan(catalog).candidates == 0
    with catalog.tenant("a") as tx:
        assert [e.groups for e in preview(tx, CONFIG, [0.5])] == [0]
        assert duplicates.counts(tx)["groups"] == {}


def test_ten_thousand_identical_pictures_are_one_group(catalog: Catalog) -> None:
    hashes = {"pdq": rows.photo("x")["pdq"], "phash": rows.photo("x")["phash"]}
    load(catalog, "r", *(rows.photo(f"{n}.jpg", **hashes) for n in range(10_000)))
    found = scan(catalog)
    assert (found.groups, found.duplicates, found.pairs) == (1, 9_999, 9_999)
    with catalog.tenant("a") as tx:
        assert [(e.groups, e.photos) for e in preview(tx, CONFIG, [0.9])] == [(1, 9_999)]


def test_facts_tell_unknown_from_zero(catalog: Catalog) -> None:
    load(
        catalog,
        "r",
        rows.photo("bare", pdq=None, phash=None, captured_at=None, model=None, quality=None),
        rows.photo("whole", model="One", software="Adobe Photoshop 25", mime="image/heic"),
    )
    with catalog.tenant("a") as tx:
        found = {row["photo_id"].tobytes().hex(): row for row in photo_facts.read(tx)}
    assert len(found) == 2
    bare, whole = found[rows.photo_id("bare")], found[rows.photo_id("whole")]
    assert bare["pdq_quality"] == -1
    assert bare["taken"] != bare["taken"]
    assert bare["quality"] != bare["quality"]
    assert (bare["camera"], bare["original"]) == (0, False)
    assert whole["camera"] != 0
    assert not whole["original"]
    assert whole["taken"] == rows.WHEN.timestamp()
    assert photo_facts.MIMES[whole["mime"]] == "image/heic"
