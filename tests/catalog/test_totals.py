"""files = photos + duplicates + rejects, however files, runs and repeats are mixed."""

from typing import Any

import pytest

from photoorg.models import SourceFile
from photoorg.store.catalog import Catalog, photos, runs
from photoorg.store.catalog.listing import Listing
from photoorg.store.catalog.runs import Totals
from tests.catalog import rows

pytestmark = pytest.mark.postgres
ETAGS = [("a", "1-1"), ("b", "2-2"), ("x", "1-1"), ("n", "")]


def load(catalog: Catalog, run: str, part: int, made: list[Any], bad: tuple[str, ...] = ()) -> None:
    listed = [row["uri"] for row in made] + list(bad)
    with catalog.tenant("a") as tx:
        rejected = rows.rejects(*(rows.failure(uri) for uri in bad))
        photos.copy_part(tx, run, part, rows.photos(*made), rejected, keys=rows.keys(*listed))


def count(catalog: Catalog, *uris: str) -> Totals:
    with catalog.tenant("a") as tx:
        return runs.totals(tx, uris)


def test_equal_bytes_in_one_part_and_in_two_count_once_as_photo(catalog: Catalog) -> None:
    load(catalog, "r", 0, [rows.photo("a", 1), rows.photo("b", 1), rows.photo("c", 2)], ("x",))
    load(catalog, "r", 1, [rows.photo("d", 2), rows.photo("e", 3)], ("y",))
    totals = count(catalog, *"abcdexy")
    assert (totals, totals.files) == (Totals(photos=3, duplicates=2, rejects=2), 7)


def test_a_file_whose_bytes_came_from_elsewhere_is_a_duplicate(catalog: Catalog) -> None:
    load(catalog, "first", 0, [rows.photo("old", 1)])
    load(catalog, "second", 0, [rows.photo("copy", 1), rows.photo("new", 2)])
    assert count(catalog, "copy", "new") == Totals(photos=1, duplicates=1, rejects=0)
    assert count(catalog, "old", "copy", "new") == Totals(photos=2, duplicates=1, rejects=0)


def test_the_same_files_again_come_to_the_same(catalog: Catalog) -> None:
    made = [rows.photo("a", 1), rows.photo("b", 1), rows.photo("c", 2)]
    load(catalog, "first", 0, made, ("x",))
    before = count(catalog, *"abcx")
    load(catalog, "forced", 0, made, ("x",))
    assert count(catalog, *"abcx") == before == Totals(2, 1, 1)


def test_a_file_that_breaks_or_is_mended_changes_sides(catalog: Catalog) -> None:
    load(catalog, "1", 0, [rows.photo("a")], ("b",))
    load(catalog, "2", 0, [rows.photo("b")], ("a",))
    assert count(catalog, "a", "b") == Totals(photos=1, duplicates=0, rejects=1)


def test_a_file_with_new_content_counts_as_what_it_is_now(catalog: Catalog) -> None:
    load(catalog, "1", 0, [rows.photo("a", 1)])
    load(catalog, "2", 0, [rows.photo("a", 2)])
    assert count(catalog, "a") == Totals(photos=1, duplicates=0, rejects=0)


def test_files_not_dealt_with_are_missing(catalog: Catalog) -> None:
    load(catalog, "r", 0, [rows.photo("a")])
    assert count(catalog, "a", "new", "new") == Totals(1, 0, 0, missing=1)


def test_a_listing_knows_unchanged_files_and_counts_each_once(catalog: Catalog) -> None:
    load(catalog, "r", 0, [rows.photo("a", 1), rows.photo("b", 1)], ("x",))
    files = [SourceFile(uri, 1, etag) for uri, etag in ETAGS]
    with Listing(catalog, "a") as listing:
        assert listing.add(files) == [True, False, True, False]
        assert listing.add(files[:1]) == [True]
        assert listing.files == 5
        assert listing.totals() == Totals(photos=1, duplicates=1, rejects=1, missing=1)
