"""Photos that go, hide, and come back while the library moves to another space."""

from __future__ import annotations

import numpy as np
import pytest

from photoorg.search.local import local_slot
from photoorg.search.ports import SlotQuery
from photoorg.space import EmbeddingSpace
from photoorg.stages.coverage import Coverage
from photoorg.stages.purging import purge_trash
from photoorg.stages.reembedding import ReembedJob
from photoorg.stages.versions import Versions
from photoorg.store.catalog import delta, indexes, trash
from pipelines.build_index import Build
from tests.fakes.libraries import Uploads, configured
from tests.unit.stages.test_coverage import T, build, live, reembed, work

pytestmark = pytest.mark.postgres


@pytest.fixture
def world(tmp_path, catalog, catalog_url):
    world = Uploads(configured(tmp_path, catalog_url), catalog)
    yield world
    world.close()


@pytest.fixture
def slot(world):
    """One that lives through all of it, as a replica does."""
    slot = local_slot(world.config, world.catalog, world.store, 0, 1)
    yield slot
    slot.close()


def found(world: Uploads, slot, space: EmbeddingSpace) -> set[str]:
    """What a replica finds that looks for changes first."""
    slot.refresh()
    return asked(world, slot, space)


def asked(world: Uploads, slot, space: EmbeddingSpace) -> set[str]:
    """What a replica finds that was not told of anything before."""
    with world.catalog.tenant(T) as tx:
        seq = delta.head(tx)
    query = SlotQuery(T, space, np.ones(space.dim, np.float32), 500, seq=seq)
    return set(slot.search_now(query).ids)


def in_both(world: Uploads, slot) -> set[str]:
    """What is found, which is the same in either space, also by a replica that starts now."""
    late = local_slot(world.config, world.catalog, world.store, 0, 1)
    spaces = (world.models.space, world.second)
    sets = {frozenset(found(world, slot, space)) for space in spaces}
    sets |= {frozenset(asked(world, late, space)) for space in spaces}
    late.close()
    (every,) = sets
    return set(every)


def hide(world: Uploads, *photo_ids: str) -> None:
    with world.catalog.tenant(T) as tx:
        trash.put(tx, photo_ids)


def show(world: Uploads, *photo_ids: str) -> None:
    with world.catalog.tenant(T) as tx:
        trash.restore(tx, photo_ids)


def switching(world: Uploads, slot) -> Versions:
    """Cutovers wait for the slot, which looks for what is wanted meanwhile."""
    config, coverage = world.config.migration, Coverage(world.store, world.catalog, T)
    return Versions(world.catalog, T, config, coverage, sleep=lambda _: slot.refresh())


class Migration:
    """Step by step, so that anything can happen between two of them."""

    def __init__(self, world: Uploads, slot) -> None:
        self.world = world
        self.versions = switching(world, slot)
        self.job = ReembedJob(world.config, world.store, world.catalog, world.second)

    def steps(self):
        """Names of steps; each is done before its name comes."""
        self.job.begin()
        yield "begun"
        work(self.world, self.job)
        yield "embedded"
        Build(self.world.config, self.world.second, self.job.version).run(self.world.catalog)
        self.job.finish()
        yield "built"
        self.versions.activate(self.job.version, actor="ann", force=True)
        yield "switched"
        build_old(self.world)
        yield "rebuilt"


def build_old(world: Uploads) -> None:
    """The space of before is built anew, from stored vectors and the log."""
    from pipelines import build_index

    build_index.run(world.config, space=world.models.space.id)


STEPS = ("begun", "embedded", "built", "switched", "rebuilt")
PAIRS = [(w, b) for w in STEPS[:4] for b in STEPS[:4] if STEPS.index(b) >= STEPS.index(w)]


@pytest.mark.parametrize(("when", "back"), PAIRS)
def test_what_comes_back_is_in_both_and_what_is_gone_is_in_none(world, slot, when, back):
    """Deleted, hidden and restored, hidden and purged, or deleted and uploaded again."""
    kept, gone, restored, purged, again = world.add(*range(5))
    build(world)
    expected = {kept, gone, restored, purged, again}
    for step in Migration(world, slot).steps():
        if step == when:
            world.delete(gone, again)
            hide(world, restored, purged)
            expected = {kept}
        if step == back:
            show(world, restored)
            assert world.add(4) == [again]
            assert purge_trash(world.catalog, world.store, T, 0.0) == 1
            expected = {kept, restored, again}
        assert found(world, slot, world.models.space) == expected, step
        if STEPS.index(step) >= STEPS.index("built"):
            assert in_both(world, slot) == expected, step
    switching(world, slot).rollback(actor="ann")
    assert in_both(world, slot) == {kept, restored, again} == live(world)


def test_a_photo_that_was_deleted_while_its_upload_waited_stays_away(world, slot):
    first = world.add(*range(3))
    build(world)
    shadow = reembed(world)
    waiting = world.accept(50)
    world.delete(waiting)
    assert world.add() == []
    switching(world, slot).activate(shadow["version"], actor="ann", force=True)
    assert in_both(world, slot) == {*first} == live(world)


def test_a_photo_uploaded_again_where_the_second_encoder_lacks_is_caught_up_with(world, slot):
    one, two, three = world.add(*range(3))
    build(world)
    shadow = reembed(world)
    world.delete(two)
    encoders, world.ingestor._encoders = world.ingestor._encoders, None
    assert world.add(1) == [two]
    assert found(world, slot, world.second) == {one, three}
    done = reembed(world)
    assert (done["photos"], done["added"]) == (0, 1), "its vector is still stored"
    world.ingestor._encoders = encoders
    switching(world, slot).activate(shadow["version"], actor="ann", force=True)
    assert in_both(world, slot) == {one, two, three}


def test_a_hidden_photo_is_re_embedded_and_stays_hidden_until_it_is_restored(world, slot):
    one, two = world.add(*range(2))
    build(world)
    hide(world, two)
    shadow = reembed(world)
    assert (shadow["photos"], shadow["vectors"]) == (2, 2)
    switching(world, slot).activate(shadow["version"], actor="ann", force=True)
    assert in_both(world, slot) == {one}
    show(world, two)
    assert in_both(world, slot) == {one, two}
    with world.catalog.tenant(T) as tx:
        assert len(indexes.live_spaces(tx)) == 2
