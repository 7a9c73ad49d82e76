"""Run parts into the catalog: once, whole, whatever their rows hold."""

import math
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import numpy as np
import pytest

from photoorg.errors import InputError
from photoorg.models import Photo
from photoorg.store.catalog import Catalog, faces, photos, runs, sources
from photoorg.store.layout import blob_path
from tests.catalog import rows
from tests.threads import at_once

pytestmark = pytest.mark.postgres
NONE = rows.rejects()


def load(catalog: Catalog, part: int, *made: dict[str, Any], **more: Any) -> None:
    rejects = more.pop("rejects", NONE)
    run = more.pop("run", "run")
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, run, part, rows.photos(*made), rejects, **more)


def one(catalog: Catalog, content: object) -> Photo:
    with catalog.tenant("a") as tx:
        found = photos.get(tx, rows.photo_id(content))
    assert found is not None
    return found


def test_a_photo_comes_back_as_it_was_written(catalog: Catalog) -> None:
    row = rows.photo("file:///p/IMG 1.jpg", altitude_m=-3.5, iso=100, subsec="042", lens="50 mm")
    load(catalog, 0, row)
    photo = one(catalog, row["uri"])
    assert (photo.tenant, photo.uri, photo.mime) == ("a", row["uri"], "image/jpeg")
    assert (photo.size, photo.width, photo.height, photo.status) == (1000, 640, 480, "ready")
    assert photo.exif.captured_at == rows.WHEN and photo.exif.captured_source == "offset"
    assert (photo.exif.latitude, photo.exif.altitude_m, photo.exif.iso) == (52.5, -3.5, 100)
    assert (photo.exif.subsec, photo.exif.lens, photo.exif.software) == ("042", "50 mm", None)
    assert photo.hashes is not None and photo.hashes.pdq == row["pdq"]
    assert photo.quality is not None and photo.quality.score == 0.5
    assert photo.has_thumbnail and photo.decoder == "test/1"


def test_stages_that_did_not_run_leave_hashes_and_quality_unknown(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("u", pdq=None, quality=None, captured_source=None))
    photo = one(catalog, "u")
    assert (photo.hashes, photo.quality, photo.exif.captured_source) == (None, None, "none")


@pytest.mark.parametrize(
    ("column", "written", "read"),
    [
        ("make", "Ma\0ker\0", "Maker"),
        ("model", "", ""),
        ("model", 'quotes "and", commas\nand lines\r\n\\N \\.', None),
        ("lens", "日本語 \U0001f4f7 é é ‮ \ufeff", None),
        ("software", "\\x41", None),
        ("latitude", math.nan, None),
        ("longitude", math.inf, None),
        ("latitude", -0.0, -0.0),
        ("exposure_s", 1 / 8000, 1 / 8000),
        ("captured_at", datetime(1826, 6, 1, tzinfo=UTC), None),
        ("captured_at", datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), None),
        ("captured_at", datetime(2199, 1, 1, tzinfo=UTC), None),
        ("captured_at", datetime(9999, 12, 31, 23, 59, tzinfo=UTC), None),
        ("captured_offset_minutes", -570, -570),
    ],
)
def test_odd_values_survive_or_become_null(
    catalog: Catalog, column: str, written: Any, read: Any
) -> None:
    load(catalog, 0, rows.photo("u", **{column: written}))
    unchanged = isinstance(written, str | datetime) and read is None
    far = isinstance(written, datetime) and written.year == 9999
    expected = written if unchanged and not far else read
    assert getattr(one(catalog, "u").exif, column) == expected


def test_uris_with_nul_odd_letters_and_great_length_are_kept_apart(catalog: Catalog) -> None:
    long = "file:///" + "x" * 5000
    made = [
        rows.photo(u) for u in (long + "1", long + "2", "file:///\0nul", "s3://b/%41 ü\U0001f600")
    ]
    load(catalog, 0, *made)
    with catalog.tenant("a") as tx:
        known = sources.known(tx, [row["uri"] for row in made])
    assert len(known) == 4
    assert one(catalog, long + "2").uri == long + "2"


