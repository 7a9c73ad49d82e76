"""Ingest job: a folder or bucket of photos into runs, vectors, thumbnails and the catalog.

A handful of photos goes through this process; more through Ray, which is only then imported.

ray job submit --working-dir . -- python -m pipelines.ingest s3://bucket/prefix
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa

from photoorg.config import PhotoOrgConfig
from photoorg.curate.catching_up import place_waiting
from photoorg.encoders.settling import settled
from photoorg.space import EmbeddingSpace
from photoorg.stages.consenting import consented
from photoorg.stages.decode import Fetch
from photoorg.stages.ingest import (
    MODEL_STAGES,
    FusedIngest,
    Models,
    Stage,
    cpu_stages,
    made_by,
    micro_batches,
    model_stages,
    open_models,
    run_stages,
    views_side,
)
from photoorg.stages.job import KEYS, IngestJob, IngestSummary, Work, coming_spaces
from photoorg.stages.parts import INGEST, Made, PartWriter, finish
from photoorg.stages.plan import IngestPlan, plan_here, plan_ingest, runs_here, with_threads
from photoorg.store.catalog.listing import Listing
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from photoorg.store.runs import Run
from pipelines.entry import Entry

Progress = Callable[[int, int, float], None]
"""Called with files done, files in all and seconds since the start."""


class FusedWorker:
    """Whole parts, keys to commit, in one actor; `models` are those that are open already.

    `also` are further spaces to embed in.
    """

    def __init__(
        self,
        config: PhotoOrgConfig,
        run_id: str,
        models: Models | None = None,
        also: Sequence[EmbeddingSpace] = (),
    ) -> None:
        store = ObjectStore(config.storage)
        models = models or open_models(config, also=also)
        self._keys = Run(store, run_dir(config.tenant, INGEST, run_id))
        self._ingest = FusedIngest(config, store, models)
        self._writer = PartWriter(store, config.tenant, run_id, made_by(config, models).space)

    def __call__(self, numbers: pa.Table) -> pa.Table:
        """Rows with a `part` number in, the parts' counts out."""
        return pa.Table.from_pylist([self.part(n) for n in numbers["part"].to_pylist()])

    def part(self, number: int) -> dict[str, int]:
        """Work on one part and commit it; its number and counts."""
        part = self._ingest(self._keys.read_part(number, name=KEYS))
        self._writer.write(number, part)
        return {"part": number, "files": len(part), "rejects": len(part.rejects)}


class DecodeWorker:
    """Keys of a part to pixels and measures: everything that needs no model."""

    def __init__(self, config: PhotoOrgConfig, run_id: str, least_side: int) -> None:
        store = ObjectStore(config.storage)
        keep = config.ingest.originals == "copy"
        self._keys = Run(store, run_dir(config.tenant, INGEST, run_id))
        fetch = Fetch(
            config.source, max_bytes=config.imaging.max_bytes, threads=config.ingest.fetch_threads
        )
        self._rows = config.ingest.micro_batch
        self._line: list[Stage] = [
            fetch,
            *cpu_stages(config, store, keep_data=keep, least_side=least_side),
        ]

    def __call__(self, numbers: pa.Table) -> pa.Table:
        """One `part` number in, the part's rows with pixels out."""
        (number,) = numbers["part"].to_pylist()
        keys = self._keys.read_part(number, name=KEYS)
        done = [run_stages(some, self._line) for some in micro_batches(keys, self._rows)]
        return pa.concat_tables(done)


class ModelWorker:
    """Pixels of a part to vectors and faces, on the device; also in further spaces."""

    def __init__(self, config: PhotoOrgConfig, also: Sequence[EmbeddingSpace] = ()) -> None:
        self._line = model_stages(config, open_models(config, also=also))

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, the same rows with vectors and without pixels out."""
        return run_stages(table, self._line)


def commit_part(table: pa.Table, config: PhotoOrgConfig, run_id: str, made: Made) -> pa.Table:
    """Write a finished part; its rows must be exactly the part's keys."""
    store = ObjectStore(config.storage)
    (number,) = set(table["part"].to_pylist())
    keys = Run(store, run_dir(config.tenant, INGEST, run_id)).read_part(number, name=KEYS)
    assert sorted(keys["uri"].to_pylist()) == sorted(table["uri"].to_pylist()), "rows went missing"
    part = finish(table, made)
    PartWriter(store, config.tenant, run_id, made.space).write(number, part)
    return pa.table({"part": [number], "files": [len(part)], "rejects": [len(part.rejects)]})


