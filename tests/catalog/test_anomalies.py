"""The review queue in the catalog."""

import pytest

from photoorg.curate.anomaly_review import decide, store
from photoorg.errors import InputError, NotFoundError
from photoorg.store.catalog import Catalog, anomalies, photos, trash
from photoorg.store.catalog.anomalies import Found
from tests.catalog import rows

pytestmark = pytest.mark.postgres


def found(name: str, score: float) -> Found:
    return Found(bytes.fromhex(rows.photo_id(name)), score, 0.4, 1.7, 4.0, ["far from all"])


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    with catalog.tenant("a") as tx:
        photos.copy_part(
            tx, "run", 0, rows.photos(*(rows.photo(n) for n in "abcde")), rows.rejects()
        )
        store(tx, "space", [found(n, 0.5 + i / 10) for i, n in enumerate("abcd")], 5, "test")
    return catalog


def test_pages_show_the_strangest_first_and_each_once(library):
    with library.tenant("a") as tx:
        first, cursor = anomalies.page(tx, limit=3)
        rest, end = anomalies.page(tx, after=cursor, limit=3)
        with pytest.raises(InputError):
            anomalies.page(tx, after="nonsense")
    assert [a.photo_id for a in first + rest] == [rows.photo_id(n) for n in "dcba"]
    assert end is None and first[0].reasons == ["far from all"]


def test_what_was_dismissed_stays_so_when_scanned_again(library):
    with library.tenant("a") as tx:
        assert decide(tx, [rows.photo_id("d")], "dismissed", "anna") == [rows.photo_id("d")]
        assert decide(tx, [rows.photo_id("d")], "dismissed", "anna") == []
        count = store(tx, "space", [found("d", 0.9), found("e", 0.6)], 5, "test")
        queue, _ = anomalies.page(tx)
        gone, _ = anomalies.page(tx, status="dismissed")
        assert (count, [a.photo_id for a in queue]) == (1, [rows.photo_id("e")])
        assert [(a.photo_id, a.decided_by) for a in gone] == [(rows.photo_id("d"), "anna")]
        decide(tx, [rows.photo_id("d")], "open", "anna")
        assert len(anomalies.page(tx)[0]) == 2
        with pytest.raises(NotFoundError):
            decide(tx, [rows.photo_id("nobody")], "dismissed", "anna")


def test_trashed_photos_and_other_tenants_see_no_queue(library):
    with library.tenant("a") as tx:
        trash.put(tx, [rows.photo_id("d")])
        assert len(anomalies.page(tx)[0]) == 3
    with library.tenant("b") as tx:
        assert anomalies.page(tx) == ([], None)
