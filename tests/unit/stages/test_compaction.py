"""Compaction and resharding over a real PostgreSQL: nothing is lost, whoever dies on the way."""

from __future__ import annotations

import errno
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from photoorg.config import IndexConfig, PhotoOrgConfig, StorageConfig, parse
from photoorg.errors import IndexNotReadyError, StorageError
from photoorg.index.build import build_local
from photoorg.index.manifest import NAME, IndexManifest
from photoorg.models import IndexVersion
from photoorg.search.local import local_slot
from photoorg.search.ports import SlotQuery
from photoorg.stages.compaction import Compaction, up_to_date, waiting
from photoorg.stages.compaction import compact as compact_now
from photoorg.stages.versions import Versions
from photoorg.store.catalog import Catalog, delta, indexes, photos, spaces
from photoorg.store.objects import ObjectStore
from tests.catalog import rows
from tests.fakes.search import SPACE, photo_id, unit
from tests.unit.search.test_slots import add, build, delete, exact, found

pytestmark = pytest.mark.postgres
T = "default"
NAMES = [f"photo-{i}" for i in range(60)]


@pytest.fixture
def config(tmp_path, catalog_url) -> PhotoOrgConfig:
    return parse(
        {
            "storage": {"root": str(tmp_path / "store")},
            "database": {"url": catalog_url},
            "serve": {"cache_dir": str(tmp_path / "cache")},
        }
    )


@pytest.fixture
def store(config) -> ObjectStore:
    return ObjectStore(config.storage)


@pytest.fixture
def library(catalog, store) -> Catalog:
    """60 photos in a version of 4 shards; afterwards two came, two went, one was replaced."""
    seq = add(catalog, *NAMES)
    build(catalog, store, NAMES, "v1", seq)
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    add(catalog, "new", "other")
    delete(catalog, NAMES[3])
    delete(catalog, NAMES[4])
    with catalog.tenant(T) as tx:
        delta.add(tx, SPACE.id, [photo_id(NAMES[5])], unit("moved")[None])
    return catalog


def active(catalog) -> str:
    with catalog.tenant(T) as tx:
        version = indexes.active(tx, SPACE.id)
    assert version is not None
    return version[0].version


def compact(config, catalog, store, shards=None) -> IndexManifest:
    work = Compaction(config, store, SPACE, waiting(config, catalog, SPACE).version, shards=shards)
    work.publisher.begin(catalog)
    seq = work.freeze(catalog)
    manifest = work.finish(catalog, work.fold(), seq)
    Versions(catalog, T, config.migration).activate(manifest.version, actor="test")
    return manifest


def answers(config, catalog, store, count: int = 1) -> list[list[str]]:
    """What some queries find, over `count` fresh slots."""
    slots = [local_slot(config, catalog, store, n, count) for n in range(count)]
    with catalog.tenant(T) as tx:
        seq = delta.head(tx)
    try:
        return [found(slots, q, 60, seq=seq) for q in ("q", "moved", "new", NAMES[7])]
    finally:
        for slot in slots:
            slot.close()


def test_the_changes_move_from_the_log_into_the_shards(config, library, store):
    before = answers(config, library, store)
    manifest = compact(config, library, store)
    assert active(library) == manifest.version and manifest.vectors == 60
    found = waiting(config, library, SPACE)
    assert (found.came, found.gone) == (0, 0)
    assert answers(config, library, store) == before
    same = [n for n in [*NAMES, "new", "other"] if n not in NAMES[3:6]]
    assert [n for n in before[0] if n != NAMES[5]][:20] == exact("q", same, 20)
    assert before[1][0] == NAMES[5]


def test_shards_without_changes_are_copied_as_they_are(config, catalog, store):
    seq = add(catalog, *NAMES)
    build(catalog, store, NAMES, "v1", seq)
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    delete(catalog, NAMES[3])
    old = IndexManifest.read(Path(store.root) / f"{T}/indexes/{SPACE.id}/v1")
    new = compact(config, catalog, store)
    changed = [a.slot for a, b in zip(old.shards, new.shards, strict=True) if a != b]
    assert changed == [int(photo_id(NAMES[3])[:16], 16) % 4]


