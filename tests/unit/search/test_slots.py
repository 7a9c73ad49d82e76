"""LocalSlot and CatalogReader over a real PostgreSQL and real index files."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from photoorg.config import IndexConfig, SearchConfig, SourceConfig, StorageConfig
from photoorg.errors import IndexCorruptError
from photoorg.index.build import build_local
from photoorg.index.devices import Devices
from photoorg.models import IndexVersion
from photoorg.search.holdings import Holdings
from photoorg.search.ports import SlotQuery
from photoorg.search.reader import CatalogReader, Joined
from photoorg.search.slots import LocalSlot
from photoorg.store.catalog import Catalog, delta, indexes, photos, spaces
from photoorg.store.objects import ObjectStore
from tests.catalog import rows
from tests.fakes.gpus import FakeGpus
from tests.fakes.search import MUTE, SPACE, photo_id, unit

pytestmark = pytest.mark.postgres

T = "default"
NAMES = [f"photo-{i}" for i in range(60)]
SEARCH = SearchConfig(delta_poll_ms=50)


class Away(ObjectStore):
    """A store whose objects are on no local path, as S3's are not."""

    downloads = 0

    def local_path(self, path: str) -> Path | None:
        return None

    def download(self, path: str, local: Path) -> None:
        self.downloads += 1
        super().download(path, local)


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path / "store")))


@pytest.fixture
def make(catalog, store, tmp_path):
    made: list[LocalSlot] = []

    def slot(
        number=0, count=1, *, store_=None, budget=10**9, disk=10**9, devices=None
    ) -> LocalSlot:
        holdings = Holdings(
            number,
            count,
            catalog,
            store_ or store,
            tmp_path / "cache",
            index=IndexConfig(),
            budget_bytes=budget,
            disk_bytes=disk,
            devices=devices,
        )
        made.append(LocalSlot(holdings, catalog, SEARCH))
        return made[-1]

    yield slot
    for one in made:
        one.close()


def add(catalog: Catalog, *names: str, tenant: str = T) -> int:
    table = rows.photos(*(rows.photo(f"file:///{n}.jpg", n) for n in names))
    with catalog.tenant(tenant) as tx:
        part = int.from_bytes(names[0].encode()[-3:], "big")
        photos.copy_part(tx, f"run-{names[0]}", part, table, rows.rejects())
        ids = [photo_id(n) for n in names]
        return delta.add(tx, SPACE.id, ids, np.array([unit(n) for n in names]))


def delete(catalog: Catalog, name: str) -> int:
    with catalog.tenant(T) as tx:
        assert photos.delete(tx, photo_id(name))
        return delta.head(tx)


def build(
    catalog: Catalog, store: ObjectStore, names, version: str, seq: int, shards=4, tenant=T
) -> None:
    location = f"{tenant}/indexes/{SPACE.id}/{version}"
    folder = Path(store.root) / location
    batch = ([photo_id(n) for n in names], np.array([unit(n) for n in names]))
    config = IndexConfig(shards=shards, recall_sample=10)
    manifest = build_local([batch], folder, SPACE, config, version=version, delta_seq=seq)
    now = datetime.now(UTC)
    record = IndexVersion(
        tenant, SPACE.id, version, "shadow", location, manifest.vectors, shards, now
    )
    with catalog.tenant(tenant) as tx:
        spaces.register(tx, SPACE)
        indexes.create(tx, record, seq)
        indexes.activate(tx, SPACE.id, version)


def found(slots, query: str, k: int = 10, seq: int = 0, tenant: str = T) -> list[str]:
    """Names in order of score over all slots."""
    back = {photo_id(n): n for n in [*NAMES, "new", "other"]}
    scored = []
    for slot in slots:
        answer = slot.search_now(SlotQuery(tenant, SPACE, unit(query), k, k, seq))
        scored += zip((-answer.scores).tolist(), answer.ids, strict=True)
    return [back[i] for _, i in sorted(scored)[:k]]


def exact(query: str, names, k: int = 10) -> list[str]:
    return sorted(names, key=lambda n: (-float(unit(n) @ unit(query)), photo_id(n)))[:k]


def test_a_tenant_without_an_index_is_searched_in_its_changes(catalog, make):
    seq = add(catalog, *NAMES)
    assert found([make(n, 4) for n in range(4)], "q", seq=seq) == exact("q", NAMES)


@pytest.mark.parametrize(("shards", "slots"), [(4, 4), (4, 1), (4, 3), (2, 4)])
def test_any_number_of_slots_serves_any_number_of_shards(catalog, store, make, shards, slots):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES), shards)
    all_slots = [make(n, slots) for n in range(slots)]
    assert found(all_slots, "q", 20) == exact("q", NAMES, 20)
    holders = [s.vector_now(T, SPACE, photo_id("photo-3"), 0) is not None for s in all_slots]
    assert sum(holders) == 1


