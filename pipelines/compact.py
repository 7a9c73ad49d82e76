"""Compaction: what changed since the active version was built, folded into new shards.

ray job submit --working-dir . -- python -m pipelines.compact
"""

from __future__ import annotations

import pickle
import sys
import time
from dataclasses import asdict
from typing import Any

import pyarrow as pa

from photoorg.config import PhotoOrgConfig
from photoorg.index.manifest import IndexManifest, ShardInfo
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.stages.compaction import Compaction, compact
from photoorg.store.catalog import Catalog
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from pipelines import build_index
from pipelines.entry import Entry
from pipelines.ray_data import connect, numbers, stream, through

ACTOR = "compaction"


class SlotFolder:
    """Folds and uploads the shard of one slot after the other."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        space: EmbeddingSpace,
        old: IndexVersion,
        shards: int,
        version: str,
    ) -> None:
        store = ObjectStore(config.storage)
        self._work = Compaction(config, store, space, old, shards=shards, version=version)

    def __call__(self, slots: pa.Table) -> pa.Table:
        """Slot numbers in, what was written (pickled ShardInfo) out."""
        written = [pickle.dumps(s) for s in self._work.fold(slots["part"].to_pylist())]
        return pa.table({"shard": pa.array(written, pa.large_binary())})


def run(
    config: PhotoOrgConfig, *, shards: int | None = None, if_due: bool = False
) -> dict[str, Any]:
    """Fold the default space's changes into a new version that then serves; `shards`: so many.

    See photoorg.stages.compaction.compact, whose Compacted it returns with `seconds`. Small
    libraries are folded in this process.
    """
    started = time.monotonic()
    store = ObjectStore(config.storage)
    with open_catalog(config) as catalog:
        done = compact(
            config,
            store,
            catalog,
            actor=ACTOR,
            shards=shards,
            if_due=if_due,
            fold=lambda space, old, work: _on_the_cluster(config, space, old, work),
            build=lambda space, count: _rebuilt(config, catalog, space, count),
        )
    return asdict(done) | {"seconds": round(time.monotonic() - started, 3)}


def _on_the_cluster(
    config: PhotoOrgConfig, space: EmbeddingSpace, old: IndexVersion, work: Compaction
) -> list[ShardInfo]:
    cluster = connect()
    arguments = {
        "config": config,
        "space": space,
        "old": old,
        "shards": work.shards,
        "version": work.version,
    }
    folders = through(
        numbers(range(work.shards)), SlotFolder, arguments, cluster.workers(work.shards)
    )
    return [pickle.loads(row["shard"]) for row in stream(folders)]


def _rebuilt(
    config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace, shards: int | None
) -> IndexManifest:
    if shards is not None:
        index = config.index.model_copy(update={"shards": shards})
        config = config.model_copy(update={"index": index})
    return build_index.shadow(config, catalog, space)


main = Entry("index", "compact")

if __name__ == "__main__":
    sys.exit(main())