@pytest.mark.parametrize("shards", [1, 3, 4, 7])
def test_what_is_found_does_not_depend_on_the_number_of_shards(config, library, store, shards):
    before = answers(config, library, store)
    manifest = compact(config, library, store, shards)
    assert len(manifest.shards) == shards
    assert answers(config, library, store) == before
    assert answers(config, library, store, count=3) == before


def test_writes_during_a_compaction_are_in_the_new_version_or_the_log(config, library, store):
    work = Compaction(config, store, SPACE, waiting(config, library, SPACE).version)
    work.publisher.begin(library)
    seq = work.freeze(library)
    add(library, "late")
    delete(library, "new")
    delete(library, NAMES[9])
    work.finish(library, work.fold(), seq)
    Versions(library, T, config.migration).activate(work.version, actor="test")
    back = {photo_id(n): n for n in [*NAMES, "new", "other", "late"]}
    slot = local_slot(config, library, store, 0, 1)
    with library.tenant(T) as tx:
        seq, alive = delta.head(tx), {back[i] for i in photos.live_ids(tx)}
    got = {back[i] for i in slot.search_now(SlotQuery(T, SPACE, unit("q"), 90, 90, seq)).ids}
    slot.close()
    assert got == alive and "late" in got and not {"new", NAMES[9]} & got


class Killed(BaseException):
    """The process is gone: nothing after this runs."""


class Dying(ObjectStore):
    """A store whose user is killed before its n-th write."""

    left = 10**9

    def _count(self) -> None:
        self.left -= 1
        if self.left < 0:
            raise Killed

    def write(self, path: str, data: bytes, *, if_absent: bool = False) -> bool:
        self._count()
        return super().write(path, data, if_absent=if_absent)

    def upload(self, path: str, local: Path) -> None:
        self._count()
        super().upload(path, local)


def test_whoever_is_killed_at_any_write_leaves_the_old_version_whole(config, library, store):
    before = answers(config, library, store)
    died = 0
    while True:
        dying = Dying(StorageConfig(root=store.root))
        dying.left = died
        try:
            compact(config, library, dying)
            break
        except Killed:
            died += 1
            assert active(library) == "v1"
            assert answers(config, library, store) == before
    assert died > 5 and active(library) != "v1"
    assert answers(config, library, store) == before


class Full(ObjectStore):
    """A disk with no room left."""

    def upload(self, path: str, local: Path) -> None:
        raise StorageError(f"There is no space left to write {path}.")


def test_a_full_store_is_a_sentence_and_leaves_the_old_version(config, library, store):
    from pipelines import compact as job

    before = answers(config, library, store)
    found_ = waiting(config, library, SPACE)
    full = Full(StorageConfig(root=store.root))
    work = Compaction(config, full, SPACE, found_.version)
    work.publisher.begin(library)
    work.freeze(library)
    with pytest.raises(StorageError, match="no space left"):
        work.fold()
    work.publisher.abandon(library)
    assert active(library) == "v1" and answers(config, library, store) == before
    assert not any(work.version in path for path in store.list(f"{T}/indexes"))
    done = job.run(config)
    assert done["compacted"] and (done["came"], done["gone"]) == (3, 2)


def test_a_full_temporary_folder_is_a_sentence(config, library, store, monkeypatch):
    from photoorg.index.spool import Spool

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Spool, "add", full)
    work = Compaction(config, store, SPACE, waiting(config, library, SPACE).version)
    work.freeze(library)
    with pytest.raises(StorageError, match="No space left") as told:
        work.fold()
    assert "TMPDIR" in told.value.fix and active(library) == "v1"


@contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.parametrize("size", [0, 100, 1_000, 2_500])
def test_writes_that_the_system_cuts_short_leave_the_old_version(config, library, store, size):
    before = answers(config, library, store)
    with files_up_to(size), pytest.raises(StorageError, match=r"File too large|could not"):
        compact_now(config, store, library, actor="ann")
    assert active(library) == "v1" and answers(config, library, store) == before
    assert {path.split("/")[3] for path in store.list(f"{T}/indexes")} == {"v1"}
    done = compact_now(config, store, library, actor="ann")
    assert active(library) == done.version and answers(config, library, store) == before


