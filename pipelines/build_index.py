"""Index build: every live vector of a tenant in one space into a new version that then serves.

Run it as `ray job submit --working-dir . -- python -m pipelines.build_index`.
"""

from __future__ import annotations

import math
import pickle
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray

from photoorg.config import IndexConfig, PhotoOrgConfig
from photoorg.errors import IndexNotReadyError, NotFoundError
from photoorg.index.build import BuiltShard, build_local, build_shard, finish
from photoorg.index.manifest import IndexManifest
from photoorg.index.planning import IndexPlan, plan
from photoorg.index.sample import Sample
from photoorg.index.training import Trained, train_version
from photoorg.registry import load
from photoorg.space import EmbeddingSpace
from photoorg.stages.publish import Publisher, new_version
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog, Transaction, spaces
from photoorg.store.embedded import database_url
from photoorg.store.layout import index_dir
from photoorg.store.objects import ObjectStore
from pipelines.ray_data import Pool, connect, numbers, stream, through

OVERSAMPLE = 1.5
FILES_PER_TASK = 64


def run(config: PhotoOrgConfig, *, space: str | None = None) -> dict[str, Any]:
    """Build and activate a version of `space` (an id; None: the tenant's default space).

    Returns version, space, vectors, shards, kind, recall_at_10, effort and seconds. Small libraries
    are built in this process; large ones by one Ray task a shard.
    """
    started = time.monotonic()
    store = ObjectStore(config.storage.root, config.storage)
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()
        with catalog.tenant(config.tenant) as tx:
            chosen = _space(tx, space)
        version = new_version()
        publisher = Publisher(store, config.tenant, chosen, version)
        snapshot = VectorSnapshot(store, config.tenant, chosen, f"{publisher.directory}/scratch")
        with catalog.tenant(config.tenant) as tx:
            seq, live = snapshot.take(tx)
        if not live:
            raise IndexNotReadyError(
                "There are no photos to index yet.", fix="Run `photoorg ingest` first."
            )
        build = _here if live < config.index.flat_below else _on_the_cluster
        manifest = build(config, chosen, version, publisher, snapshot, seq, live)
        publisher.commit(manifest)
        with catalog.tenant(config.tenant) as tx:
            publisher.activate(tx, manifest)
        snapshot.discard()
    return {
        "version": version,
        "space": chosen.id,
        "kind": manifest.kind,
        "factory": manifest.factory,
        "vectors": manifest.vectors,
        "shards": len(manifest.shards),
        "recall_at_10": manifest.recall_at_10,
        "effort": manifest.effort,
        "seconds": round(time.monotonic() - started, 3),
    }


def _space(tx: Transaction, space_id: str | None) -> EmbeddingSpace:
    found = spaces.get(tx, space_id) if space_id else spaces.get_default(tx, "image")
    if found is None:
        raise NotFoundError(
            f"There is no space {space_id!r} here." if space_id else "No space is known yet.",
            fix="Run `photoorg ingest` first; `photoorg index list` shows the spaces in use.",
        )
    return found


def _here(
    config: PhotoOrgConfig,
    space: EmbeddingSpace,
    version: str,
    publisher: Publisher,
    snapshot: VectorSnapshot,
    seq: int,
    live: int,
) -> IndexManifest:
    with tempfile.TemporaryDirectory(prefix="photoorg-index-") as folder:
        manifest = build_local(
            snapshot.batches(snapshot.sources()),
            Path(folder),
            space,
            config.index,
            version=version,
            delta_seq=seq,
        )
        publisher.upload(Path(folder))
    return manifest


def _on_the_cluster(
    config: PhotoOrgConfig,
    space: EmbeddingSpace,
    version: str,
    publisher: Publisher,
    snapshot: VectorSnapshot,
    seq: int,
    live: int,
) -> IndexManifest:
    cluster = connect()
    groups = math.ceil(len(snapshot.sources()) / FILES_PER_TASK)
    planned = plan(live, space.dim, config.index)
    what = {"config": config, "space": space, "version": version}
    share = min(1.0, math.ceil(planned.sample_rows * OVERSAMPLE) / live)
    sample = Sample(planned.sample_rows, space.dim)
    half = min(1.0, cluster.cpus / 4)
    for row in stream(through(numbers(range(groups)), draw, {**what, "share": share}, half)):
        sample.merge(pickle.loads(row["sample"]))
    trained = ray.get(_training(config.index, cluster.gpus).remote(sample, planned))
    workers = max(1, min(planned.shards, int(cluster.cpus) - 1))
    pool = Pool(workers, min(1.0, (cluster.cpus - 1) / workers))
    builders = through(
        numbers(range(planned.shards)), SlotBuilder, {**what, "trained": trained}, pool
    )
    built = [pickle.loads(row["built"]) for row in stream(builders)]
    return finish(built, trained, None, space, version=version, delta_seq=seq)


def _training(config: IndexConfig, gpus: float) -> Any:
    device = 1 if gpus >= 1 and config.use_gpu is not False else 0
    return ray.remote(num_cpus=1, num_gpus=device)(_train)


def _train(sample: Sample, planned: IndexPlan) -> Trained:
    return train_version(sample, planned)


def _snapshot(config: PhotoOrgConfig, space: EmbeddingSpace, version: str) -> VectorSnapshot:
    store = ObjectStore(config.storage.root, config.storage)
    folder = index_dir(config.tenant, space.id, version)
    return VectorSnapshot(store, config.tenant, space, f"{folder}/scratch")


def draw(
    groups: pa.Table, config: PhotoOrgConfig, space: EmbeddingSpace, version: str, share: float
) -> pa.Table:
    """One group of vector files in, its part of the training sample (pickled) out."""
    snapshot = _snapshot(config, space, version)
    sources = snapshot.sources()
    samples = []
    for group in groups["part"].to_pylist():
        files = sources[group * FILES_PER_TASK : (group + 1) * FILES_PER_TASK]
        batches = list(snapshot.batches(files))
        rows = sum(len(keys) for keys, _ in batches)
        sample = Sample(math.ceil(rows * share), space.dim)
        for keys, x_nd in batches:
            sample.add(keys, x_nd)
        samples.append(pickle.dumps(sample))
    return pa.table({"sample": pa.array(samples, pa.large_binary())})


class SlotBuilder:
    """Builds and uploads the shard of one slot after the other."""

    def __init__(
        self, config: PhotoOrgConfig, space: EmbeddingSpace, version: str, trained: Trained
    ) -> None:
        store = ObjectStore(config.storage.root, config.storage)
        self._snapshot = _snapshot(config, space, version)
        self._publisher = Publisher(store, config.tenant, space, version)
        self._space = space
        self._trained = trained

    def __call__(self, slots: pa.Table) -> pa.Table:
        """Slot numbers in, what was built (pickled BuiltShard) out."""
        built = [pickle.dumps(self._build(slot)) for slot in slots["part"].to_pylist()]
        return pa.table({"built": pa.array(built, pa.large_binary())})

    def _build(self, slot: int) -> BuiltShard:
        with tempfile.TemporaryDirectory(prefix="photoorg-shard-") as folder:
            batches = self._snapshot.batches(self._snapshot.sources())
            built = build_shard(self._trained, batches, Path(folder), slot, self._space)
            self._publisher.upload(Path(folder))
        return built


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.build_index`: the same command as `photoorg index build`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return int(load("photoorg.cli:main")(["index", "build", *given]))


if __name__ == "__main__":
    sys.exit(main())
