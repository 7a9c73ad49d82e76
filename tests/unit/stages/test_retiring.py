"""Versions that nobody wants: out of use at once, their files with the next maintenance."""

from __future__ import annotations

import pytest

from photoorg.config import parse
from photoorg.errors import ConflictError
from photoorg.search.ports import SlotQuery
from photoorg.stages.reembedding import ReembedJob
from photoorg.stages.upkeep import Upkeep
from photoorg.store.catalog import indexes, spaces
from tests.fakes.libraries import Uploads, configured
from tests.fakes.search import MUTE, SPACE, unit
from tests.unit.search.test_slots import NAMES, T, exact, found, make
from tests.unit.stages import test_coverage
from tests.unit.stages.test_versions import library, shadow, store, versions

pytestmark = pytest.mark.postgres
__all__ = ["library", "make", "store", "versions"]


def status(catalog, version: str, space=SPACE) -> str:
    with catalog.tenant(T) as tx:
        known = indexes.get(tx, space.id, version)
    assert known is not None
    return known[0].status


def held(slot) -> set[str]:
    return {h.version for h in slot.held(T)}


def test_a_shadow_is_let_go_of_and_its_files_are_removed(library, store, versions, make, tmp_path):
    slot = make()
    assert found([slot], "q") == exact("q", NAMES)
    shadow(library, store, "v2")
    with library.tenant(T) as tx:
        indexes.want(tx, SPACE.id, "v2")
    slot.refresh()
    assert held(slot) == {"v1", "v2"}
    assert versions.retire("v2", actor="ann").status == "deleted"
    slot.refresh()
    assert held(slot) == {"v1"} and found([slot], "q") == exact("q", NAMES)
    with library.tenant(T) as tx:
        assert indexes.wanted(tx) == []
        assert [s.id for s in indexes.live_spaces(tx)] == [SPACE.id]
    config = parse({"storage": {"root": store.root}})
    Upkeep(config, store, library).purge()
    assert {path.split("/")[3] for path in store.list(f"{T}/indexes")} == {"v1"}
    with pytest.raises(ConflictError, match="deleted and cannot serve"):
        versions.activate("v2", actor="ann", force=True)


def test_a_space_that_was_given_up_is_no_longer_filled(library, store, versions, make):
    shadow(library, store, "m1", space=MUTE)
    slot = make()
    slot.search_now(SlotQuery(T, MUTE, unit("q"), 5, 5, 0))
    assert held(slot) == {"m1"}
    versions.retire("m1", actor="ann")
    slot.refresh()
    assert held(slot) == set()
    with library.tenant(T) as tx:
        assert [s.id for s in indexes.live_spaces(tx)] == [SPACE.id]


def test_what_serves_is_kept(library, store, versions):
    with pytest.raises(ConflictError, match=r"'v1' serves.*index activate"):
        versions.retire("v1", actor="ann")
    shadow(library, store, "v2")
    versions.activate("v2", actor="ann")
    with pytest.raises(ConflictError, match=r"rollback finds it.*7 days"):
        versions.retire("v1", actor="ann")
    shadow(library, store, "m1", space=MUTE)
    versions.canary("m1", 0.5, actor="ann")
    with pytest.raises(ConflictError, match=r"share of the users.*index canary m1 0"):
        versions.retire("m1", actor="ann")
    versions.canary("m1", 0.0, actor="ann")
    versions.retire("m1", actor="ann")
    with pytest.raises(ConflictError, match="retired already"):
        versions.retire("m1", actor="ann")
    assert status(library, "v2") == "active" and status(library, "v1") == "deprecated"


def test_an_older_shadow_is_retired_while_a_newer_one_is_in_canary(library, store, versions):
    shadow(library, store, "m1", space=MUTE)
    shadow(library, store, "m2", space=MUTE)
    versions.canary("m2", 0.5, actor="ann")
    versions.retire("m1", actor="ann")
    assert (status(library, "m1", MUTE), status(library, "m2", MUTE)) == ("deleted", "shadow")
    with library.tenant(T) as tx:
        canary = spaces.route(tx).canary
    assert canary is not None and canary.id == MUTE.id


@pytest.fixture
def world(tmp_path, catalog, catalog_url):
    world = Uploads(configured(tmp_path, catalog_url), catalog)
    yield world
    world.close()


def test_a_re_embedding_whose_version_is_retired_stops_with_a_sentence(world):
    world.add(*range(3))
    test_coverage.build(world)
    job = ReembedJob(world.config, world.store, world.catalog, world.second)
    job.begin()
    assert job.todo()
    test_coverage.versions_of(world).retire(job.version, actor="ann")
    with pytest.raises(ConflictError, match="retired meanwhile"):
        job.todo()
    again = test_coverage.reembed(world)
    assert again["version"] != job.version and again["status"] == "shadow"


def test_a_build_whose_version_is_retired_leaves_nothing_behind(world):
    from pipelines.build_index import Build

    world.add(*range(3))
    test_coverage.build(world)
    job = ReembedJob(world.config, world.store, world.catalog, world.second)
    job.begin()
    test_coverage.work(world, job)
    test_coverage.versions_of(world).retire(job.version, actor="ann")
    with pytest.raises(ConflictError, match="retired meanwhile"):
        Build(world.config, world.second, job.version).run(world.catalog)
    assert not list(world.store.list(f"{T}/indexes/{world.second.id}"))