def test_vectors_come_with_the_answer_in_its_order(catalog, store, make):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    answer = make().search_now(SlotQuery(T, SPACE, unit("q"), 10, 10, 0))
    cosines = answer.vectors.astype(np.float32) @ unit("q")
    np.testing.assert_allclose(cosines, answer.scores, atol=5e-3)


def test_an_upload_is_in_the_next_query_that_knows_of_it_and_a_delete_is_out(catalog, store, make):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    slots = [make(n, 2) for n in range(2)]
    assert "new" not in found(slots, "new")
    assert found(slots, "new", seq=add(catalog, "new"))[0] == "new"
    assert "new" not in found(slots, "new", seq=delete(catalog, "new"))
    assert "photo-3" not in found(slots, "photo-3", seq=delete(catalog, "photo-3"))


def test_changes_are_seen_without_being_told_by_the_watcher(catalog, store, make):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    slot = make()
    slot.start()
    assert "new" not in found([slot], "new")
    add(catalog, "new")
    assert eventually(lambda: found([slot], "new")[0] == "new")


def test_a_new_version_is_swapped_in_with_the_changes_since(catalog, store, make):
    seq = add(catalog, *NAMES)
    build(catalog, store, NAMES[:30], "v1", seq)
    slot = make()
    assert "photo-40" not in found([slot], "photo-40")
    seq = add(catalog, "new")
    build(catalog, store, NAMES, "v2", seq - 1)
    slot.refresh()
    assert found([slot], "photo-40")[0] == "photo-40"
    assert found([slot], "new")[0] == "new"


def test_queries_go_on_while_a_version_is_swapped(catalog, store, make):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    slot = make()
    expected, wrong, stop = exact("q", NAMES), [], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            got = found([slot], "q")
            if got != expected:
                wrong.append(got)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for number in range(2, 6):
        build(catalog, store, NAMES, f"v{number}", 60, shards=number)
        slot.refresh()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_files_that_are_elsewhere_are_cached_once_and_mended(catalog, store, make, tmp_path):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES), shards=2)
    away = Away(StorageConfig(root=store.root))
    assert found([make(store_=away)], "q") == exact("q", NAMES)
    first = away.downloads
    assert found([make(store_=away)], "q") == exact("q", NAMES)
    assert away.downloads == first > 0
    (broken, *_) = sorted((tmp_path / "cache").rglob("*.faiss"))
    broken.write_bytes(broken.read_bytes()[:-100])
    assert found([make(store_=away)], "q") == exact("q", NAMES)
    assert away.downloads > first


def test_a_cached_version_is_removed_when_another_takes_over(catalog, store, make, tmp_path):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    slot = make(store_=Away(StorageConfig(root=store.root)))
    found([slot], "q")
    build(catalog, store, NAMES, "v2", 60)
    slot.refresh()
    kept = {p.parent.name for p in (tmp_path / "cache").rglob("shard-*")}
    assert kept == {"v2"} and found([slot], "q") == exact("q", NAMES)


def test_a_damaged_index_is_an_error_that_names_the_file(catalog, store, make):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    for broken in Path(store.root).rglob("*.rescore"):
        broken.write_bytes(broken.read_bytes()[:-100])
    with pytest.raises(IndexCorruptError, match=r"\.rescore"):
        make().search_now(SlotQuery(T, SPACE, unit("q"), 5, 5, 0))


def test_a_damaged_shard_is_left_out_and_counted_as_lost(catalog, store, make):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    (broken, *_) = sorted(Path(store.root).rglob("*.rescore"))
    broken.write_bytes(broken.read_bytes()[:-100])
    answer = make().search_now(SlotQuery(T, SPACE, unit("q"), 60, 60, 0))
    assert (answer.shards, answer.lost) == (3, 1)
    assert 0 < len(answer.ids) < 60


def test_the_least_recently_used_tenant_is_let_go_when_memory_is_short(catalog, make):
    for tenant in ("one", "two", "three"):
        add(catalog, *NAMES[:20], tenant=tenant)
    slot = make(budget=1)
    seq = 10**6
    for tenant in ("one", "two", "three", "one"):
        assert found([slot], "q", seq=seq, tenant=tenant) == exact("q", NAMES[:20])
    assert len(slot.serving()) == 1


