"""Maintenance removes what is old and nothing that is needed."""

from __future__ import annotations

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.search.local import local_slot
from photoorg.stages.upkeep import Upkeep
from photoorg.stages.vectors import VectorSnapshot
from photoorg.stages.versions import Versions
from photoorg.store.catalog import delta, indexes, spaces
from photoorg.store.objects import ObjectStore
from tests.fakes.search import SPACE, photo_id
from tests.unit.search.test_slots import NAMES, T, add, build, delete, found
from tests.unit.stages.test_versions import shadow

pytestmark = pytest.mark.postgres


@pytest.fixture
def config(tmp_path) -> PhotoOrgConfig:
    return parse({"storage": {"root": str(tmp_path / "store")}})


@pytest.fixture
def store(config) -> ObjectStore:
    return ObjectStore(config.storage)


@pytest.fixture
def library(catalog, store):
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    shadow(catalog, store, "v2")
    Versions(catalog, T, parse({}).migration).activate("v2", actor="ann")
    return catalog


def age(catalog, version: str, days: float) -> None:
    with catalog.tenant(T) as tx:
        tx.conn.execute(
            "UPDATE index_versions SET changed_at = now() - make_interval(secs => %s)"
            " WHERE version = %s",
            [86_400 * days, version],
        )


def statuses(catalog) -> dict[str, str]:
    with catalog.tenant(T) as tx:
        return {v.version: v.status for v in indexes.list_versions(tx)}


def files(store, version: str) -> list[str]:
    return list(store.list(f"{T}/indexes/{SPACE.id}/{version}/"))


def test_a_version_is_kept_seven_days_and_the_active_one_for_ever(config, library, store):
    upkeep = Upkeep(config, store, library)
    for days, expected in ((6.9, "deprecated"), (7.1, "deleted")):
        age(library, "v1", days)
        age(library, "v2", days)
        upkeep.run()
        assert statuses(library) == {"v1": expected, "v2": "active"}
        assert bool(files(store, "v1")) == (expected == "deprecated") and files(store, "v2")
    with library.tenant(T) as tx:
        done = tx.conn.execute("SELECT actor, entity_id FROM audit_log WHERE action LIKE '%purge'")
        assert done.fetchall() == [("maintenance", "v1")]


def test_an_abandoned_build_goes_and_one_under_way_stays(config, library, store):
    from photoorg.stages.publish import Publisher

    for version in ("old", "young"):
        publisher = Publisher(store, T, SPACE, version)
        publisher.begin(library)
        store.write(f"{publisher.directory}/shard-0.ids", b"half")
    age(library, "old", 2)
    tidied = Upkeep(config, store, library).run()
    assert tidied.abandoned == ("old",)
    assert statuses(library)["young"] == "building"
    assert not files(store, "old") and files(store, "young")


def test_files_of_a_purge_that_was_killed_go_with_the_next(config, library, store):
    with library.tenant(T) as tx:
        indexes.set_status(tx, SPACE.id, "v1", "deleted")
    assert files(store, "v1")
    Upkeep(config, store, library).run()
    assert not files(store, "v1")


def test_the_log_is_kept_as_far_as_any_version_needs_it(config, library, store):
    seq = add(library, "new")
    upkeep = Upkeep(config, store, library)
    with library.tenant(T) as tx:
        oldest = indexes.oldest_seq(tx)
    upkeep.trim()
    with library.tenant(T) as tx:
        assert delta.floor(tx) == oldest
        assert [e.photo_id for e in delta.since(tx, SPACE.id, 0)] == [photo_id("new")]
        assert delta.head(tx) == seq


def test_trimmed_vectors_are_in_the_next_build(config, library, store):
    add(library, "new")
    delete(library, NAMES[0])
    shadow(library, store, "v3", [*NAMES[1:], "new"])
    Versions(library, T, config.migration).activate("v3", actor="ann")
    for version in ("v1", "v2"):
        age(library, version, 8)
    upkeep = Upkeep(config, store, library)
    assert upkeep.run().trimmed > 60
    with library.tenant(T) as tx:
        assert delta.since(tx, SPACE.id, 0) == []
        snapshot = VectorSnapshot(store, T, SPACE, f"{T}/scratch")
        snapshot.take(tx)
    keys = {k.tobytes().hex() for b in snapshot.batches(snapshot.sources()) for k in b[0]}
    assert keys == {photo_id(n) for n in [*NAMES[1:], "new"]}
    slot = local_slot(config, library, store, 0, 1)
    assert found([slot], "new", 1) == ["new"]
    slot.close()
    assert upkeep.run().trimmed == 0


def test_without_an_index_the_log_is_all_there_is(config, catalog, store):
    add(catalog, *NAMES)
    with catalog.tenant(T) as tx:
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, "image")
    assert Upkeep(config, store, catalog).run().trimmed == 0
