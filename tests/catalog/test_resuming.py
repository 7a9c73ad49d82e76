"""What a killed ingest left is found again, without its keys being read more often than once."""

from __future__ import annotations

from collections import Counter

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.stages.ingest import FusedIngest, Models
from photoorg.stages.job import KEYS, IngestJob, Work
from photoorg.stages.parts import PartWriter
from photoorg.stages.plan import plan_here
from photoorg.store.catalog import Catalog
from photoorg.store.catalog.listing import Listing
from photoorg.store.objects import ObjectStore
from tests.pictures import library

pytestmark = pytest.mark.postgres


class CountingStore(ObjectStore):
    """Counts how often each object is read."""

    def __init__(self, config: PhotoOrgConfig) -> None:
        super().__init__(config.storage)
        self.reads: Counter[str] = Counter()

    def read(self, path: str) -> bytes:
        self.reads[path.rsplit("/", 1)[1]] += 1
        return super().read(path)


@pytest.fixture
def config(tmp_path) -> PhotoOrgConfig:
    return parse(
        {
            "storage": {"root": str(tmp_path / "store")},
            "ingest": {"stages": ["exif"], "part_rows": 4, "originals": "copy"},
        }
    )


def prepared(config: PhotoOrgConfig, store: ObjectStore, catalog: Catalog, folder) -> list[Work]:
    job = IngestJob(config, store, catalog, None)
    with Listing(catalog, config.tenant) as listing:
        return job.prepare(listing, [str(folder)], plan=lambda files: plan_here(config.ingest))


def test_keys_of_an_unfinished_run_are_read_once_and_its_files_are_not_new(
    config, catalog, tmp_path
):
    folder = library(tmp_path / "in", 18)
    store = CountingStore(config)
    (first,) = prepared(config, store, catalog, folder)
    assert (first.parts, first.waiting) == (5, 18)
    line = FusedIngest(config, store, Models())
    writer = PartWriter(store, config.tenant, first.run_id, None)
    for part in (0, 3):
        writer.write(part, line(first.run.read_part(part, name=KEYS)))
    library(tmp_path / "in" / "later", 2)
    store.reads.clear()
    going_on, fresh = prepared(config, store, catalog, folder)
    assert (going_on.run_id, going_on.todo) == (first.run_id, (1, 2, 4))
    assert (going_on.waiting, going_on.files) == (10, 18)
    assert fresh.waiting == 2
    keys = {name: n for name, n in store.reads.items() if name.startswith(KEYS)}
    assert keys == {f"{KEYS}-{n:06d}.parquet": 1 for n in range(5)}