def test_shards_are_searched_on_gpus_and_leave_them_with_their_version_and_tenant(
    catalog, store, make
):
    gpus = FakeGpus(2)
    devices = Devices(gpus, 10**9)
    for tenant in ("two", "one"):
        seq = add(catalog, *NAMES, tenant=tenant)
        build(catalog, store, NAMES, "v1", seq, tenant=tenant)
    slot = make(budget=1, devices=devices)
    assert found([slot], "q", tenant="one") == exact("q", NAMES)
    devices.settle()
    assert gpus.searches == [] and [c.device for c in gpus.alive] == [0, 0, 1, 1]
    assert found([slot], "q", tenant="one") == exact("q", NAMES)
    assert {device for device, _ in gpus.searches} == {0, 1}
    build(catalog, store, NAMES[:30], "v2", seq, shards=2, tenant="one")
    slot.refresh()
    devices.settle()
    assert sum(copy.ntotal for copy in gpus.alive) == 30
    seq = add(catalog, "new", tenant="one")
    assert found([slot], "q", seq=seq, tenant="one") == exact("q", [*NAMES[:30], "new"])
    assert found([slot], "q", tenant="two") == exact("q", NAMES)
    assert [tenant for tenant, _ in slot.serving()] == ["two"]
    devices.settle()
    assert sum(copy.ntotal for copy in gpus.alive) == 60


async def test_a_slot_says_what_is_on_which_gpu(catalog, store, make):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES), shards=1)
    devices = Devices(FakeGpus(), 10**9)
    slot = make(devices=devices)
    found([slot], "q")
    assert "1 shards on the CPU" in await slot.ready()
    devices.settle()
    assert "GPU 0: 1 shards" in await slot.ready()
    assert "GPU" not in await make().ready()


def test_tenants_and_spaces_never_mix(catalog, make):
    add(catalog, "photo-1", tenant="one")
    seq = add(catalog, "photo-2", tenant="two")
    slot = make()
    assert found([slot], "q", seq=seq, tenant="one") == ["photo-1"]
    assert slot.search_now(SlotQuery("two", MUTE, unit("q"), 5, 5, seq)).ids == ()


async def test_a_reader_forgets_a_photo_as_soon_as_it_is_deleted(catalog, store):
    add(catalog, "photo-1", "photo-2")
    reader = CatalogReader(catalog, store, SEARCH, SourceConfig(), max_bytes=1000)
    ids = [photo_id("photo-1"), photo_id("photo-2"), photo_id("nobody")]
    await reader.head(T)
    assert set(await reader.photos(T, ids)) == set(ids[:2])
    seq = delete(catalog, "photo-1")
    assert await reader.head(T) == seq
    assert set(await reader.photos(T, ids)) == {ids[1]}
    reader.close()


async def test_a_reader_answers_known_photos_without_asking_again(catalog, store):
    add(catalog, "photo-1")
    reader = CatalogReader(catalog, store, SEARCH, SourceConfig(), max_bytes=1000)
    await reader.head(T)
    before = await reader.photos(T, [photo_id("photo-1")])
    with catalog.tenant(T) as tx:
        tx.conn.execute("UPDATE photos SET mime = 'image/changed'")
    again = await reader.photos(T, [photo_id("photo-1")])
    assert again[photo_id("photo-1")] == before[photo_id("photo-1")]
    reader.close()


async def test_questions_that_wait_share_one_that_is_asked_after_them():
    import asyncio

    asked = 0
    gate = asyncio.Event()

    async def ask() -> int:
        nonlocal asked
        asked += 1
        number = asked
        await gate.wait()
        return number

    joined = Joined(ask)
    first = asyncio.create_task(joined())
    await asyncio.sleep(0.01)
    late = [asyncio.create_task(joined()) for _ in range(5)]
    await asyncio.sleep(0.01)
    gate.set()
    assert await first == 1
    assert [await task for task in late] == [2] * 5 and asked == 2


def eventually(check, seconds: float = 20.0) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.02)
    return False


def test_files_of_tenants_that_were_let_go_leave_the_disk_when_others_need_it(
    catalog, store, make, tmp_path
):
    tenants = ("one", "two", "three")
    for tenant in tenants:
        seq = add(catalog, *NAMES, tenant=tenant)
        build(catalog, store, NAMES, "v1", seq, tenant=tenant)
    away = Away(StorageConfig(root=store.root))
    slot = make(store_=away, budget=0, disk=0)
    expected = exact("q", NAMES)
    for tenant in tenants:
        assert found([slot], "q", tenant=tenant) == expected
        cached = {path.name for path in (tmp_path / "cache").iterdir() if list(path.glob("*/*"))}
        assert cached == {tenant}
    downloads = away.downloads
    assert found([slot], "q", tenant="one") == expected and away.downloads == downloads + 12


def test_a_file_that_another_process_took_from_the_cache_is_fetched_again(
    catalog, store, make, tmp_path, monkeypatch
):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    away = Away(StorageConfig(root=store.root))
    assert found([make(store_=away)], "q") == exact("q", NAMES)
    taken = sorted((tmp_path / "cache").rglob("shard-2.*"))
    seen = Path.exists

    def exists(path: Path) -> bool:
        there = seen(path)
        if path in taken and there:
            taken.remove(path)
            path.unlink()
        return there

    monkeypatch.setattr(Path, "exists", exists)
    assert found([make(store_=away)], "q") == exact("q", NAMES)
