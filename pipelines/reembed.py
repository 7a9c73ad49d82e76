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
from photoorg.encoders.spaces import open_encoder
from photoorg.registry import load
from photoorg.space import EmbeddingSpace
from photoorg.stages.plan import plan_ingest
from photoorg.stages.reembedding import ReembedJob, ReembedParts
from photoorg.store.catalog import Catalog
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from pipelines.build_index import Build
from pipelines.ray_data import Pool, connect, numbers, stream, through

DAY_S = 86_400
Progress = Callable[[int, int, float], None]
"""Called with photos done, photos in all and seconds since the start."""


class ReembedWorker:
    """Whole parts, stored photos to committed vectors, in one actor."""

    def __init__(self, config: PhotoOrgConfig, version: str) -> None:
        store = ObjectStore(config.storage.root, config.storage)
        encoder = open_encoder(config.encoder, config.models_dir)
        self._parts = ReembedParts(config, store, encoder, version)

    def __call__(self, parts: pa.Table) -> pa.Table:
        """Rows with a `part` number in, the parts' counts out."""
        return pa.Table.from_pylist([self._parts.work(n) for n in parts["part"].to_pylist()])


def run(config: PhotoOrgConfig, space: str, *, progress: Progress | None = None) -> dict[str, Any]:
    """Embed every photo in the space (a name or a space file) and build its shadow index.

    Goes on with a run that was killed. While it runs, photos that come get vectors in both spaces.
    Returns version, space, status, photos, rejects, vectors, seconds, images_per_second and
    images_per_day. A library of one part is worked in this process, larger ones on the cluster.
    """
    started = time.monotonic()
    encoder_config = config.encoder.model_copy(update={"space": space})
    config = config.model_copy(update={"encoder": encoder_config})
    store = ObjectStore(config.storage.root, config.storage)
    with open_catalog(config) as catalog:
        encoder = open_encoder(config.encoder, config.models_dir)
        job = ReembedJob(config, store, catalog, encoder.space)
        job.begin()
        done = 0
        embedding = time.monotonic()
        while todo := job.todo():
            total = done + job.count(todo)
            if len(todo) == 1:
                local = ReembedParts(config, store, encoder, job.version)
                rows: Iterator[dict[str, int]] = (local.work(part) for part in todo)
            else:
                rows = _on_the_cluster(config, job.version, todo)
            for row in rows:
                done += row["files"]
                if progress is not None:
                    progress(done, total, time.monotonic() - started)
        embedded_s = time.monotonic() - embedding
        manifest = _shadow(config, catalog, encoder.space, job)
    rate = done / embedded_s if done else 0.0
    return {
        "version": manifest.version,
        "space": encoder.space.id,
        "status": "shadow",
        "photos": done,
        "rejects": job.rejected(),
        "vectors": manifest.vectors,
        "recall_at_10": manifest.recall_at_10,
        "seconds": round(time.monotonic() - started, 3),
        "images_per_second": round(rate, 2),
        "images_per_day": round(rate * DAY_S),
    }


def _shadow(
    config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace, job: ReembedJob
) -> Any:
    manifest = Build(config, space, job.version).run(catalog)
    job.finish()
    return manifest


def _on_the_cluster(
    config: PhotoOrgConfig, version: str, todo: Sequence[int]
) -> Iterator[dict[str, int]]:
    cluster = connect()
    plan = plan_ingest(config.ingest, cpus=cluster.cpus, gpus=cluster.gpus, models=True)
    workers = Pool(min(plan.workers, len(todo)), plan.worker_cpus, plan.worker_gpus)
    threads = config.encoder.threads or plan.threads
    encoder = config.encoder.model_copy(update={"threads": threads})
    config = config.model_copy(update={"encoder": encoder})
    arguments = {"config": config, "version": version}
    return stream(through(numbers(todo), ReembedWorker, arguments, workers))


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.reembed`: the same command as `photoorg reembed`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return int(load("photoorg.cli:main")(["reembed", *given]))


if __name__ == "__main__":
    sys.exit(main())
