"""A real S3 server that goes away while shards are loaded from it, and comes back."""

from __future__ import annotations

import logging

import numpy as np
import pytest

from photoorg.config import IndexConfig, StorageConfig
from photoorg.errors import StorageError
from photoorg.index.build import build_local
from photoorg.search.holdings import Holdings
from photoorg.search.ports import SlotQuery
from photoorg.search.slots import LocalSlot
from photoorg.stages.publish import Publisher
from photoorg.store.catalog import delta, indexes
from photoorg.store.objects import ObjectStore
from tests.fakes.search import SPACE, photo_id, unit
from tests.unit.search.test_slots import NAMES, SEARCH, T, add, exact, found

pytestmark = [pytest.mark.s3, pytest.mark.postgres]
PATIENCE = {"attempts": 2, "connect_timeout_s": 1.0, "read_timeout_s": 5.0}


def publish(catalog, store: ObjectStore, folder, version: str, seq: int) -> None:
    """Build a version of NAMES, put it into the bucket and let it serve."""
    batch = ([photo_id(n) for n in NAMES], np.array([unit(n) for n in NAMES]))
    config = IndexConfig(shards=4, recall_sample=10)
    publisher = Publisher(store, T, SPACE, version)
    publisher.begin(catalog)
    manifest = build_local([batch], folder, SPACE, config, version=version, delta_seq=seq)
    publisher.upload(folder)
    publisher.commit(manifest)
    publisher.complete(catalog, manifest)
    with catalog.tenant(T) as tx:
        indexes.activate(tx, SPACE.id, version)


@pytest.fixture
def bucket(swift) -> ObjectStore:
    storage: StorageConfig = swift.start().storage("library", **PATIENCE)
    return ObjectStore(storage)


@pytest.fixture
def slot(catalog, bucket, tmp_path):
    cache = tmp_path / "cache"
    holdings = Holdings(0, 1, catalog, bucket, cache, index=IndexConfig(), budget_bytes=10**9)
    made = LocalSlot(holdings, catalog, SEARCH)
    yield made
    made.close()


def serving(slot: LocalSlot) -> str:
    return slot.serving()[(T, SPACE.id)]


def test_a_slot_goes_on_with_what_it_holds_and_takes_the_new_version_later(
    catalog, bucket, swift, slot, tmp_path, caplog
):
    seq = add(catalog, *NAMES)
    publish(catalog, bucket, tmp_path / "v1", "v1", seq)
    assert found([slot], "q") == exact("q", NAMES) and serving(slot) == "v1"
    publish(catalog, bucket, tmp_path / "v2", "v2", seq)
    with catalog.tenant(T) as tx:
        head = delta.head(tx)
    swift.stop()
    with caplog.at_level(logging.WARNING):
        slot.refresh()
    assert serving(slot) == "v1" and "could not" in caplog.text
    assert found([slot], "q", seq=head) == exact("q", NAMES)
    swift.start()
    slot.refresh()
    assert serving(slot) == "v2" and found([slot], "q", seq=head) == exact("q", NAMES)


def test_the_first_query_says_what_is_away_and_the_next_is_answered(
    catalog, bucket, swift, slot, tmp_path
):
    publish(catalog, bucket, tmp_path / "v1", "v1", add(catalog, *NAMES))
    swift.stop()
    with pytest.raises(StorageError) as told:
        slot.search_now(SlotQuery(T, SPACE, unit("q"), 5, 5, 0))
    assert told.value.retryable and "127.0.0.1" in str(told.value)
    swift.start()
    assert found([slot], "q") == exact("q", NAMES)
