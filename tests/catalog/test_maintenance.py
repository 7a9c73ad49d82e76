"""Upkeep of people, the emptying of the trash, and the report on a library's health."""

from __future__ import annotations

import pytest

from photoorg.config import StorageConfig
from photoorg.curate.people import People
from photoorg.curate.people_upkeep import tidy_people
from photoorg.curation_config import PeopleConfig
from photoorg.stages.purging import purge_trash
from photoorg.store.catalog import Catalog, faces_of_people, people, photos, trash, wellbeing
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore
from tests.catalog import rows
from tests.catalog.portraits import SPACE, T, agree, groups, load, portraits

pytestmark = pytest.mark.postgres
CONFIG = PeopleConfig(device="cpu")


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path)))


def clustered(catalog: Catalog) -> None:
    agree(catalog)
    load(catalog, "r1", *portraits(1, 8), *portraits(2, 6), *portraits(3, 5))
    People(catalog, T, CONFIG, "test").cluster()


def test_without_faces_there_is_nothing_to_tidy(catalog):
    assert tidy_people(catalog, T, CONFIG, "test") is None


def test_tidying_right_after_a_clustering_changes_nothing(catalog):
    clustered(catalog)
    before = groups(catalog)
    done = tidy_people(catalog, T, CONFIG, "test")
    assert done is not None and (done.clusters, done.clusters_removed, done.moved) == (3, 0, 0)
    assert not done.stale and groups(catalog) == before


def test_centres_covers_and_empty_clusters_follow_the_faces(catalog):
    clustered(catalog)
    with catalog.tenant(T) as tx:
        entries, _ = photos.page(tx, limit=100)
        gone = [p.photo_id for p in entries if p.filename.startswith("p3-")]
        trash.put(tx, gone)
        cover = [p.photo_id for p in entries if p.filename.startswith("p1-")]
        first = next(p for p in people.page(tx)[0] if p.cover_photo in cover)
        trash.put(tx, [first.cover_photo])
    done = tidy_people(catalog, T, CONFIG, "test")
    assert done is not None and (done.clusters, done.clusters_removed) == (2, 1)
    assert done.moved >= 1
    with catalog.tenant(T) as tx:
        assert {c.size for c in faces_of_people.clusters(tx, SPACE)} == {7, 6}
        after = people.get(tx, first.person_id)
    assert after.cover_photo != first.cover_photo and after.cover_photo in cover


def test_many_new_faces_make_people_stale(catalog):
    clustered(catalog)
    load(catalog, "r2", *portraits(1, 7, seed=9))
    People(catalog, T, CONFIG, "test").place_waiting()
    done = tidy_people(catalog, T, CONFIG, "test")
    assert done is not None and done.stale
    People(catalog, T, CONFIG, "test").cluster()
    again = tidy_people(catalog, T, CONFIG, "test")
    assert again is not None and not again.stale


def test_only_what_lay_long_enough_in_the_trash_is_purged_with_its_files(catalog, store):
    with catalog.tenant(T) as tx:
        table = rows.photos(*(rows.photo(f"{i}.jpg") for i in range(3)))
        photos.copy_part(tx, "r", 0, table, rows.rejects())
        old, new, live = (p.photo_id for p in photos.page(tx, limit=10)[0])
        trash.put(tx, [old, new])
        tx.conn.execute(
            "UPDATE photos SET trashed_at = now() - interval '31 days'"
            " WHERE tenant_id = %s AND photo_id = %s",
            [T, bytes.fromhex(old)],
        )
    for photo in (old, new, live):
        store.write(blob_path(T, photo), b"x")
        store.write(thumb_path(T, photo), b"x")
    assert purge_trash(catalog, store, T, 30.0) == 1
    assert purge_trash(catalog, store, T, 30.0) == 0
    with catalog.tenant(T) as tx:
        assert trash.ids(tx) == [new] and photos.get(tx, old) is None
    left = [store.exists(path(T, p)) for p in (old, new, live) for path in (blob_path, thumb_path)]
    assert left == [False, False, True, True, True, True]


def test_health_counts_and_tells_what_to_do(catalog):
    with catalog.tenant(T) as tx:
        empty = wellbeing.report(tx)
        assert empty["photos"] == {} and empty["problems"] == []
        photos.copy_part(tx, "r", 0, rows.photos(rows.photo("1.jpg")), rows.rejects())
        found = wellbeing.report(tx)
    assert sum(found["photos"].values()) == 1 and found["indexes_active"] == 0
    assert any("index build" in problem for problem in found["problems"])