def run(
    config: PhotoOrgConfig,
    uris: Sequence[str],
    *,
    force: bool = False,
    stages: Sequence[str] | None = None,
    limit: int | None = None,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> IngestSummary:
    """Ingest every file under the sources that is not known yet; see IngestJob for what resumes.

    While the library moves to another space, the photos get a vector there in the same pass.
    """
    started = time.monotonic()
    config = _with_stages(config, stages)
    store = ObjectStore(config.storage)
    store.check()
    with open_catalog(config) as catalog:
        config = consented(settled(config, catalog), catalog)
        also = coming_spaces(catalog, config.tenant)
        execution = Execution(config, open_models(config, also=also))
        job = IngestJob(config, store, catalog, execution.space, execution.also)
        with Listing(catalog, config.tenant) as listing:
            works = job.prepare(
                listing, uris, plan=execution.plan, force=force, limit=limit, dry_run=dry_run
            )
            new = sum(work.waiting for work in works)
            if not dry_run:
                job.register()
                _work(execution, job, works, progress, started)
                job.pair(works)
                for work in works:
                    job.finish(work)
                if config.faces.enabled:
                    place_waiting(catalog, config.tenant, config.people)
            whole, behind = job.moving() if new and not dry_run else ((), ())
            totals = listing.totals()
    seconds = time.monotonic() - started
    return IngestSummary(
        files=totals.files,
        photos=totals.photos,
        duplicates=totals.duplicates,
        rejects=totals.rejects,
        seconds=round(seconds, 3),
        images_per_second=round(new / seconds, 2) if seconds else 0.0,
        new=new,
        space=execution.space.id if execution.space else None,
        run_ids=tuple(work.run_id for work in works),
        dry_run=dry_run,
        live_videos=totals.live_videos,
        waiting_videos=totals.waiting_videos,
        also=whole,
        behind=behind,
    )


def _with_stages(config: PhotoOrgConfig, stages: Sequence[str] | None) -> PhotoOrgConfig:
    if stages is None:
        return config
    data = config.model_dump()
    data["ingest"]["stages"] = tuple(stages)
    return PhotoOrgConfig.model_validate(data)


def _work(
    execution: Execution,
    job: IngestJob,
    works: Sequence[Work],
    progress: Progress | None,
    started: float,
) -> None:
    total = sum(work.waiting for work in works)
    done = 0
    for work in works:
        job.load_committed(work)
        for row in execution.parts(work):
            job.load(work, row["part"])
            done += row["files"]
            if progress is not None:
                progress(done, total, time.monotonic() - started)


class Execution:
    """How the parts of a run are worked on: here, or in a cluster that is joined when needed."""

    def __init__(self, config: PhotoOrgConfig, models: Models) -> None:
        self._made = made_by(config, models)
        self.space = self._made.space
        self.also = self._made.further
        self._least_side = views_side(config, models)
        self._config = config
        self._models = models
        self._plan: IngestPlan | None = None

    def plan(self, files: int) -> IngestPlan:
        """The layout for so many files; ResourceError if the job could not run on the cluster."""
        if self._here(files):
            return plan_here(self._config.ingest)
        return self._on_the_cluster()

    def parts(self, work: Work) -> Iterator[dict[str, int]]:
        """Run the parts still to do; yields each one's number and counts once it is committed."""
        if not work.todo:
            return iter(())
        if self._here(work.waiting):
            worker = FusedWorker(self._config, work.run_id, self._models)
            return map(worker.part, work.todo)
        return self._stream(work)

    def _here(self, files: int) -> bool:
        return runs_here(self._config.ingest, files, cluster="RAY_ADDRESS" in os.environ)

    def _on_the_cluster(self) -> IngestPlan:
        from pipelines.ray_data import connect

        if self._plan is None:
            cluster = connect()
            models = any(stage in MODEL_STAGES for stage in self._made.stages)
            self._plan = plan_ingest(
                self._config.ingest, cpus=cluster.cpus, gpus=cluster.gpus, models=models
            )
        return self._plan

    def _stream(self, work: Work) -> Iterator[dict[str, int]]:
        from pipelines.ray_data import Pool, numbers, stream, through

        plan = self._on_the_cluster()
        held = 1 if plan.layout == "fused" else 2
        workers = Pool(min(plan.workers, len(work.todo)), plan.worker_cpus, plan.worker_gpus, held)
        config = with_threads(self._config, plan)
        arguments = {"config": config, "run_id": work.run_id}
        todo = numbers(work.todo)
        if plan.layout == "fused":
            return stream(through(todo, FusedWorker, {**arguments, "also": self.also}, workers))
        decoders = Pool(plan.decode_workers, plan.decode_cpus)
        pixels = through(
            todo, DecodeWorker, {**arguments, "least_side": self._least_side}, decoders
        )
        vectors = through(pixels, ModelWorker, {"config": config, "also": self.also}, workers)
        return stream(through(vectors, commit_part, {**arguments, "made": self._made}, 0.1))


main = Entry("ingest")

if __name__ == "__main__":
    sys.exit(main())
