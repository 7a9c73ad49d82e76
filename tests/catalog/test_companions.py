"""Videos of live photos in the catalog: they wait for their still, join it, and go with it."""

from typing import Any

import pyarrow as pa
import pytest

from photoorg.schema import COMPANION, LIVE_VIDEO
from photoorg.stages.companions import join, pair_videos
from photoorg.store.catalog import (
    Catalog,
    companions,
    pairs,
    photos,
    rejects,
    runs,
    sources,
    trash,
)
from photoorg.store.catalog.runs import Totals
from tests.catalog import rows

pytestmark = pytest.mark.postgres
VIDEO = rows.photo_id("the video")


def video(uri: str, content: str = "the video", identifier: str = "ONE") -> dict[str, Any]:
    row = rows.failure(uri, "pair") | {"code": LIVE_VIDEO}
    found = {
        "companion_id": rows.photo_id(content),
        "content_id": identifier,
        "mime": "video/quicktime",
        "size": 10,
        "duration_s": 2.5,
    }
    return row | {"companion": found}


def load(
    catalog: Catalog,
    run: str,
    stills: dict[str, str | None],
    videos: list[dict[str, Any]] | None = None,
    *,
    etag: str = "1-1",
    pair: bool = True,
    tenant: str = "a",
) -> None:
    made = rows.photos(*(rows.photo(uri, content_id=i, etag=etag) for uri, i in stills.items()))
    bad = rows.rejects(*({k: v for k, v in r.items() if k != "companion"} for r in videos or []))
    if videos:
        bad = bad.append_column(
            "companion", pa.array([r.get("companion") for r in videos], COMPANION)
        )
    keys = rows.keys(*stills, *(r["key"] for r in videos or []), etag=etag)
    with catalog.tenant(tenant) as tx:
        photos.copy_part(tx, run, 0, made, bad, keys=keys, stored=True)
    if pair:
        pair_videos(catalog, tenant)


def kinds(catalog: Catalog, still: str) -> list[tuple[str, str, str]]:
    with catalog.tenant("a") as tx:
        found = pairs.of_photo(tx, rows.photo_id(still))
    assert all(pair.evidence and pair.confidence > 0.9 for pair in found)
    return [(p.kind, p.first_id, p.second_id) for p in found]


def counted(catalog: Catalog, *uris: str) -> Totals:
    with catalog.tenant("a") as tx:
        return runs.totals(tx, uris)


JOINED = [("live_photo", rows.photo_id("a.jpg"), VIDEO)]


def test_still_and_video_of_one_part_are_a_photo_and_a_further_file_of_it(
    catalog: Catalog,
) -> None:
    load(catalog, "run", {"a.jpg": "ONE", "b.jpg": None}, [video("a.mov"), rows.failure("x.txt")])
    assert kinds(catalog, "a.jpg") == JOINED and kinds(catalog, "b.jpg") == []
    found = counted(catalog, "a.jpg", "b.jpg", "a.mov", "x.txt")
    assert found == Totals(photos=2, duplicates=1, rejects=1, live_videos=1)
    assert found.files == 4
    with catalog.tenant("a") as tx:
        assert sources.known(tx, ["a.mov"]) == {"a.mov": "1-1"}
        assert [r.key for r in rejects.page(tx)[0]] == ["x.txt"]


def test_a_video_waits_as_a_reject_until_its_still_comes(catalog: Catalog) -> None:
    load(catalog, "first", {"other.jpg": "TWO"}, [video("a.mov")])
    waiting = counted(catalog, "other.jpg", "a.mov")
    assert waiting == Totals(photos=1, duplicates=0, rejects=1, waiting_videos=1)
    load(catalog, "second", {"a.jpg": "ONE"})
    assert kinds(catalog, "a.jpg") == JOINED
    assert counted(catalog, "a.jpg", "a.mov").live_videos == 1


def test_a_still_that_came_before_its_video_and_another_tenants_still(catalog: Catalog) -> None:
    load(catalog, "first", {"a.jpg": "ONE"}, tenant="b")
    load(catalog, "second", {}, [video("a.mov")])
    assert counted(catalog, "a.mov").rejects == 1
    load(catalog, "third", {"a.jpg": "ONE"}, pair=False)
    with catalog.tenant("a") as tx:
        assert join(tx, rows.photo_id("a.jpg")) == 1, "as after an upload"
    assert kinds(catalog, "a.jpg") == JOINED


def test_a_killed_job_and_a_forced_one_change_nothing(catalog: Catalog) -> None:
    load(catalog, "run", {"a.jpg": "ONE"}, [video("a.mov")], pair=False)
    load(catalog, "run", {"a.jpg": "ONE"}, [video("a.mov")])
    assert pair_videos(catalog, "a") == 0
    before = counted(catalog, "a.jpg", "a.mov")
    load(catalog, "forced", {"a.jpg": "ONE"}, [video("a.mov")])
    assert counted(catalog, "a.jpg", "a.mov") == before
    assert before == Totals(photos=1, duplicates=1, rejects=0, live_videos=1)
    assert kinds(catalog, "a.jpg") == JOINED


def test_the_video_goes_with_its_last_still_and_stays_forgotten(catalog: Catalog) -> None:
    load(catalog, "run", {"a.jpg": "ONE", "edited.jpg": "ONE"}, [video("a.mov")])
    assert len(kinds(catalog, "edited.jpg")) == 1
    with catalog.tenant("a") as tx:
        photos.delete(tx, rows.photo_id("edited.jpg"))
        assert companions.exists(tx, VIDEO)
        assert companions.leave(tx, rows.photo_id("a.jpg")) == [VIDEO]
        photos.delete(tx, rows.photo_id("a.jpg"))
        assert not companions.exists(tx, VIDEO)
        assert sources.known(tx, ["a.mov", "a.jpg"]) == {"a.mov": "1-1", "a.jpg": "1-1"}
    assert counted(catalog, "a.mov", "a.jpg").files == 0


def test_the_trash_and_back_keeps_both(catalog: Catalog) -> None:
    load(catalog, "run", {"a.jpg": "ONE"}, [video("a.mov")])
    with catalog.tenant("a") as tx:
        trash.put(tx, [rows.photo_id("a.jpg")])
        trash.restore(tx, [rows.photo_id("a.jpg")])
    assert kinds(catalog, "a.jpg") == JOINED


def test_two_copies_of_a_video_are_one_companion(catalog: Catalog) -> None:
    load(catalog, "run", {"a.jpg": "ONE"}, [video("a.mov"), video("copy/a.mov")])
    assert kinds(catalog, "a.jpg") == JOINED
    found = counted(catalog, "a.jpg", "a.mov", "copy/a.mov")
    assert found == Totals(photos=1, duplicates=2, rejects=0, live_videos=2)


def test_a_file_that_is_another_one_now_is_no_video_any_more(catalog: Catalog) -> None:
    load(catalog, "run", {"a.jpg": "ONE"}, [video("a.mov")])
    load(catalog, "later", {"a.mov": None}, etag="2-2")
    found = counted(catalog, "a.jpg", "a.mov")
    assert found == Totals(photos=2, duplicates=0, rejects=0)
