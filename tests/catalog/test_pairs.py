"""Pairs found after an ingest, in the catalog."""

from datetime import timedelta
from typing import Any

import pytest

from photoorg.stages.pairs import pair_photos
from photoorg.store.catalog import Catalog, pairs, photos
from tests.catalog import rows

pytestmark = pytest.mark.postgres


def shot(name: str, seconds: float, *, pdq: bytes = b"\x0f" * 32, **more: Any) -> dict[str, Any]:
    when = rows.WHEN + timedelta(seconds=seconds)
    camera = {"make": "Maker", "model": "One", "captured_source": "exif_local"}
    return rows.photo(name, captured_at=when, pdq=pdq, pdq_quality=100, **camera, **more)


def load(catalog: Catalog, run: str, *made: dict[str, Any]) -> None:
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, run, 0, rows.photos(*made), rows.rejects())


def kinds(catalog: Catalog, name: str) -> list[tuple[str, str, str]]:
    with catalog.tenant("a") as tx:
        found = pairs.of_photo(tx, rows.photo_id(name))
    assert all(pair.evidence and 0 < pair.confidence <= 1 for pair in found)
    return [(pair.kind, pair.first_id, pair.second_id) for pair in found]


def test_a_raw_and_its_jpeg_meet_though_they_came_in_different_runs(catalog: Catalog) -> None:
    load(catalog, "first", shot("a.dng", 0, mime="image/x-adobe-dng"), shot("far.jpg", 100))
    assert pair_photos(catalog, "a", ["first"]) == 0
    load(catalog, "second", shot("b.jpg", 0))
    assert pair_photos(catalog, "a", ["second"]) == 1
    expected = [("raw_jpeg", rows.photo_id("a.dng"), rows.photo_id("b.jpg"))]
    assert kinds(catalog, "b.jpg") == expected == kinds(catalog, "a.dng")
    assert kinds(catalog, "far.jpg") == []
    with catalog.tenant("a") as tx:
        photos.delete(tx, rows.photo_id("a.dng"))
    assert kinds(catalog, "b.jpg") == []


def test_frames_of_a_burst_follow_each_other_and_a_second_look_changes_nothing(
    catalog: Catalog,
) -> None:
    load(catalog, "run", *(shot(f"{n}.jpg", n * 0.5, subsec=f"{n % 2 * 5}") for n in range(4)))
    found = pair_photos(catalog, "a", ["run"])
    assert found == pair_photos(catalog, "a", ["run"]) == 3
    middle = [kind for kind, _, _ in kinds(catalog, "1.jpg")]
    assert middle == ["burst", "burst"]


def test_the_same_name_alone_pairs_nothing(catalog: Catalog) -> None:
    other = bytes([0xF0]) * 32
    load(
        catalog,
        "run",
        shot("IMG_1.dng", 0, mime="image/x-adobe-dng"),
        shot("IMG_1.jpg", 0, pdq=other),
    )
    assert pair_photos(catalog, "a", ["run"]) == 0