def test_the_same_part_twice_changes_nothing(catalog: Catalog) -> None:
    for _ in range(2):
        load(catalog, 0, rows.photo("1"), rows.photo("2"), rejects=rows.rejects(rows.failure("3")))
    with catalog.tenant("a") as tx:
        assert photos.count(tx) == 2
        assert runs.loaded_parts(tx, "run") == {0}
        assert runs.totals(tx, "123") == runs.Totals(2, 0, 1)


def test_a_part_that_fails_half_way_leaves_nothing(catalog: Catalog) -> None:
    good = rows.photos(rows.photo("1"))
    with pytest.raises(RuntimeError), catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, good, NONE)
        raise RuntimeError("the job was killed here")
    with catalog.tenant("a") as tx:
        assert photos.count(tx) == 0 and runs.loaded_parts(tx, "run") == set()


def test_parts_that_share_photos_load_at_the_same_time(catalog: Catalog) -> None:
    table = rows.photos(*(rows.photo(str(i)) for i in range(300)))

    def work(part: int) -> None:
        mixed = table.take(np.random.default_rng(part).permutation(300))
        with catalog.tenant("a") as tx:
            photos.copy_part(tx, "run", part % 4, mixed, NONE)

    at_once(*(partial(work, part) for part in range(8)))
    with catalog.tenant("a") as tx:
        assert photos.count(tx) == 300
        assert runs.loaded_parts(tx, "run") == {0, 1, 2, 3}


def test_a_later_run_of_one_stage_keeps_what_the_others_found(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("u", faces=[rows.face(1)]))
    bare = {"captured_source": None, "pdq": None, "has_thumbnail": False, "faces": None}
    load(catalog, 0, rows.photo("u", **bare, quality=0.9), run="second")
    photo = one(catalog, "u")
    assert photo.quality is not None and photo.quality.score == pytest.approx(0.9)
    assert photo.hashes is not None and photo.exif.make == "Maker" and photo.has_thumbnail
    with catalog.tenant("a") as tx:
        assert len(faces.of_photo(tx, photo.photo_id)) == 1


def test_faces_are_stored_with_their_vectors_and_replaced_by_a_new_detection(
    catalog: Catalog,
) -> None:
    face = rows.face(7)
    load(catalog, 0, rows.photo("u", faces=[face, rows.face(8)]), face_space="faces-1")
    with catalog.tenant("a") as tx:
        found = faces.of_photo(tx, rows.photo_id("u"))
    assert len(found) == 2
    assert found[0].box == pytest.approx((0.1, 0.2, 0.3, 0.4))
    assert len(found[0].landmarks) == 5 and found[0].landmarks[4] == pytest.approx((0.8, 0.9))
    np.testing.assert_array_equal(found[0].embedding, face["embedding"].astype(np.float32))
    load(catalog, 0, rows.photo("u", faces=[]), run="second")
    with catalog.tenant("a") as tx:
        assert faces.of_photo(tx, rows.photo_id("u")) == []


def test_a_partial_photo_says_which_stage_failed_and_a_better_run_clears_it(
    catalog: Catalog,
) -> None:
    load(catalog, 0, rows.photo("u", status="partial", failures=[rows.failure("u")]))
    photo = one(catalog, "u")
    with catalog.tenant("a") as tx:
        assert [f.stage for f in photos.failures(tx, photo.photo_id)] == ["embed"]
    load(catalog, 0, rows.photo("u"), run="second")
    assert one(catalog, "u").status == "ready"
    with catalog.tenant("a") as tx:
        assert photos.failures(tx, photo.photo_id) == []


def test_known_files_are_those_that_need_no_second_look(catalog: Catalog) -> None:
    load(
        catalog,
        0,
        rows.photo("good"),
        rows.photo("again", status="partial", failures=[rows.failure("again", retryable=True)]),
        rows.photo("part", status="partial", failures=[rows.failure("part")]),
        rejects=rows.rejects(rows.failure("broken"), rows.failure("offline", retryable=True)),
        keys=rows.keys("good", "again", "part", "broken", "offline"),
    )
    with catalog.tenant("a") as tx:
        known = sources.known(tx, ["good", "again", "part", "broken", "offline", "new"])
    assert known == {"good": "1-1", "part": "1-1", "broken": "1-1"}


