"""Re-embedding: every stored photo into another space, and the shadow index over it.

ray job submit --working-dir . -- python -m pipelines.reembed --space NAME
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from photoorg.config import PhotoOrgConfig
from photoorg.encoders.base import Encoder
from photoorg.encoders.spaces import open_encoder
from photoorg.models import IndexVersion
from photoorg.stages.completing import log_stored
from photoorg.stages.coverage import Coverage
from photoorg.stages.cutoffs import refit
from photoorg.stages.plan import plan_ingest, with_threads
from photoorg.stages.reembedding import ReembedJob, ReembedParts
from photoorg.store.catalog import Catalog, indexes
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from pipelines.build_index import Build
from pipelines.entry import Entry
from pipelines.ray_data import Pool, connect, numbers, stream, through

DAY_S = 86_400
ACTOR = "reembed"
Progress = Callable[[int, int, float], None]
"""Called with photos done, photos in all and seconds since the start."""


class ReembedWorker:
    """Whole parts, stored photos to committed vectors, in one actor."""

    def __init__(self, config: PhotoOrgConfig, version: str) -> None:
        store = ObjectStore(config.storage)
        encoder = open_encoder(config.encoder, config.models_dir)
        self._parts = ReembedParts(config, store, encoder, version)

    def __call__(self, parts: pa.Table) -> pa.Table:
        """Rows with a `part` number in, the parts' counts out."""
        return pa.Table.from_pylist([self._parts.work(n) for n in parts["part"].to_pylist()])


def run(config: PhotoOrgConfig, space: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Embed every photo in the space (a name or a space file) and build its shadow index.

    Goes on with a run that was killed. Uploads get vectors in both spaces meanwhile; photos of bulk
    ingests are caught up with in the end. Where a version of the space stands already, only what it
    lacks is embedded and added to it (beyond `index.compact_after` photos, a new one is built).
    Returns version, space, status, photos, rejects, added, lacking, vectors, seconds,
    images_per_second and images_per_day. A library of one part is worked in this process, larger
    ones on the cluster.
    """
    started = time.monotonic()
    encoder_config = config.encoder.model_copy(update={"space": space})
    config = config.model_copy(update={"encoder": encoder_config})
    store = ObjectStore(config.storage)
    with open_catalog(config) as catalog:
        encoder = open_encoder(config.encoder, config.models_dir)
        job = ReembedJob(config, store, catalog, encoder.space)
        work = _Work(config, store, encoder, job, progress)
        coverage = Coverage(store, catalog, config.tenant)
        version = _standing(config, job, coverage)
        if version is not None:
            job.join(version.version)
        else:
            job.begin()
            work.embed()
            version = _built(config, catalog, encoder, job)
        added = lacking = 0
        while True:
            embedded = work.embed()
            gap = coverage.gap(version).photo_ids
            logged = log_stored(store, catalog, config.tenant, encoder.space, gap)
            added, lacking = added + logged, len(gap) - logged
            if not embedded and not logged:
                break
        job.finish()
        refit(config, catalog, encoder.space, ACTOR, encoder)
        with catalog.tenant(config.tenant) as tx:
            found = indexes.get(tx, version.space_id, version.version)
    assert found is not None, "it was listed or built above"
    rate = work.done / work.seconds if work.done else 0.0
    return {
        "version": version.version,
        "space": encoder.space.id,
        "status": found[0].status,
        "photos": work.done,
        "rejects": job.rejected(),
        "added": added,
        "lacking": lacking,
        "vectors": found[0].vectors,
        "recall_at_10": found[0].recall_at_10,
        "seconds": round(time.monotonic() - started, 3),
        "images_per_second": round(rate, 2),
        "images_per_day": round(rate * DAY_S),
    }


def _standing(config: PhotoOrgConfig, job: ReembedJob, coverage: Coverage) -> IndexVersion | None:
    """The version to add to, None where a new one is better."""
    version = job.standing()
    if version is None or len(coverage.gap(version).photo_ids) > config.index.compact_after:
        return None
    return version


def _built(
    config: PhotoOrgConfig, catalog: Catalog, encoder: Encoder, job: ReembedJob
) -> IndexVersion:
    Build(config, encoder.space, job.version).run(catalog)
    with catalog.tenant(config.tenant) as tx:
        found = indexes.get(tx, encoder.space.id, job.version)
    assert found is not None, "it was built"
    return found[0]


class _Work:
    """Embeds what a job has to do; `done` photos in `seconds` so far."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        store: ObjectStore,
        encoder: Encoder,
        job: ReembedJob,
        progress: Progress | None,
    ) -> None:
        self._config = config
        self._store = store
        self._encoder = encoder
        self._job = job
        self._progress = progress
        self.done = 0
        self.seconds = 0.0

    def embed(self) -> int:
        """Every photo that lacks a vector, until there is none; how many."""
        before, began = self.done, time.monotonic()
        while todo := self._job.todo():
            total = self.done + self._job.count(todo)
            for row in self._rows(todo):
                self.done += row["files"]
                if self._progress is not None:
                    self._progress(self.done, total, self.seconds + time.monotonic() - began)
        if self.done > before:
            self.seconds += time.monotonic() - began
        return self.done - before

    def _rows(self, todo: Sequence[int]) -> Iterator[dict[str, int]]:
        if len(todo) > 1:
            return _on_the_cluster(self._config, self._job.version, todo)
        local = ReembedParts(self._config, self._store, self._encoder, self._job.version)
        return map(local.work, todo)


def _on_the_cluster(
    config: PhotoOrgConfig, version: str, todo: Sequence[int]
) -> Iterator[dict[str, int]]:
    cluster = connect()
    plan = plan_ingest(config.ingest, cpus=cluster.cpus, gpus=cluster.gpus, models=True)
    workers = Pool(min(plan.workers, len(todo)), plan.worker_cpus, plan.worker_gpus)
    arguments = {"config": with_threads(config, plan), "version": version}
    return stream(through(numbers(todo), ReembedWorker, arguments, workers))


main = Entry("reembed")

if __name__ == "__main__":
    sys.exit(main())
