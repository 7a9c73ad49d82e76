"""Cutover, rollback and canary: when they are refused, and that they are all or nothing."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from photoorg.config import IndexConfig, SearchConfig, SourceConfig, StorageConfig
from photoorg.curation_config import GatesConfig, MigrationConfig
from photoorg.errors import ConflictError, IndexNotReadyError, InputError, NotFoundError
from photoorg.index.build import build_local
from photoorg.models import IndexVersion
from photoorg.search.reader import CatalogReader
from photoorg.search.slots import LocalSlot
from photoorg.stages.versions import Versions
from photoorg.store.catalog import comparisons, delta, indexes, reports, spaces
from photoorg.store.objects import ObjectStore
from tests.fakes.search import MUTE, SPACE, photo_id, unit
from tests.unit.search.test_slots import NAMES, T, add, build, exact, found, make

pytestmark = pytest.mark.postgres
__all__ = ["make"]
CONFIG = MigrationConfig(gates=GatesConfig(), preload_timeout_s=0.5)
SEARCH = SearchConfig()


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path / "store")))


@pytest.fixture
def versions(catalog) -> Versions:
    return Versions(catalog, T, CONFIG)


def shadow(catalog, store, version: str, names=NAMES, *, shards: int = 4, space=SPACE) -> None:
    """A version that is whole and waits."""
    with catalog.tenant(T) as tx:
        seq = delta.head(tx)
    location = f"{T}/indexes/{space.id}/{version}"
    batch = ([photo_id(n) for n in names], np.array([unit(n) for n in names]))
    config = IndexConfig(shards=shards, recall_sample=10)
    built = build_local(
        [batch], Path(store.root) / location, space, config, version=version, delta_seq=seq
    )
    now = datetime.now(UTC)
    record = IndexVersion(T, space.id, version, "shadow", location, built.vectors, shards, now)
    with catalog.tenant(T) as tx:
        spaces.register(tx, space)
        indexes.create(tx, record, seq)


@pytest.fixture
def library(catalog, store):
    """60 photos in version v1 of the default space."""
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    return catalog


def serving(catalog, space=SPACE) -> str | None:
    with catalog.tenant(T) as tx:
        found = indexes.active(tx, space.id)
    return found[0].version if found else None


def head(catalog) -> int:
    with catalog.tenant(T) as tx:
        return delta.head(tx)


def test_a_cutover_waits_until_every_slot_holds_the_version(library, store, versions, make):
    slots = [make(n, 2) for n in range(2)]
    found(slots, "q")
    for slot in slots:
        slot.refresh()
    shadow(library, store, "v2")
    with pytest.raises(IndexNotReadyError, match="slot 0 of 2"):
        versions.activate("v2", actor="ann")
    assert serving(library) == "v1"
    slots[0].refresh()
    with pytest.raises(IndexNotReadyError, match="slot 1 of 2"):
        versions.activate("v2", actor="ann")
    slots[1].refresh()
    assert versions.activate("v2", actor="ann").from_version == "v1"
    assert serving(library) == "v2"


def test_a_slot_that_is_silent_holds_up_a_cutover(library, store, versions):
    shadow(library, store, "v2")
    with library.tenant(T) as tx:
        reports.say(tx, "one", 0, 2, [reports.Held(SPACE.id, "v2", 0)])
    with pytest.raises(IndexNotReadyError, match=r"slot 1 of 2 \(silent\)"):
        versions.activate("v2", actor="ann")


def test_queries_see_either_the_old_or_the_new_version_on_all_slots(library, store, versions, make):
    """Another number of shards would otherwise lose photos while slots change one by one."""
    slots = [make(n, 2) for n in range(2)]
    before = head(library)
    assert set(found(slots, "q", 60, seq=before)) == set(NAMES)
    shadow(library, store, "v2", NAMES[:50], shards=3)
    with library.tenant(T) as tx:
        indexes.want(tx, SPACE.id, "v2")
    for slot in slots:
        slot.refresh()
    versions.activate("v2", actor="ann")
    after = head(library)
    assert set(found(slots, "q", 60, seq=before)) == set(NAMES)
    assert found([slots[0]], "q", 60, seq=after)
    assert set(found(slots, "q", 60, seq=before)) == set(NAMES)
    assert set(found(slots, "q", 60, seq=after)) == set(NAMES[:50])
    assert found(slots, "q", 10, seq=after) == exact("q", NAMES[:50])


def test_a_rollback_brings_back_what_served_with_the_changes_since(library, store, versions, make):
    slot = make()
    found([slot], "q")
    slot.refresh()
    shadow(library, store, "v2")
    with library.tenant(T) as tx:
        indexes.want(tx, SPACE.id, "v2")
    slot.refresh()
    versions.activate("v2", actor="ann")
    seq = add(library, "new")
    assert found([slot], "new", seq=seq)[0] == "new"
    with library.tenant(T) as tx:
        indexes.want(tx, SPACE.id, "v1")
    slot.refresh()
    back = versions.rollback(actor="bob")
    assert (back.action, back.to_version, serving(library)) == ("rollback", "v1", "v1")
    assert found([slot], "new", seq=head(library))[0] == "new"
    assert versions.state().last == back


def test_without_a_switch_before_there_is_nothing_to_roll_back_to(library, versions):
    with pytest.raises(ConflictError, match="roll back"):
        versions.rollback(actor="ann")


def test_of_two_cutovers_at_once_one_wins_and_the_other_is_told(library, store):
    shadow(library, store, "v2")
    shadow(library, store, "v3")
    gate = threading.Barrier(2, timeout=20)
    outcomes: dict[str, object] = {}

    def cut(version: str) -> None:
        def sleep(_: float) -> None:
            gate.wait()

        with library.tenant(T) as tx:
            reports.say(tx, version, 0, 1, [])
        own = Versions(library, T, CONFIG, sleep=sleep)
        # Both look at the same state; then both go on.
        unready = own._unready
        looked: list[int] = []

        def first(tx, target):
            looked.append(1)
            if len(looked) == 1:
                gate.wait()
            return unready(tx, target)

        own._unready = first  # type: ignore[method-assign]
        try:
            outcomes[version] = own.activate(version, actor=version)
        except ConflictError as error:
            outcomes[version] = error

    threads = [threading.Thread(target=cut, args=(v,)) for v in ("v2", "v3")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    lost = [v for v, o in outcomes.items() if isinstance(o, ConflictError)]
    won = {"v2", "v3"} - set(lost)
    assert len(lost) == 1 and {serving(library)} == won
    assert next(iter(won)) in str(outcomes[lost[0]])


def test_a_cutover_to_another_space_is_one_transaction(library, store, versions):
    shadow(library, store, "m1", space=MUTE)
    with library.tenant(T) as tx:
        comparisons.put(tx, MUTE.id, "m1", passed=False, report={"gates": []})
    with pytest.raises(ConflictError, match="did not pass"):
        versions.activate("m1", actor="ann")
    assert serving(library) == "v1" and serving(library, MUTE) is None
    with library.tenant(T) as tx:
        comparisons.put(tx, MUTE.id, "m1", passed=True, report={"gates": []})
    versions.activate("m1", actor="ann")
    with library.tenant(T) as tx:
        default = spaces.get_default(tx)
        statuses = {v.version: v.status for v in indexes.list_versions(tx)}
        actions = tx.conn.execute("SELECT actor, action, entity_id FROM audit_log").fetchall()
    assert default == MUTE and statuses == {"m1": "active", "v1": "deprecated"}
    assert actions == [("ann", "index.cutover", "m1")]
    versions.rollback(actor="ann")
    assert serving(library) == "v1" and serving(library, MUTE) is None


def test_a_version_that_is_building_or_unknown_cannot_serve(library, versions):
    with pytest.raises(NotFoundError):
        versions.activate("nothing", actor="ann")
    with library.tenant(T) as tx:
        indexes.set_status(tx, SPACE.id, "v1", "deleted")
    with pytest.raises(ConflictError, match="deleted"):
        versions.activate("v1", actor="ann")


async def test_a_canary_serves_a_sticky_share_of_the_users(library, store, versions):
    shadow(library, store, "m1", space=MUTE)
    reader = CatalogReader(library, store, SEARCH, SourceConfig(), max_bytes=1000)
    users = [f"user-{n}" for n in range(400)]

    async def canaries() -> set[str]:
        await reader.head(T)
        return {u for u in users if await reader.space(T, u) == MUTE}

    assert await canaries() == set()
    versions.canary("m1", 0.1, actor="ann")
    few = await canaries()
    assert 15 < len(few) < 80 and await canaries() == few
    assert await reader.space(T) == SPACE
    versions.canary("m1", 0.5, actor="ann")
    more = await canaries()
    assert few < more and 150 < len(more) < 250
    versions.canary("m1", 0.0, actor="ann")
    assert await canaries() == set()
    reader.close()


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_a_share(library, versions, share):
    with pytest.raises(InputError, match="share"):
        versions.canary("v1", share, actor="ann")


def test_the_space_that_serves_is_no_canary(library, versions):
    with pytest.raises(ConflictError, match="already serves"):
        versions.canary("v1", 0.5, actor="ann")


async def test_a_cutover_is_seen_by_the_next_query_of_every_reader(library, store, versions):
    shadow(library, store, "m1", space=MUTE)
    readers = [
        CatalogReader(library, store, SEARCH, SourceConfig(), max_bytes=1000) for _ in range(3)
    ]
    for reader in readers:
        await reader.head(T)
        assert await reader.space(T) == SPACE
    versions.activate("m1", actor="ann", force=True)
    for reader in readers:
        await reader.head(T)
        assert await reader.space(T) == MUTE
        reader.close()


def test_a_slot_behind_the_trimmed_log_loads_the_version_anew(library, store, make):
    slot = make()
    assert found([slot], "q") == exact("q", NAMES)
    add(library, "new")
    shadow(library, store, "v2", [*NAMES, "new"])
    with library.tenant(T) as tx:
        indexes.activate(tx, SPACE.id, "v2")
        assert delta.trim(tx, delta.head(tx)) > 0
    assert found([slot], "new", 1, seq=head(library)) == ["new"]
    assert isinstance(slot, LocalSlot)


@pytest.mark.parametrize("wait_s", [-1.0, float("nan"), float("inf")])
def test_slots_are_not_waited_for_without_end(library, store, versions, wait_s):
    shadow(library, store, "v2")
    with pytest.raises(InputError, match="waited for"):
        versions.activate("v2", actor="ann", wait_s=wait_s)
    assert serving(library) == "v1"


def test_what_serves_already_is_no_cutover_and_keeps_the_way_back(library, store, versions):
    shadow(library, store, "v2")
    versions.activate("v2", actor="ann")
    with pytest.raises(ConflictError, match="serves already"):
        versions.activate("v2", actor="ann")
    assert versions.rollback(actor="ann").to_version == "v1"


def test_what_was_removed_since_cannot_be_rolled_back_to(library, store, versions):
    shadow(library, store, "v2")
    versions.activate("v2", actor="ann")
    with library.tenant(T) as tx:
        indexes.set_status(tx, SPACE.id, "v1", "deleted")
    with pytest.raises(ConflictError, match=r"removed since.*photoorg reembed --space"):
        versions.rollback(actor="ann")
    assert serving(library) == "v2"


def test_versions_of_other_tenants_are_unknown(library, store, versions):
    shadow(library, store, "v2")
    theirs = Versions(library, "other", CONFIG)
    for attempt in (
        lambda: theirs.activate("v2", actor="bob", force=True),
        lambda: theirs.canary("v2", 0.5, actor="bob"),
        lambda: theirs.retire("v2", actor="bob"),
    ):
        with pytest.raises(NotFoundError):
            attempt()
    with pytest.raises(ConflictError, match="nothing to roll back to"):
        theirs.rollback(actor="bob")
    assert serving(library) == "v1"
