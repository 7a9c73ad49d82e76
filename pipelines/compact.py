"""Compaction: what changed since the active version was built, folded into new shards.

ray job submit --working-dir . -- python -m pipelines.compact
"""

from __future__ import annotations

import logging
import pickle
import sys
import time
from typing import Any

import pyarrow as pa

from photoorg.config import PhotoOrgConfig
from photoorg.errors import NotFoundError, PhotoOrgError, StorageError
from photoorg.index.manifest import IndexManifest, ShardInfo
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.stages.compaction import Compaction, Waiting, waiting
from photoorg.stages.cutoffs import refit
from photoorg.stages.versions import Versions
from photoorg.store.catalog import Catalog, spaces
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from pipelines import build_index
from pipelines.entry import Entry
from pipelines.ray_data import connect, numbers, stream, through

log = logging.getLogger(__name__)
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

    `if_due` does nothing below the configured threshold. A library that outgrew its quantizers is
    built anew instead. Cutoffs of searches stay in force, and are fitted anew where the library
    changed by `index.compact_share` since. Returns compacted, version, from_version, space, came,
    gone, vectors, shards, retrained, refitted and seconds. Small libraries are folded in this
    process.
    """
    started = time.monotonic()
    with open_catalog(config) as catalog:
        with catalog.tenant(config.tenant) as tx:
            space = spaces.get_default(tx, "image")
        if space is None:
            raise NotFoundError("No space is known yet.", fix="Run `photoorg ingest` first.")
        versions = Versions(catalog, config.tenant, config.migration)
        basis = versions.state().last
        found = waiting(config, catalog, space)
        answer: dict[str, Any] = {
            "compacted": False,
            "version": found.version.version,
            "from_version": found.version.version,
            "space": space.id,
            "came": found.came,
            "gone": found.gone,
            "vectors": found.version.vectors,
            "shards": found.version.shards,
            "retrained": False,
        }
        if found.due or not if_due:
            if found.retrain:
                manifest = _rebuilt(config, catalog, space, shards)
            else:
                manifest = _folded(config, catalog, space, found, shards)
            versions.activate(manifest.version, space_id=space.id, actor=ACTOR, basis=basis)
            answer |= {
                "compacted": True,
                "version": manifest.version,
                "vectors": manifest.vectors,
                "shards": len(manifest.shards),
                "retrained": found.retrain,
            }
        # Also where nothing is due: a large library changes much before it is folded.
        answer["refitted"] = _refitted(config, catalog, space)
    return answer | {"seconds": round(time.monotonic() - started, 3)}


def _refitted(config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace) -> bool:
    """Whether cutoffs were fitted anew; where there was no room, the next run tries again."""
    try:
        return refit(config, catalog, space, ACTOR)
    except StorageError as error:
        log.warning("The cutoffs of searches were not fitted anew: %s", error)
        return False


def _folded(
    config: PhotoOrgConfig,
    catalog: Catalog,
    space: EmbeddingSpace,
    found: Waiting,
    shards: int | None,
) -> IndexManifest:
    store = ObjectStore(config.storage)
    work = Compaction(config, store, space, found.version, shards=shards)
    work.publisher.begin(catalog, since=found.delta_seq)
    try:
        seq = work.freeze(catalog)
        small = found.version.vectors + found.came * len(space.views) < config.index.flat_below
        written = work.fold() if small else _on_the_cluster(config, space, found, work)
        return work.finish(catalog, written, seq)
    except PhotoOrgError:
        work.publisher.abandon(catalog)
        raise


def _on_the_cluster(
    config: PhotoOrgConfig, space: EmbeddingSpace, found: Waiting, work: Compaction
) -> list[ShardInfo]:
    cluster = connect()
    arguments = {
        "config": config,
        "space": space,
        "old": found.version,
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
