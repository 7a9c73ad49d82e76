"""Everything a search needs, built from the configuration, in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from photoorg.config import PhotoOrgConfig
from photoorg.encoders.settling import settled
from photoorg.encoders.several import SpaceEncoders
from photoorg.encoders.spaces import open_encoder
from photoorg.imaging.guard import GuardedDecoder
from photoorg.index import gpu
from photoorg.index.devices import Devices
from photoorg.search.catalog import CatalogQueries
from photoorg.search.cross import CrossRanker, SecondSpace
from photoorg.search.dual import DualReads
from photoorg.search.embedding import LocalEmbedder
from photoorg.search.fanout import FanOut
from photoorg.search.holdings import Holdings
from photoorg.search.neighbours import Neighbours
from photoorg.search.ports import Embedder, Slot
from photoorg.search.reader import CatalogReader
from photoorg.search.service import SearchService
from photoorg.search.slots import LocalSlot
from photoorg.store.catalog import Catalog
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog

log = logging.getLogger(__name__)
CACHE = "~/.cache/photoorg/indexes"


@contextmanager
def open_search(config: PhotoOrgConfig) -> Iterator[SearchService]:
    """A SearchService over the configured store and database; the encoder loads when needed."""
    with ExitStack() as stack:
        catalog = stack.enter_context(open_catalog(config))
        store = ObjectStore(config.storage)
        embedder = local_embedder(settled(config, catalog))
        reader = local_reader(config, catalog, store)
        slot = local_slot(config, catalog, store, 0, 1)
        queries = CatalogQueries(catalog)
        for part in (embedder, reader, slot, queries):
            stack.callback(part.close)
        cross = local_cross(config, store)
        if cross is not None:
            stack.callback(cross.close)
        yield SearchService(embedder, [slot], reader, config.search, queries, cross=cross)


def local_service(
    config: PhotoOrgConfig,
    embedder: Embedder,
    slots: Sequence[Slot],
    reader: CatalogReader,
    queries: CatalogQueries,
    cross: CrossRanker | None = None,
    neighbours: Neighbours | None = None,
) -> SearchService:
    """A SearchService that also puts a sample of its queries to shadow indices."""
    fanout = FanOut(slots, config.search.deadline_ms / 1000)
    share = config.migration.sample
    dual = DualReads(fanout, reader, share) if share else None
    return SearchService(
        embedder,
        slots,
        reader,
        config.search,
        queries,
        dual=dual,
        cross=cross,
        neighbours=neighbours,
    )


def local_neighbours(config: PhotoOrgConfig) -> Neighbours:
    """What shards found for hot photos, as much of it as one process may keep."""
    return Neighbours(config.search.cached_neighbours, config.search.cache_seconds)


def local_embedder(config: PhotoOrgConfig) -> LocalEmbedder:
    """An embedder with the configured encoder, which is opened at first use."""
    return LocalEmbedder(
        lambda: open_encoder(config.encoder, config.models_dir),
        GuardedDecoder(config.imaging),
        others=space_encoders(config),
    )


def space_encoders(config: PhotoOrgConfig) -> SpaceEncoders:
    """Encoders of any space that a library here may be in."""
    return SpaceEncoders(config.encoder, config.models_dir, config.migration.spaces)


def local_cross(config: PhotoOrgConfig, store: ObjectStore) -> CrossRanker | None:
    """The second look at hits that `search.cross` asks for, None if it asks for none."""
    cross = config.search.cross
    if cross.space is None:
        return None
    encoder = config.encoder.model_copy(update={"space": cross.space})
    judge = SecondSpace(
        lambda: open_encoder(encoder, config.models_dir),
        store,
        GuardedDecoder(config.imaging),
        kept=cross.cached_pictures,
    )
    return CrossRanker(judge, top=cross.top, weight=cross.weight, seconds=cross.deadline_ms / 1000)


def local_reader(config: PhotoOrgConfig, catalog: Catalog, store: ObjectStore) -> CatalogReader:
    """A reader of the catalog."""
    return CatalogReader(
        catalog, store, config.search, config.source, max_bytes=config.imaging.max_bytes
    )


def local_slot(
    config: PhotoOrgConfig,
    catalog: Catalog,
    store: ObjectStore,
    number: int,
    count: int,
    devices: Devices | None = None,
) -> LocalSlot:
    """Slot `number` of `count`, with the memory that shards may take in one process."""
    holdings = Holdings(
        number,
        count,
        catalog,
        store,
        Path(config.serve.cache_dir or CACHE).expanduser(),
        index=config.index,
        budget_bytes=config.serve.shard_memory_mb * 1_000_000,
        disk_bytes=config.serve.cache_disk_mb * 1_000_000,
        devices=devices,
    )
    return LocalSlot(holdings, catalog, config.search)


@contextmanager
def open_devices(config: PhotoOrgConfig) -> Iterator[Devices | None]:
    """The GPUs that shards of this process are searched on, None where there is none to use.

    One that `index.use_gpu` demands and that is not there is only missed: a search finds the same
    on the CPU, and hosts that serve need not be those that build.
    """
    if config.index.use_gpu is False or not config.serve.shard_gpu_memory_mb:
        yield None
        return
    gpus = gpu.FaissGpus()
    if gpus.count() == 0:
        if config.index.use_gpu is True:
            log.warning("index.use_gpu is true, but FAISS sees no GPU here: the CPU searches.")
        yield None
        return
    devices = Devices(gpus, config.serve.shard_gpu_memory_mb * 1_000_000)
    devices.start()
    try:
        yield devices
    finally:
        devices.close()
