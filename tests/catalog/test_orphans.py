"""Files that no row knows are found and removed; what is promised, or about to be, stays."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from photoorg.config import PhotoOrgConfig, StorageConfig, parse
from photoorg.errors import ConflictError
from photoorg.schema import COMPANION
from photoorg.stages.ingest import FusedIngest, Models
from photoorg.stages.job import IngestJob, Work
from photoorg.stages.orphans import AT_ONCE, FEW, OrphanSweep
from photoorg.stages.parts import INGEST, PartWriter
from photoorg.stages.purging import remove_left_blobs
from photoorg.store.catalog import Catalog, blobs, photos, trash
from photoorg.store.layout import blob_path, run_dir, thumb_path
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run
from tests.catalog import rows
from tests.catalog.test_companions import video
from tests.fakes.search import jpeg

pytestmark = pytest.mark.postgres
T = "a"
HOUR_S = 3_600


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path / "store")))


@pytest.fixture(autouse=True)
def old_catalog(catalog: Catalog) -> None:
    """As if the tenant had been here for a year."""
    with catalog.tenant(T) as tx:
        tx.conn.execute("UPDATE tenants SET created_at = now() - interval '1 year'")


def written(store: ObjectStore, path: str, hours: float = 48, data: bytes = b"x") -> str:
    store.write(path, data)
    file = Path(store.root, path)
    when = file.stat().st_mtime - hours * HOUR_S
    os.utime(file, (when, when))
    return path


def files_of(store: ObjectStore, name: str, hours: float = 48) -> list[str]:
    photo_id = rows.photo_id(name)
    return [
        written(store, blob_path(T, photo_id), hours),
        written(store, thumb_path(T, photo_id), hours),
    ]


def load(catalog: Catalog, *names: str) -> None:
    with catalog.tenant(T) as tx:
        table = rows.photos(*(rows.photo(name) for name in names))
        photos.copy_part(tx, "-".join(names), 0, table, rows.rejects(), stored=True)


def sweep(catalog: Catalog, store: ObjectStore, *, remove: bool = True, most: float = 1.0):
    return OrphanSweep(catalog, store, T, 24.0).run(remove=remove, most=most)


def test_old_files_without_a_row_go_and_all_others_stay(catalog, store):
    load(catalog, "known", "trashed")
    with catalog.tenant(T) as tx:
        trash.put(tx, [rows.photo_id("trashed")])
    kept = [*files_of(store, "known"), *files_of(store, "trashed")]
    kept += files_of(store, "fresh", hours=23)
    kept += [written(store, f"{T}/blobs/00/README"), written(store, f"b/{kept[0][2:]}x")]
    files_of(store, "lost")
    written(store, thumb_path(T, rows.photo_id("thumb")))
    found = sweep(catalog, store)
    assert (found.files, found.blobs, found.thumbnails, found.bytes) == (8, 1, 2, 3)
    assert found.removed == 2 and sorted(store.list()) == sorted(kept)
    again = sweep(catalog, store)
    assert (again.blobs, again.thumbnails, again.removed) == (0, 0, 0)
    with catalog.tenant(T) as tx:
        noted = tx.conn.execute("SELECT entity_id FROM audit_log WHERE action = 'blob.sweep'")
        assert {i for (i,) in noted} == {rows.photo_id("lost"), rows.photo_id("thumb")}


def test_counting_removes_nothing(catalog, store):
    lost = files_of(store, "lost")
    found = sweep(catalog, store, remove=False)
    assert (found.blobs, found.thumbnails, found.removed) == (1, 1, 0)
    assert sorted(store.list()) == sorted(lost)


def test_more_than_a_page_all_go(catalog, store):
    for number in range(AT_ONCE + 30):
        written(store, blob_path(T, rows.photo_id(number)))
    assert sweep(catalog, store).removed == AT_ONCE + 30 and list(store.list()) == []


def test_more_than_crashes_leave_are_left_alone(catalog, store):
    for number in range(FEW):
        written(store, blob_path(T, rows.photo_id(number)))
    assert sweep(catalog, store, remove=False, most=0.05).blobs == FEW
    written(store, blob_path(T, rows.photo_id("one more")))
    with pytest.raises(ConflictError, match="21 of 21"):
        sweep(catalog, store, most=0.05)
    assert len(list(store.list())) == FEW + 1


def test_a_catalog_that_is_younger_than_the_files_removes_none(catalog, store):
    with catalog.tenant(T) as tx:
        tx.conn.execute("UPDATE tenants SET created_at = now()")
    lost = files_of(store, "lost")
    found = sweep(catalog, store)
    assert (found.files, found.removed) == (0, 0) and sorted(store.list()) == sorted(lost)


def test_an_upload_that_found_the_file_there_keeps_it(catalog, store):
    """The worst moment: between the upload's look at the blob and its row."""
    photo_id = rows.photo_id("came")
    written(store, blob_path(T, photo_id))
    with catalog.tenant(T) as tx:
        blobs.hold(tx)
        assert store.exists(blob_path(T, photo_id))
        done: list[int] = []
        sweeper = threading.Thread(target=lambda: done.append(sweep(catalog, store).removed))
        sweeper.start()
        sweeper.join(0.5)
        assert sweeper.is_alive(), "who removes waits for who promises"
        table = rows.photos(rows.photo("came"))
        photos.copy_part(tx, "run", 0, table, rows.rejects(), stored=True)
    sweeper.join()
    assert done == [0] and store.exists(blob_path(T, photo_id))
    with catalog.tenant(T) as tx:
        assert blobs.leaving(tx, 10) == []