def test_an_index_is_up_to_date_until_a_photo_comes_or_goes(config, catalog, store):
    assert up_to_date(config, store, catalog) is None, "there is none"
    build(catalog, store, NAMES[:9], "v1", add(catalog, *NAMES[:9]))
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    version = up_to_date(config, store, catalog)
    assert version is not None and (version.version, version.vectors) == ("v1", 9)
    bulk = rows.photos(rows.photo("file:///bulk.jpg", "bulk"))
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "bulk", 0, bulk, rows.rejects())
    assert up_to_date(config, store, catalog) is None, "an ingested photo is not in the log"
    with catalog.tenant(T) as tx:
        photos.delete(tx, photo_id(NAMES[0]))
    assert up_to_date(config, store, catalog) is None, "as many photos, but other ones"


def test_an_index_whose_files_are_gone_is_not_up_to_date(config, catalog, store):
    build(catalog, store, NAMES[:9], "v1", add(catalog, *NAMES[:9]))
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    store.delete(f"{T}/indexes/{SPACE.id}/v1/{NAME}")
    assert up_to_date(config, store, catalog) is None


def test_compaction_is_due_by_number_or_by_share(config, library):
    few = config.model_copy(update={"index": IndexConfig(compact_after=5, compact_share=1.0)})
    many = config.model_copy(update={"index": IndexConfig(compact_after=6, compact_share=1.0)})
    share = config.model_copy(update={"index": IndexConfig(compact_after=99, compact_share=0.05)})
    dues = [waiting(c, library, SPACE).due for c in (few, many, share)]
    assert dues == [True, False, True]


def test_a_library_that_outgrew_its_index_is_trained_anew(config, library):
    grown = config.model_copy(update={"index": IndexConfig(flat_below=20, retrain_growth=1.01)})
    assert not waiting(config, library, SPACE).retrain
    add(library, *(f"more-{n}" for n in range(3)))
    assert waiting(grown, library, SPACE).retrain


def test_without_an_index_there_is_nothing_to_compact(config, catalog):
    with pytest.raises(IndexNotReadyError):
        waiting(config, catalog, SPACE)


def test_an_inverted_index_is_folded_with_its_own_quantizers(config, catalog, store, tmp_path):
    rng = np.random.default_rng(0)
    names = [f"n{i}" for i in range(3000)]
    x_nd = rng.normal(size=(3000, SPACE.dim)).astype(np.float32)
    x_nd /= np.linalg.norm(x_nd, axis=1, keepdims=True)
    ids = [photo_id(n) for n in names]
    table = rows.photos(*(rows.photo(f"file:///{n}.jpg", n) for n in names))
    location = f"{T}/indexes/{SPACE.id}/v1"
    small = IndexConfig(shards=2, flat_below=100, factory="IVF{nlist},PQ{pq}x4fs")
    folder = Path(store.root) / location
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, table, rows.rejects())
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, "image")
    old = build_local([(ids, x_nd)], folder, SPACE, small, version="v1", delta_seq=0)
    record = IndexVersion(T, SPACE.id, "v1", "shadow", location, 3000, 2, datetime.now(UTC))
    with catalog.tenant(T) as tx:
        indexes.create(tx, record, 0)
        indexes.activate(tx, SPACE.id, "v1")
    add(catalog, "new")
    new = compact(config, catalog, store, shards=3)
    assert (old.kind, new.kind, new.vectors, new.effort) == ("ivfpq", "ivfpq", 3001, old.effort)
    slot = local_slot(config, catalog, store, 0, 1)
    for row in (0, 7, 2999):
        assert slot.search_now(SlotQuery(T, SPACE, x_nd[row], 1, 1, 0)).ids == (ids[row],)
    assert slot.search_now(SlotQuery(T, SPACE, unit("new"), 1, 1, 0)).ids == (photo_id("new"),)
    slot.close()
    assert (Path(store.root) / f"{T}/indexes/{SPACE.id}/{new.version}/{NAME}").exists()
