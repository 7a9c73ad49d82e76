"""Index build: every live vector of a tenant in one space into a new version that then serves.

Run it as `ray job submit --working-dir . -- python -m pipelines.build_index`.
"""

from __future__ import annotations

import math
import pickle
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from photoorg.config import IndexConfig, PhotoOrgConfig
from photoorg.errors import IndexNotReadyError, PhotoOrgError, StorageError
from photoorg.index.build import BuiltShard, build_local, build_shard, finish
from photoorg.index.manifest import IndexManifest
from photoorg.index.planning import IndexPlan, plan
from photoorg.index.sample import Sample
from photoorg.index.training import Trained, train_version
from photoorg.space import EmbeddingSpace
from photoorg.stages.cutoffs import calibrate, space_of
from photoorg.stages.pieces import Pieces
from photoorg.stages.publish import Publisher, new_version
from photoorg.stages.vectors import Halves, Keys, VectorSnapshot
from photoorg.stages.versions import Versions
from photoorg.store.catalog import Catalog, spaces
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from pipelines.entry import Entry
from pipelines.ray_data import Cluster, connect, numbers, stream, through

OVERSAMPLE = 1.5
SPARE = 100
FILES_PER_TASK = 64


def run(config: PhotoOrgConfig, *, space: str | None = None) -> dict[str, Any]:
    """Build a version of `space` (an id; None: the tenant's default space), and let it serve.

    A version of a space that is not the default stays a shadow. Returns version, space, status,
    vectors, shards, kind, recall_at_10, effort and seconds. Small libraries are built in this
    process; large ones by one Ray task a shard.
    """
    started = time.monotonic()
    with open_catalog(config) as catalog:
        with catalog.tenant(config.tenant) as tx:
            chosen = space_of(tx, space)
            default = spaces.get_default(tx, chosen.kind)
        manifest = shadow(config, catalog, chosen)
        serves = default is not None and default.id == chosen.id
        if serves:
            Versions(catalog, config.tenant, config.migration).activate(
                manifest.version, space_id=chosen.id, actor="index-build"
            )
    return {
        "version": manifest.version,
        "space": chosen.id,
        "status": "active" if serves else "shadow",
        "kind": manifest.kind,
        "factory": manifest.factory,
        "vectors": manifest.vectors,
        "shards": len(manifest.shards),
        "recall_at_10": manifest.recall_at_10,
        "effort": manifest.effort,
        "seconds": round(time.monotonic() - started, 3),
    }


def shadow(config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace) -> IndexManifest:
    """Build a new version of the space that waits to be activated; fit its searches' cutoffs."""
    build = Build(config, space, new_version())
    build.publisher.begin(catalog)
    manifest = build.run(catalog)
    calibrate(config, catalog, space, "index-build")
    return manifest