class Ingested:
    """A job that copies its originals, step by step."""

    def __init__(self, catalog: Catalog, config: PhotoOrgConfig, folder: Path) -> None:
        self.store = ObjectStore(config.storage)
        self._catalog = catalog
        self._config = config
        self._job = IngestJob(config, self.store, catalog, None)
        self._folder = folder
        folder.mkdir()

    def commit(self, name: str, data: bytes) -> Work:
        """What a worker does: the part is written, and nothing loaded."""
        file = self._folder / name
        file.write_bytes(data)
        table = rows.keys(f"file://{file}")
        run = Run(self.store, run_dir(T, INGEST, name))
        run.write_part(0, table, name="keys")
        part = FusedIngest(self._config, self.store, Models())(table)
        PartWriter(self.store, T, name, None).write(0, part)
        return Work(name, run, (), 1, 1, 1)

    def load(self, work: Work) -> None:
        self._job.load(work, 0)


@pytest.fixture
def ingested(catalog, store, tmp_path) -> Ingested:
    config = parse(
        {
            "tenant": T,
            "storage": {"root": store.root},
            "ingest": {"stages": ["thumbnail"], "originals": "copy"},
        }
    )
    return Ingested(catalog, config, tmp_path / "photos")


def make_old(store: ObjectStore) -> None:
    for path in store.list(f"{T}/"):
        file = Path(store.root, path)
        when = file.stat().st_mtime - 48 * HOUR_S
        os.utime(file, (when, when))


def state(catalog: Catalog, photo_id: str) -> tuple[str | None, bool]:
    """Where the photo's bytes are, and whether it promises a thumbnail."""
    with catalog.tenant(T) as tx:
        photo = photos.get(tx, photo_id)
        assert photo is not None
        return photos.blob_of(tx, photo_id), photo.has_thumbnail


def test_what_a_killed_job_did_not_get_to_load_is_kept_for_it(catalog, store, ingested):
    data = jpeg("one")
    photo_id = hashlib.sha256(data).hexdigest()
    work = ingested.commit("a.jpg", data)
    make_old(store)
    assert sweep(catalog, store).removed == 0
    ingested.load(work)
    assert state(catalog, photo_id) == (blob_path(T, photo_id), True)
    assert store.read(blob_path(T, photo_id)) == data


def test_the_video_of_a_part_that_waits_is_kept(catalog, store):
    found = video("a.mov", "a.mov")
    part = rows.rejects({k: v for k, v in found.items() if k != "companion"})
    part = part.append_column("companion", pa.array([found["companion"]], COMPANION))
    run = Run(store, run_dir(T, INGEST, "r"))
    run.write_part(0, part, name="rejects")
    run.write_part(0, rows.photos())
    path = written(store, blob_path(T, found["companion"]["companion_id"]))
    assert sweep(catalog, store).removed == 0 and store.exists(path)
    run.commit({})
    assert sweep(catalog, store).removed == 1 and not store.exists(path)


def test_a_photo_deleted_while_its_bytes_are_ingested_again_promises_no_files(
    catalog, store, ingested
):
    data = jpeg("one")
    photo_id = hashlib.sha256(data).hexdigest()
    ingested.load(ingested.commit("a.jpg", data))
    work = ingested.commit("b.jpg", data)
    with catalog.tenant(T) as tx:
        assert photos.delete(tx, photo_id)
    assert remove_left_blobs(catalog, store, T) == 1
    ingested.load(work)
    where, thumbnail = state(catalog, photo_id)
    assert where is not None and where.endswith("/b.jpg") and not thumbnail
    ingested.load(ingested.commit("c.jpg", data))
    assert state(catalog, photo_id) == (blob_path(T, photo_id), True)


def test_files_that_are_to_go_are_not_removed_from_a_photo_that_came_again(
    catalog, store, ingested
):
    data = jpeg("one")
    photo_id = hashlib.sha256(data).hexdigest()
    ingested.load(ingested.commit("a.jpg", data))
    work = ingested.commit("b.jpg", data)
    with catalog.tenant(T) as tx:
        assert photos.delete(tx, photo_id)
    ingested.load(work)
    assert remove_left_blobs(catalog, store, T) == 0
    assert state(catalog, photo_id) == (blob_path(T, photo_id), True)
    assert store.read(blob_path(T, photo_id)) == data and store.exists(thumb_path(T, photo_id))
