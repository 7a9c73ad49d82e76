"""Bulk ingests while the library moves to another space: the photos land in both."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from photoorg.config import PhotoOrgConfig
from photoorg.errors import ConflictError
from photoorg.stages.coverage import Coverage
from photoorg.stages.ingest import open_models
from photoorg.stages.job import IngestJob, IngestSummary, coming_spaces
from photoorg.stages.plan import plan_here
from photoorg.stages.reembedding import ReembedJob
from photoorg.store.catalog import Catalog, delta, photos, trash
from photoorg.store.catalog.listing import Listing
from photoorg.store.layout import vectors_dir
from photoorg.store.runs import Run
from pipelines.build_index import Build
from tests.fakes.libraries import Uploads, configured
from tests.pictures import jpeg
from tests.unit.stages.test_coverage import T, build, found, live, reembed, versions_of, work

pytestmark = pytest.mark.postgres


@pytest.fixture
def world(tmp_path: Path, catalog: Catalog, catalog_url: str) -> Iterator[Uploads]:
    world = Uploads(configured(tmp_path, catalog_url, ingest={"part_rows": 100}), catalog)
    yield world
    world.close()


def pictures(folder: Path, *seeds: int) -> str:
    folder.mkdir(exist_ok=True)
    for seed in seeds:
        (folder / f"{seed}.jpg").write_bytes(jpeg(seed))
    return str(folder)


def ingest(config: PhotoOrgConfig, folder: str, **options: bool) -> IngestSummary:
    from pipelines import ingest

    return ingest.run(config, [folder], **options)


def gap(world: Uploads, done: dict) -> list[str]:
    coverage = Coverage(world.store, world.catalog, T)
    version = versions_of(world).find(done["version"], done["space"])
    return coverage.gap(version).photo_ids


def test_an_ingest_after_the_shadow_was_built_is_in_it_at_once(world, tmp_path):
    world.add(*range(4))
    build(world)
    shadow = reembed(world)
    summary = ingest(world.config, pictures(tmp_path / "bulk", 50, 51, 52))
    assert (summary.new, summary.also, summary.behind) == (3, ("tiny",), ())
    assert gap(world, shadow) == []
    versions_of(world).activate(shadow["version"], actor="ann", force=True)
    assert found(world) == live(world) and len(live(world)) == 7


def test_an_ingest_while_the_version_is_built_is_embedded_once(world, tmp_path):
    world.add(*range(4))
    build(world)
    job = ReembedJob(world.config, world.store, world.catalog, world.second)
    job.begin()
    assert ingest(world.config, pictures(tmp_path / "bulk", 60, 61)).also == ("tiny",)
    assert job.count(job.todo()) == 4, "only those that were there before"
    work(world, job)
    late = pictures(tmp_path / "later", 62)
    Build(world.config, world.second, job.version).run(world.catalog)
    assert ingest(world.config, late).also == ("tiny",)
    job.finish()
    done = {"version": job.version, "space": world.second.id}
    assert gap(world, done) == []
    versions_of(world).activate(job.version, actor="ann", force=True)
    assert found(world) == live(world) and len(live(world)) == 7


def test_no_more_than_compaction_waits_for_is_logged_and_none_is_embedded_again(world, tmp_path):
    world.add(*range(2))
    build(world)
    shadow = reembed(world)
    few = world.config.index.model_copy(update={"compact_after": 2})
    config = world.config.model_copy(update={"index": few})
    assert ingest(config, pictures(tmp_path / "bulk", 70, 71)).behind == ()
    summary = ingest(config, pictures(tmp_path / "more", 72))
    assert (summary.also, summary.behind) == ((), ("tiny",))
    assert len(gap(world, shadow)) == 1
    with pytest.raises(ConflictError, match="lacks 1 of 5"):
        versions_of(world).activate(shadow["version"], actor="ann", force=True)
    again = reembed(world)
    assert (again["photos"], again["added"]) == (0, 1)


def test_a_run_that_began_before_the_migration_is_told_to_be_behind(world, tmp_path):
    """Killed between two steps, it goes on while a shadow stands that it knew nothing of."""
    world.add(*range(2))
    build(world)
    folder = pictures(tmp_path / "bulk", 80, 81)
    models = open_models(world.config)
    job = IngestJob(world.config, world.store, world.catalog, models.space)
    with Listing(world.catalog, T) as listing:
        (run,) = job.prepare(listing, [folder], plan=lambda _: plan_here(world.config.ingest))
    from pipelines.ingest import FusedWorker

    FusedWorker(world.config, run.run_id, models).part(0)
    shadow = reembed(world)
    pictures(tmp_path / "bulk", 82)
    summary = ingest(world.config, folder)
    assert (summary.run_ids[0], summary.behind) == (run.run_id, ("tiny",))
    assert len(gap(world, shadow)) == 2
    assert reembed(world)["added"] == 2


def test_what_was_deleted_or_hidden_does_not_come_back_by_an_ingest(world, tmp_path):
    world.add(*range(2))
    build(world)
    shadow = reembed(world)
    folder = pictures(tmp_path / "bulk", 90, 91, 92)
    before = live(world)
    ingest(world.config, folder)
    gone, hidden, kept = sorted(live(world) - before)
    world.delete(gone)
    with world.catalog.tenant(T) as tx:
        trash.put(tx, [hidden])
    assert ingest(world.config, folder).new == 0
    versions_of(world).activate(shadow["version"], actor="ann", force=True)
    assert found(world) == {*before, kept}
    assert ingest(world.config, folder, force=True).new == 3, "asked for in so many words"
    build(world)
    assert found(world) == {*before, kept, gone}, "what is in the trash stays there"
    with world.catalog.tenant(T) as tx:
        trash.restore(tx, [hidden])
    assert found(world) == live(world)


def test_a_part_that_is_loaded_twice_logs_nothing_the_second_time(world, tmp_path):
    world.add(1)
    build(world)
    reembed(world)
    folder = pictures(tmp_path / "bulk", 95, 96)
    before = live(world)
    (run_id,) = ingest(world.config, folder).run_ids
    one, two = sorted(live(world) - before)
    world.delete(one)
    job = IngestJob(world.config, world.store, world.catalog, world.models.space, [world.second])
    with world.catalog.tenant(T) as tx:
        head = delta.head(tx)
    from photoorg.stages.job import Work

    run = Run(world.store, f"{T}/runs/ingest/{run_id}")
    job.load(Work(run_id, run, (), 1, 2, 0), 0)
    with world.catalog.tenant(T) as tx:
        assert delta.head(tx) == head
        assert photos.get(tx, one) is None
        came, _ = delta.last_words(tx, world.second.id, 0)
    assert two in came and one not in came


def test_the_split_layout_stores_vectors_of_both_spaces(world, tmp_path):
    """Pixels in one process, models in another, the commit in a third."""
    from pipelines.ingest import DecodeWorker, Execution, ModelWorker, commit_part

    world.add(1)
    build(world)
    reembed(world)
    also = coming_spaces(world.catalog, T)
    models = open_models(world.config, also=also)
    assert [encoder.space.id for encoder in models.further] == [world.second.id]
    execution = Execution(world.config, models)
    job = IngestJob(world.config, world.store, world.catalog, models.space, execution.also)
    folder = pictures(tmp_path / "bulk", 97, 98)
    with Listing(world.catalog, T) as listing:
        (todo,) = job.prepare(listing, [folder], plan=lambda _: plan_here(world.config.ingest))
    part = pa.table({"part": [0]})
    pixels = DecodeWorker(world.config, todo.run_id, 32)(part)
    vectors = ModelWorker(world.config, also)(pixels)
    done = commit_part(vectors, world.config, todo.run_id, execution._made)
    assert done.to_pylist() == [{"part": 0, "files": 2, "rejects": 0}]
    for space in (models.space, world.second):
        stored = Run(world.store, vectors_dir(T, space.id, todo.run_id)).read_part(0)
        assert len(stored) == 2 and stored["vector"].type.list_size == space.width
    lame = dataclasses.replace(execution._made, further=())
    again = commit_part(vectors, world.config, todo.run_id, lame)
    assert again == done, "columns that nobody asked for are left out"


def test_photos_whose_files_were_moved_are_embedded_from_where_they_are_now(world, tmp_path):
    folder = pictures(tmp_path / "bulk", 70, 71)
    world.add(0)
    ingest(world.config, folder)
    build(world)
    moved = Path(folder).rename(tmp_path / "sorted")
    assert ingest(world.config, str(moved)).photos == 0
    done = reembed(world)
    assert done["lacking"] == 0 and gap(world, done) == []