class Build:
    """One version under construction; every worker makes its own from the same arguments."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        space: EmbeddingSpace,
        version: str,
        *,
        store: ObjectStore | None = None,
    ) -> None:
        store = store or ObjectStore(config.storage)
        self._arguments = {"config": config, "space": space, "version": version}
        self._index = config.index
        self._tenant = config.tenant
        self._version = version
        self.space = space
        self.publisher = Publisher(store, config.tenant, space, version)
        scratch = f"{self.publisher.directory}/scratch"
        self.snapshot = VectorSnapshot(store, config.tenant, space, scratch)
        self.pieces = Pieces(store, scratch, space, config.index.shards)

    def run(self, catalog: Catalog) -> IndexManifest:
        """From a snapshot to a whole shadow version, after publisher.begin; abandoned if it fails.

        IndexNotReadyError if there are no photos.
        """
        try:
            with catalog.tenant(self._tenant) as tx:
                seq, live = self.snapshot.take(tx)
            if not live:
                raise IndexNotReadyError(
                    "There are no photos to index yet.", fix="Run `photoorg ingest` first."
                )
            small = live * len(self.space.views) < self._index.flat_below
            manifest = self.here(seq) if small else self.on_the_cluster(seq, live)
            self.publisher.commit(manifest)
            self.publisher.complete(catalog, manifest)
        except PhotoOrgError:
            self.publisher.abandon(catalog)
            raise
        except (OSError, RuntimeError) as error:  # FAISS says in words what write() refused
            self.publisher.abandon(catalog)
            raise StorageError(
                f"The index could not be built: {error}.",
                fix="Free some space in the temporary folder (TMPDIR). What served before still"
                " does.",
                retryable=True,
            ) from error
        self.snapshot.discard()
        return manifest

    def here(self, seq: int) -> IndexManifest:
        """Build all shards in this process."""
        with tempfile.TemporaryDirectory(prefix="photoorg-index-") as folder:
            batches = self.snapshot.batches(self.snapshot.sources())
            manifest = build_local(
                batches,
                Path(folder),
                self.space,
                self._index,
                version=self._version,
                delta_seq=seq,
            )
            self.publisher.upload(Path(folder))
        return manifest

    def on_the_cluster(self, seq: int, live: int) -> IndexManifest:
        """Read every vector file once, train, then build the shards side by side."""
        import ray

        cluster = connect()
        planned = plan(live, self.space.dim, self._index, views=len(self.space.views))
        sample = self._split(planned, live, cluster)
        trained = ray.get(_training(self._index, cluster.gpus).remote(sample, planned))
        builders = through(
            numbers(range(planned.shards)),
            SlotBuilder,
            {**self._arguments, "trained": trained},
            cluster.workers(planned.shards),
        )
        built = [pickle.loads(row["built"]) for row in stream(builders)]
        return finish(built, trained, None, self.space, version=self._version, delta_seq=seq)

    def _split(self, planned: IndexPlan, live: int, cluster: Cluster) -> Sample:
        """Split the vectors by slot; the sample that was drawn on the way."""
        groups = math.ceil(len(self.snapshot.sources()) / FILES_PER_TASK)
        share = min(1.0, (planned.sample_rows * OVERSAMPLE + SPARE) / live)
        splitters = through(
            numbers(range(groups)),
            Splitter,
            {**self._arguments, "rows": planned.sample_rows, "share": share},
            cluster.workers(groups),
        )
        sample = Sample(planned.sample_rows, self.space.dim, views=planned.views)
        for row in stream(splitters):
            sample.merge(pickle.loads(row["sample"]))
        return sample


def _training(config: IndexConfig, gpus: float) -> Any:
    import ray

    device = 1 if gpus >= 1 and config.use_gpu is not False else 0
    return ray.remote(num_cpus=1, num_gpus=device)(_train)


def _train(sample: Sample, planned: IndexPlan) -> Trained:
    return train_version(sample, planned)


class Splitter:
    """Splits one group of vector files after the other by slot, and draws from them."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        space: EmbeddingSpace,
        version: str,
        rows: int,
        share: float,
        *,
        store: ObjectStore | None = None,
    ) -> None:
        self._build = Build(config, space, version, store=store)
        self._sources = self._build.snapshot.sources()
        self._rows = rows
        self._share = share

    def __call__(self, groups: pa.Table) -> pa.Table:
        """Numbers of groups in, their parts of the training sample (pickled) out."""
        drawn = [pickle.dumps(self._group(group)) for group in groups["part"].to_pylist()]
        return pa.table({"sample": pa.array(drawn, pa.large_binary())})

    def _group(self, group: int) -> Sample:
        space = self._build.space
        sample = Sample(self._rows, space.dim, views=len(space.views), share=self._share)
        files = self._sources[group * FILES_PER_TASK : (group + 1) * FILES_PER_TASK]

        def seen() -> Iterator[tuple[Keys, Halves]]:
            for keys, x_nw in self._build.snapshot.batches(files):
                sample.add(keys, x_nw)
                yield keys, x_nw

        self._build.pieces.split(group, seen())
        return sample


class SlotBuilder:
    """Builds and uploads the shard of one slot after the other."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        space: EmbeddingSpace,
        version: str,
        trained: Trained,
        *,
        store: ObjectStore | None = None,
    ) -> None:
        self._build = Build(config, space, version, store=store)
        self._trained = trained

    def __call__(self, slots: pa.Table) -> pa.Table:
        """Slot numbers in, what was built (pickled BuiltShard) out."""
        built = [pickle.dumps(self._slot(slot)) for slot in slots["part"].to_pylist()]
        return pa.table({"built": pa.array(built, pa.large_binary())})

    def _slot(self, slot: int) -> BuiltShard:
        build = self._build
        with tempfile.TemporaryDirectory(prefix="photoorg-shard-") as folder:
            rows = build.pieces.of_slot(slot)
            built = build_shard(self._trained, rows, Path(folder), slot, build.space)
            build.publisher.upload(Path(folder))
        return built


main = Entry("index", "build")

if __name__ == "__main__":
    sys.exit(main())
