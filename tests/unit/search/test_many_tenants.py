"""One slot, fifty tenants, and memory for a few of them."""

from __future__ import annotations

import random
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from photoorg.config import IndexConfig, StorageConfig
from photoorg.index.build import build_local
from photoorg.models import IndexVersion
from photoorg.search.holdings import LEAST_BYTES
from photoorg.search.ports import SlotQuery
from photoorg.store.catalog import Catalog, delta, indexes, spaces
from photoorg.store.objects import ObjectStore
from tests.fakes.search import SPACE, photo_id, unit
from tests.unit.search.test_slots import Away, make

pytestmark = pytest.mark.postgres
__all__ = ["make"]
TENANTS = [f"tenant-{n}" for n in range(50)]
PHOTOS = 12


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path / "store")))


def names(tenant: str) -> list[str]:
    return [f"{tenant}/{n}" for n in range(PHOTOS)]


def index(catalog: Catalog, store: ObjectStore, tenant: str, version: str = "v1") -> None:
    """Twelve photos in two shards."""
    location = f"{tenant}/indexes/{SPACE.id}/{version}"
    batch = ([photo_id(n) for n in names(tenant)], np.array([unit(n) for n in names(tenant)]))
    config = IndexConfig(shards=2, recall_sample=5)
    with catalog.tenant(tenant) as tx:
        seq = delta.head(tx)
    folder = Path(store.root) / location
    built = build_local([batch], folder, SPACE, config, version=version, delta_seq=seq)
    now = datetime.now(UTC)
    record = IndexVersion(tenant, SPACE.id, version, "shadow", location, built.vectors, 2, now)
    with catalog.tenant(tenant) as tx:
        spaces.register(tx, SPACE)
        indexes.create(tx, record, seq)
        indexes.activate(tx, SPACE.id, version)


@pytest.fixture
def tenants(catalog, store):
    for tenant in TENANTS:
        index(catalog, store, tenant)
    return catalog


def answer(slot, tenant: str, seq: int = 0) -> list[str]:
    return list(slot.search_now(SlotQuery(tenant, SPACE, unit("q"), 100, seq=seq)).ids)


def exact(held: list[str]) -> list[str]:
    """Photo ids in order of their score."""
    scored = sorted((-float(unit(n) @ unit("q")), photo_id(n)) for n in held)
    return [found for _, found in scored]


def size_of(slot) -> int:
    """Bytes of what is loaded."""
    return sum(s.memory_bytes + LEAST_BYTES for s in slot._holdings.serving().values())


@pytest.fixture
def few(make, tenants):
    """The budget of about five tenants."""
    probe = make()
    answer(probe, TENANTS[0])
    return 5 * size_of(probe) + size_of(probe) // 2


@pytest.mark.parametrize("away", [False, True])
def test_every_tenant_gets_its_own_answer_and_the_budget_is_kept(tenants, store, make, few, away):
    files = Away(StorageConfig(root=store.root)) if away else store
    slot = make(store_=files, budget=few)
    order = TENANTS * 2
    random.Random(1).shuffle(order)
    for tenant in order:
        assert answer(slot, tenant) == exact(names(tenant))
        assert size_of(slot) <= few
    assert 1 <= len(slot.serving()) <= 6
    if away:
        assert files.downloads == 50 * 2 * 3, "what was downloaded once is on this machine's disk"


def test_the_one_in_use_is_kept_where_none_fits(tenants, make):
    slot = make(budget=1)
    for tenant in TENANTS[:3]:
        for _ in range(2):
            assert answer(slot, tenant) == exact(names(tenant))
            slot.refresh()
            assert [key[0] for key in slot.serving()] == [tenant]


def test_what_changes_brought_beyond_the_budget_is_let_go_of(tenants, make, few):
    slot = make(budget=few)
    for tenant in TENANTS[:5]:
        answer(slot, tenant)
    assert len(slot.serving()) == 5
    more = [f"{TENANTS[4]}/more-{n}" for n in range(4_000)]
    with tenants.tenant(TENANTS[4]) as tx:
        delta.add(tx, SPACE.id, [photo_id(n) for n in more], np.array([unit(n) for n in more]))
    slot.refresh()
    assert TENANTS[4] in {tenant for tenant, _ in slot.serving()}
    assert len(slot.serving()) < 5


def test_eviction_under_concurrency_neither_fails_nor_mixes(tenants, store, make, few):
    """Four threads ask at random while photos come and go and versions are switched."""
    slot = make(store_=Away(StorageConfig(root=store.root)), budget=few)
    slot.start()
    changing, steady = TENANTS[:5], TENANTS[5:]
    wrong: list[object] = []
    stop = threading.Event()
    asked = [0] * 4

    def ask(number: int) -> None:
        chance = random.Random(number)
        while not stop.is_set():
            tenant = chance.choice(steady)
            try:
                got = answer(slot, tenant)
            except Exception as error:
                wrong.append(error)
                return
            asked[number] += 1
            if got != exact(names(tenant)):
                wrong.append((tenant, got))

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    held = {tenant: names(tenant) for tenant in changing}
    for turn in range(8):
        for tenant in changing:
            name = f"{tenant}/new-{turn}"
            with tenants.tenant(tenant) as tx:
                delta.add(tx, SPACE.id, [photo_id(name)], unit(name)[None])
                delta.remove(tx, [photo_id(held[tenant][0])])
                seq = delta.head(tx)
            held[tenant] = [*held[tenant][1:], name]
            if answer(slot, tenant, seq) != exact(held[tenant]):
                wrong.append((tenant, turn))
        if turn == 4:
            for tenant in steady[:10]:
                index(tenants, store, tenant, "v2")
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == [] and min(asked) > 20