def test_bytes_are_found_where_they_are(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("file:///here.jpg"))
    load(catalog, 1, rows.photo("s3://bucket/copied.jpg"), stored=True)
    with catalog.tenant("a") as tx:
        here, copied = rows.photo_id("file:///here.jpg"), rows.photo_id("s3://bucket/copied.jpg")
        assert photos.blob_of(tx, here) == "file:///here.jpg"
        assert photos.blob_of(tx, copied) == blob_path("a", copied)
        assert photos.blob_of(tx, rows.photo_id("nothing")) is None


def test_pages_hold_every_photo_once_newest_first_while_others_come_and_go(
    catalog: Catalog,
) -> None:
    for part in range(3):
        load(catalog, part, *(rows.photo(f"{part}-{i}") for i in range(7)))
    seen: list[Photo] = []
    after = None
    while True:
        with catalog.tenant("a") as tx:
            page, after = photos.page(tx, after=after, limit=4)
            seen += page
            if len(seen) == 8:
                assert photos.delete(tx, seen[2].photo_id)
        if len(seen) == 8:
            load(catalog, 9, rows.photo("newer"))
        if after is None:
            break
    ids = [p.photo_id for p in seen]
    assert len(ids) == 21 and len(set(ids)) == 21
    assert [p.created_at for p in seen] == sorted((p.created_at for p in seen), reverse=True)


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "MjAyNC0wMS0wMSBhYg", "ü"])
def test_a_cursor_that_is_none_is_an_input_error(catalog: Catalog, cursor: str) -> None:
    with pytest.raises(InputError, match="cursor"), catalog.tenant("a") as tx:
        photos.page(tx, after=cursor)


@pytest.mark.parametrize("photo_id", ["", "abc", "Z" * 64, "A" * 64, "a" * 64 + "\n"])
def test_an_id_that_is_none_is_an_input_error(catalog: Catalog, photo_id: str) -> None:
    with pytest.raises(InputError), catalog.tenant("a") as tx:
        photos.get(tx, photo_id)


def test_live_ids_are_those_that_can_be_found(catalog: Catalog) -> None:
    load(catalog, 0, *(rows.photo(str(i)) for i in range(5)), rows.photo("f", status="failed"))
    with catalog.tenant("a") as tx:
        assert list(photos.live_ids(tx)) == sorted(rows.photo_id(i) for i in range(5))
        assert (photos.count(tx), photos.count(tx, "failed")) == (6, 1)


def test_times_are_those_of_utc_whatever_the_session(catalog: Catalog) -> None:
    when = datetime(2024, 7, 1, 0, 30, tzinfo=UTC)
    load(catalog, 0, rows.photo("u", captured_at=when))
    with catalog.tenant("a") as tx:
        tx.conn.execute("SET LOCAL timezone = 'Asia/Tokyo'")
        photo = photos.get(tx, rows.photo_id("u"))
    assert photo is not None and photo.exif.captured_at == when
    assert abs(datetime.now(UTC) - photo.created_at) < timedelta(minutes=5)


def test_a_run_of_one_stage_leaves_what_is_known_of_the_others(catalog: Catalog) -> None:
    broken = [rows.failure("u", "embed"), rows.failure("u", "hash")]
    load(catalog, 0, rows.photo("u", status="partial", failures=broken))
    photo_id = one(catalog, "u").photo_id
    only_hash = rows.photos(rows.photo("u")).replace_schema_metadata({"photoorg.stages": "hash"})
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "second", 0, only_hash, NONE)
        assert [f.stage for f in photos.failures(tx, photo_id)] == ["embed"]
    assert one(catalog, "u").status == "partial"


def test_the_files_of_a_deleted_photo_are_passed_over_until_they_change(catalog: Catalog) -> None:
    load(catalog, 0, rows.photo("one", "same"), rows.photo("two", "same"), rows.photo("other"))
    with catalog.tenant("a") as tx:
        assert photos.delete(tx, rows.photo_id("same"))
        assert sources.known(tx, ["one", "two", "other"]) == dict.fromkeys(
            ["one", "two", "other"], "1-1"
        )
        assert list(photos.live_ids(tx)) == [rows.photo_id("other")]
    load(catalog, 1, rows.photo("one", "same", etag="2-2"))
    with catalog.tenant("a") as tx:
        assert sources.known(tx, ["one", "two"]) == {"one": "2-2", "two": "1-1"}
        assert rows.photo_id("same") in set(photos.live_ids(tx))
