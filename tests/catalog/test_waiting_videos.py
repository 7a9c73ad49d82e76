"""Videos whose still never comes let go of their bytes; whatever is referred to stays."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pytest

from photoorg.config import StorageConfig
from photoorg.schema import COMPANION
from photoorg.stages.companions import accept_video, live_video, missing_videos
from photoorg.stages.purging import purge_trash, release_videos, remove_left_blobs
from photoorg.store.catalog import Catalog, blobs, companions, photos, sources, trash
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore
from tests.catalog import rows
from tests.catalog.test_companions import load, video
from tests.livephotos import video as movie

pytestmark = pytest.mark.postgres
T = "a"
DAYS = 30.0


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path)))


def upload(catalog: Catalog, store: ObjectStore, identifier: str = "ONE") -> str:
    data = movie(identifier)
    found = live_video(data, max_seconds=30)
    assert found is not None
    accept_video(catalog, store, T, data, found)
    return found.companion_id


def ingest(catalog: Catalog, store: ObjectStore, uri: str, identifier: str = "ONE") -> str:
    store.write(blob_path(T, rows.photo_id(uri)), b"video")
    load(catalog, f"run of {uri}", {}, [video(uri, uri, identifier)])
    return rows.photo_id(uri)


def age(catalog: Catalog, days: float = DAYS + 1) -> None:
    """As if everything had come so many days earlier."""
    with catalog.tenant(T) as tx:
        for table, column in (("companions", "added_at"), ("companion_sources", "seen_at")):
            tx.conn.execute(
                f"UPDATE {table} SET {column} = {column} - make_interval(secs => %s)",
                [days * 86_400],
            )


def kept(store: ObjectStore) -> set[str]:
    return {path.rsplit("/", 1)[1] for path in store.list(f"{T}/blobs")}


def known(catalog: Catalog, companion_id: str) -> bool:
    with catalog.tenant(T) as tx:
        return companions.exists(tx, companion_id)


def test_only_what_waited_longer_than_the_grace_period_goes(catalog, store):
    old = upload(catalog, store, "OLD")
    age(catalog)
    new = upload(catalog, store, "NEW")
    assert release_videos(catalog, store, T, DAYS) == 1
    assert kept(store) == {new} and not known(catalog, old)
    assert release_videos(catalog, store, T, DAYS) == 0
    with catalog.tenant(T) as tx:
        entries = tx.conn.execute(
            "SELECT action, entity_id FROM audit_log WHERE tenant_id = %s", [T]
        ).fetchall()
    assert entries == [("video.release", old)]


def test_a_video_that_has_its_still_stays_however_old(catalog, store):
    one = upload(catalog, store)
    load(catalog, "still", {"a.jpg": "ONE"})
    age(catalog)
    assert release_videos(catalog, store, T, DAYS) == 0 and kept(store) == {one}


def test_a_video_whose_still_is_in_the_trash_stays(catalog, store):
    one = upload(catalog, store)
    load(catalog, "still", {"a.jpg": "ONE"})
    with catalog.tenant(T) as tx:
        trash.put(tx, [rows.photo_id("a.jpg")])
    age(catalog)
    assert release_videos(catalog, store, T, DAYS) == 0 and kept(store) == {one}


def test_a_still_that_was_not_joined_yet_is_joined_first(catalog, store):
    one = upload(catalog, store)
    load(catalog, "still", {"a.jpg": "ONE"}, pair=False)
    age(catalog)
    assert release_videos(catalog, store, T, DAYS) == 0 and kept(store) == {one}
    with catalog.tenant(T) as tx:
        assert [v.companion_id for v in companions.of_still(tx, rows.photo_id("a.jpg"))] == [one]


def test_a_video_of_a_folder_stays_known_and_joins_by_reference(catalog, store):
    one = ingest(catalog, store, "a.mov")
    age(catalog)
    assert release_videos(catalog, store, T, DAYS) == 1
    assert kept(store) == set() and known(catalog, one)
    assert release_videos(catalog, store, T, DAYS) == 0
    with catalog.tenant(T) as tx:
        assert sources.known(tx, ["a.mov"]) == {"a.mov": "1-1"}
    load(catalog, "still", {"a.jpg": "ONE"})
    with catalog.tenant(T) as tx:
        (found,) = companions.of_still(tx, rows.photo_id("a.jpg"))
    assert found.companion_id == one and not found.stored


def test_seeing_it_again_starts_the_grace_period_anew(catalog, store):
    one = upload(catalog, store)
    age(catalog)
    assert upload(catalog, store) == one
    assert release_videos(catalog, store, T, DAYS) == 0 and kept(store) == {one}


def test_a_blob_that_came_again_is_kept(catalog, store):
    one = upload(catalog, store)
    with catalog.tenant(T) as tx:
        companions.remove(tx, [one])
    assert upload(catalog, store) == one
    assert remove_left_blobs(catalog, store, T) == 0 and kept(store) == {one}
    with catalog.tenant(T) as tx:
        assert blobs.leaving(tx, 10) == []


def test_a_blob_that_is_a_photos_too_is_kept(catalog, store):
    one = upload(catalog, store)
    with catalog.tenant(T) as tx:
        table = rows.photos(rows.photo("same", photo_id=one))
        photos.copy_part(tx, "run", 0, table, rows.rejects())
        companions.remove(tx, [one])
    assert remove_left_blobs(catalog, store, T) == 0 and kept(store) == {one}


class Interrupted(ObjectStore):
    """A store whose process is killed at the first removal."""

    def delete(self, path: str) -> None:
        raise KeyboardInterrupt


def test_what_a_killed_job_left_goes_with_the_next(catalog, store, tmp_path):
    gone = [upload(catalog, store, f"ID-{n}") for n in range(3)]
    age(catalog)
    with pytest.raises(KeyboardInterrupt):
        release_videos(catalog, Interrupted(StorageConfig(root=str(tmp_path))), T, DAYS)
    assert kept(store) == set(gone) and not any(known(catalog, i) for i in gone)
    release_videos(catalog, store, T, DAYS)
    assert kept(store) == set()


def test_more_than_fit_one_round_all_go(catalog, store):
    for number in range(45):
        upload(catalog, store, f"ID-{number}")
    age(catalog)
    assert release_videos(catalog, store, T, DAYS) == 45 and kept(store) == set()


def test_another_tenants_videos_stay(catalog, store):
    upload(catalog, store)
    age(catalog)
    assert release_videos(catalog, store, "b", DAYS) == 0
    assert len(kept(store)) == 1


def test_a_part_loaded_after_its_blob_was_let_go_says_so(catalog, store):
    found = video("a.mov", "a.mov")
    one = found["companion"]["companion_id"]
    part = rows.rejects({k: v for k, v in found.items() if k != "companion"})
    part = part.append_column("companion", pa.array([found["companion"]], COMPANION))
    with catalog.tenant(T) as tx:
        missing = missing_videos(tx, store, part)
        assert missing == {one}
        photos.copy_part(tx, "run", 0, rows.photos(), part, stored=True, missing=missing)
    load(catalog, "still", {"a.jpg": "ONE"})
    with catalog.tenant(T) as tx:
        assert [v.stored for v in companions.of_still(tx, rows.photo_id("a.jpg"))] == [False]
    store.write(blob_path(T, one), b"video")
    with catalog.tenant(T) as tx:
        assert missing_videos(tx, store, part) == set()


def test_emptying_the_trash_takes_the_video_along(catalog, store):
    upload(catalog, store)
    load(catalog, "still", {"a.jpg": "ONE"})
    still = rows.photo_id("a.jpg")
    with catalog.tenant(T) as tx:
        trash.put(tx, [still])
        tx.conn.execute("UPDATE photos SET trashed_at = now() - interval '31 days'")
    assert purge_trash(catalog, store, T, 30.0) == 1
    assert kept(store) == set()
    assert not known(catalog, hashlib.sha256(movie("ONE")).hexdigest())
