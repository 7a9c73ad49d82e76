"""Re-embedding into a second space while photos come and go, and the cutover to it."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from photoorg.errors import ConflictError
from photoorg.search.local import local_slot
from photoorg.search.ports import SlotQuery
from photoorg.stages.reembedding import ReembedJob, ReembedParts
from photoorg.stages.versions import Versions
from photoorg.store.catalog import delta, indexes, photos, spaces
from photoorg.store.layout import vectors_dir
from photoorg.store.runs import find_runs
from tests.fakes.libraries import Uploads, configured

pytestmark = pytest.mark.postgres
T = "default"


@pytest.fixture
def world(tmp_path, catalog, catalog_url):
    world = Uploads(configured(tmp_path, catalog_url, ingest={"part_rows": 4}), catalog)
    yield world
    world.close()


def job_of(world: Uploads) -> ReembedJob:
    return ReembedJob(world.config, world.store, world.catalog, world.second)


def worker(world: Uploads, version: str) -> ReembedParts:
    from photoorg.encoders.spaces import open_encoder

    config = world.config.encoder.model_copy(update={"space": world.config.migration.spaces[0]})
    encoder = open_encoder(config, world.config.models_dir)
    return ReembedParts(world.config, world.store, encoder, version)


def build(world: Uploads, job: ReembedJob) -> None:
    from pipelines.build_index import Build

    Build(world.config, world.second, job.version).run(world.catalog)
    job.finish()


def reembed(world: Uploads) -> str:
    job = job_of(world)
    job.begin()
    while todo := job.todo():
        for part in todo:
            worker(world, job.version).work(part)
    build(world, job)
    return job.version


def in_second(world: Uploads) -> set[str]:
    """What a search in the second space can find."""
    slot = local_slot(world.config, world.catalog, world.store, 0, 1)
    with world.catalog.tenant(T) as tx:
        seq = delta.head(tx)
    import numpy as np

    x_d = np.ones(world.second.dim, np.float32)
    ids = slot.search_now(SlotQuery(T, world.second, x_d, 500, 500, seq)).ids
    slot.close()
    return set(ids)


def live(world: Uploads) -> set[str]:
    with world.catalog.tenant(T) as tx:
        return set(photos.live_ids(tx))


def test_every_photo_gets_a_vector_in_the_new_space_and_the_shadow_holds_it(world):
    ids = world.add(*range(10))
    version = reembed(world)
    assert in_second(world) == set(ids)
    with world.catalog.tenant(T) as tx:
        found = indexes.get(tx, world.second.id, version)
        assert found is not None and (found[0].status, found[0].vectors) == ("shadow", 10)
        default = spaces.get_default(tx)
        assert default is not None and default.name == "builtin"


def test_photos_that_come_or_go_on_the_way_are_right_in_the_shadow(world):
    first = world.add(*range(8))
    job = job_of(world)
    job.begin()
    parts = job.todo()
    worker(world, job.version).work(parts[0])
    late = world.add(20, 21)
    world.delete(first[0], first[7], late[1])
    for part in parts[1:]:
        worker(world, job.version).work(part)
    assert job.todo() == []
    later = world.add(22)
    build(world, job)
    last = world.add(23)
    world.delete(first[1])
    assert in_second(world) == {*first[2:7], late[0], *later, *last} == live(world)


def test_an_upload_that_began_before_the_migration_lands_in_both_spaces(world):
    world.add(1)
    job = job_of(world)
    process = world.ingestor._line_of(T)
    seen: list[int] = []

    class Slow:
        def process(self, data, **how):
            result = process.process(data, **how)
            seen.append(len(how.get("also", ())))
            if len(seen) == 1:
                job.begin()  # the migration begins while the upload is under way
            return result

    world.ingestor._lines[T] = Slow()
    (photo_id,) = world.add(2)
    assert seen == [0, 1]
    with world.catalog.tenant(T) as tx:
        logged = {e.photo_id for e in delta.since(tx, world.second.id, 0) if e.op == "add"}
    assert logged == {photo_id}


def test_a_killed_run_goes_on_with_the_parts_that_are_missing(world):
    world.add(*range(10))
    job = job_of(world)
    job.begin()
    parts = job.todo()
    worker(world, job.version).work(parts[0])
    again = job_of(world)
    assert again.version == job.version
    again.begin()
    assert again.todo() == parts[1:]
    for part in again.todo():
        worker(world, again.version).work(part)
    build(world, again)
    runs = find_runs(world.store, vectors_dir(T, world.second.id, ""))
    assert sum(len(run.read_part(n)) for run in runs for n in run.parts()) == 10
    assert job_of(world).version != job.version


def test_a_photo_whose_bytes_are_gone_is_a_reject_and_stops_nothing(world):
    ids = world.add(*range(5))
    from photoorg.store.layout import blob_path

    Path(world.store.root, blob_path(T, ids[2])).unlink()
    version = reembed(world)
    assert in_second(world) == set(ids) - {ids[2]}
    assert version


def test_many_uploads_and_deletes_race_with_the_migration(world):
    first = world.add(*range(12))
    stop, deleted = threading.Event(), []

    def churn() -> None:
        seed = 100
        while not stop.is_set():
            seed += 1
            world.add(seed)
            if first[4:]:
                deleted.append(first.pop())
                world.delete(deleted[-1])

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        reembed(world)
    finally:
        stop.set()
        thread.join()
    found = in_second(world)
    assert found == live(world) and not found & set(deleted)


def test_a_cutover_needs_a_comparison_unless_it_is_forced(world):
    world.add(*range(4))
    version = reembed(world)
    versions = Versions(world.catalog, T, world.config.migration)
    with pytest.raises(ConflictError, match="never compared"):
        versions.activate(version, actor="ann")
    done = versions.activate(version, actor="ann", force=True)
    assert (done.action, done.to_version) == ("cutover", version)
    with world.catalog.tenant(T) as tx:
        default = spaces.get_default(tx)
    assert default is not None and default.id == world.second.id
