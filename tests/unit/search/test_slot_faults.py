"""What a slot does when a version cannot be had: the one that serves goes on serving."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from photoorg.config import StorageConfig
from photoorg.errors import CatalogError, SpaceMismatchError, StorageError
from photoorg.search.ports import SlotQuery
from photoorg.store.catalog import delta, indexes, spaces
from photoorg.store.objects import ObjectStore
from tests.fakes.search import MUTE, SPACE, unit
from tests.unit.search.test_slots import NAMES, SEARCH, Away, T, add, build, exact, found, make
from tests.unit.stages.test_versions import shadow

pytestmark = pytest.mark.postgres
__all__ = ["SEARCH", "make"]


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path / "store")))


@pytest.fixture
def library(catalog, store):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    return catalog


class Down(Away):
    """A bucket that does not answer while `down`."""

    down = False

    def read(self, path: str) -> bytes:
        if self.down:
            raise StorageError("The bucket does not answer.", retryable=True)
        return super().read(path)

    def download(self, path: str, local: Path) -> None:
        if self.down:
            raise StorageError("The bucket does not answer.", retryable=True)
        super().download(path, local)


def activated(catalog, store, version: str) -> None:
    shadow(catalog, store, version)
    with catalog.tenant(T) as tx:
        indexes.activate(tx, SPACE.id, version)


def head(catalog) -> int:
    with catalog.tenant(T) as tx:
        return delta.head(tx)


def test_a_bucket_that_is_down_during_a_load_leaves_the_old_version_serving(library, store, make):
    bucket = Down(StorageConfig(root=store.root))
    slot = make(store_=bucket)
    assert found([slot], "q") == exact("q", NAMES)
    activated(library, store, "v2")
    bucket.down = True
    slot.refresh()
    assert found([slot], "q", seq=head(library)) == exact("q", NAMES)
    bucket.down = False
    slot.refresh()
    assert slot.serving() == {(T, SPACE.id): "v2"}


def test_a_bucket_that_is_down_at_the_first_query_is_a_sentence(library, store, make):
    bucket = Down(StorageConfig(root=store.root))
    bucket.down = True
    slot = make(store_=bucket)
    with pytest.raises(StorageError, match="does not answer"):
        slot.search_now(SlotQuery(T, SPACE, unit("q"), 5, 5, 0))
    bucket.down = False
    assert found([slot], "q") == exact("q", NAMES)


@pytest.mark.parametrize("suffix", ["faiss", "rescore", "ids"])
@pytest.mark.parametrize("harm", ["truncated", "altered"])
def test_a_wanted_version_with_a_damaged_file_is_not_reported(library, store, make, suffix, harm):
    slot = make()
    found([slot], "q")
    shadow(library, store, "v2")
    path = Path(store.root) / f"{T}/indexes/{SPACE.id}/v2/shard-1.{suffix}"
    data = path.read_bytes()
    bad = data[: len(data) // 2] if harm == "truncated" else bytes([data[0] ^ 1]) + data[1:]
    path.write_bytes(bad)
    with library.tenant(T) as tx:
        indexes.want(tx, SPACE.id, "v2")
    slot.refresh()
    with library.tenant(T) as tx:
        rows = tx.conn.execute("SELECT version FROM slot_reports").fetchall()
    assert rows == [("v1",)]
    assert found([slot], "q") == exact("q", NAMES)


def test_a_version_of_another_space_under_this_one_is_refused(library, store, make):
    slot = make()
    found([slot], "q")
    shadow(library, store, "v2", space=MUTE)
    with library.tenant(T) as tx:
        tx.conn.execute("UPDATE index_versions SET space_id = %s WHERE version = 'v2'", [SPACE.id])
        indexes.activate(tx, SPACE.id, "v2")
    slot.refresh()
    assert found([slot], "q", seq=head(library)) == exact("q", NAMES)
    with pytest.raises(SpaceMismatchError):
        make().search_now(SlotQuery(T, SPACE, unit("q"), 5, 5, 0))


def test_a_database_that_drops_its_connections_is_asked_again(library, catalog_url, make):
    slot = make()
    assert found([slot], "q", seq=head(library)) == exact("q", NAMES)
    with psycopg.connect(catalog_url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    slot.refresh()
    for _ in range(3):
        try:
            seq = add(library, "new")
            break
        except CatalogError:
            continue
    assert found([slot], "new", seq=seq)[0] == "new"
