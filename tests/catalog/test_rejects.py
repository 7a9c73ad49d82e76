import pytest

from photoorg.store.catalog import Catalog, photos, rejects
from tests.catalog import rows

pytestmark = pytest.mark.postgres


def load(catalog: Catalog) -> None:
    failed = rows.rejects(*(rows.failure(name) for name in ("c", "a", "b")))
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, rows.photos(), failed)


def test_pages_of_rejects_hold_each_file_once_by_name(catalog: Catalog) -> None:
    load(catalog)
    with catalog.tenant("a") as tx:
        first, following = rejects.page(tx, limit=2)
        second, end = rejects.page(tx, after=following, limit=2)
    assert [r.key for r in first + second] == sorted(r.key for r in first + second)
    assert (len(first), len(second), end) == (2, 1, None)
    assert all(r.reason for r in first)


def test_those_that_no_retry_helps_can_be_left_out(catalog: Catalog) -> None:
    load(catalog)
    with catalog.tenant("a") as tx:
        every, _ = rejects.page(tx)
        helped, _ = rejects.page(tx, retryable=True)
    assert helped == [r for r in every if r.retryable]
