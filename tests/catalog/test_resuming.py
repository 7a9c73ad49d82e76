"""What a killed ingest left is found again, without its keys being read more often than once."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.stages.ingest import FusedIngest, Models
from photoorg.stages.job import KEYS, IngestJob, Work
from photoorg.stages.parts import PartWriter
from photoorg.stages.plan import plan_here
from photoorg.store.catalog import Catalog
from photoorg.store.catalog.listing import Listing
from photoorg.store.objects import ObjectStore
from tests.pictures import library, picture
from tests.unit.imaging.files import apple_note, exif_block

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


def frame(folder: Path, number: int) -> None:
    """One photo of a burst."""
    note = apple_note("", "BURST")
    times = {0x9003: (2, "2024:05:01 12:00:00"), 0x9291: (2, f"{number}00")}
    block = exif_block({0x010F: (2, "Apple"), 0x0110: (2, "Phone")}, {**times, 0x927C: (7, note)})
    buffer = io.BytesIO()
    picture(number).save(buffer, "JPEG", quality=90, exif=b"Exif\0\0" + block)
    (folder / f"{number}.jpg").write_bytes(buffer.getvalue())


def test_what_belongs_together_is_found_after_a_kill_between_loading_and_looking_for_it(
    config, catalog, catalog_url, tmp_path, monkeypatch
):
    from pipelines import ingest

    folder = tmp_path / "burst"
    folder.mkdir()
    frame(folder, 1)
    frame(folder, 2)
    data = config.model_dump()
    data["database"]["url"] = catalog_url
    config = parse(data)

    def killed(*_: object) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(IngestJob, "pair", killed)
        ingest.run(config, [str(folder)])
    again = ingest.run(config, [str(folder)])
    assert (again.photos, again.rejects) == (2, 0)
    with catalog.tenant(config.tenant) as tx:
        assert tx.conn.execute("SELECT kind FROM photo_pairs").fetchall() == [("burst",)]
    assert ingest.run(config, [str(folder)]).run_ids == ()
