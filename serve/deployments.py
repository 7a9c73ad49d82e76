"""The Ray Serve deployments: each holds one core object and forwards to it.

The classes are undecorated; serve.app alone turns them into deployments.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import numpy as np
from fastapi import FastAPI
from ray import serve as rayserve
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from photoorg.config import PhotoOrgConfig
from photoorg.curate.catching_up import CatchingUp
from photoorg.encoders.several import SpaceEncoders
from photoorg.models import Rgb
from photoorg.search.catalog import CatalogQueries
from photoorg.search.embedding import text_encoder
from photoorg.search.hedging import Hedged
from photoorg.search.local import (
    local_cross,
    local_embedder,
    local_neighbours,
    local_reader,
    local_service,
    local_slot,
    open_devices,
    space_encoders,
)
from photoorg.search.ports import Box, ImageQuery, SlotAnswer, SlotQuery, Vector
from photoorg.search.warming import EncoderWatch
from photoorg.space import EmbeddingSpace
from photoorg.stages.ingest import open_models
from photoorg.stages.online import ConsentedIngest
from photoorg.store.catalog import Catalog, consent
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from serve.administration import Administration
from serve.api.app import create_app
from serve.api.dedup import dedup_router
from serve.api.indexes import indexes_router
from serve.api.tags import tags_router
from serve.auth import fixed_tenant
from serve.board import Reporter
from serve.curation import curation_routers, organised_routers
from serve.dedup import CatalogDedup
from serve.fetch import UrlFetcher
from serve.health import HealthChecks, looks
from serve.ingestor import Ingestor
from serve.library import Library
from serve.metrics import Metrics
from serve.middleware import log_json
from serve.organised import Organised
from serve.remote import Remote
from serve.tags import TagLibrary
from serve.threads import CatalogThreads


class Closable(Protocol):
    """Holds threads until it is closed."""

    def close(self) -> None:
        """Let them end."""


Part = TypeVar("Part", bound=Closable)
BATCH = 16
BATCH_WAIT_S = 0.005


class Ingress:
    """HTTP, and every component that the configuration places inside it."""

    # Ray awaits a constructor that is a coroutine.
    async def __init__(  # type: ignore[misc]
        self,
        config: PhotoOrgConfig,
        embedder: DeploymentHandle[Any] | None = None,
        shards: Sequence[DeploymentHandle[Any]] = (),
        ingestor: DeploymentHandle[Any] | None = None,
        board: DeploymentHandle[Any] | None = None,
    ) -> None:
        log_json()
        self._config = config
        self._stack = ExitStack()
        self._metrics = Metrics(_replica())
        self._reporter = None if board is None else Reporter(self._metrics, Remote(board))
        loop = asyncio.get_running_loop()
        opening = open_catalog(config)
        self._catalog = await loop.run_in_executor(None, self._stack.enter_context, opening)
        self._store = ObjectStore(config.storage)
        self._reader = self._owned(local_reader(config, self._catalog, self._store))
        self._watch: EncoderWatch | None = None
        self._queries = self._owned(CatalogQueries(self._catalog))
        cross = local_cross(config, self._store)
        self._cross = None if cross is None else self._owned(cross)
        self._embedder = await self._embedder_of(embedder)
        # Inside one process one slot holds all shards: each slot more is a thread to wake.
        self._local = []
        if not shards:
            devices = self._stack.enter_context(open_devices(config))
            slot = local_slot(config, self._catalog, self._store, 0, 1, devices)
            self._local = [self._owned(slot)]
        self._slots = [self._remote(handle) for handle in shards] or self._local
        self._ingestor, self._wake = self._ingestor_of(ingestor)
        self._library = self._owned(
            Library(self._catalog, self._store, imaging=config.imaging, wake=self._wake)
        )
        self._indexes = self._owned(Administration(config, self._catalog, self._store))
        self._dedup = self._owned(CatalogDedup(self._catalog, config.dedup))
        self._curation = self._owned(CatalogThreads(self._catalog))
        self._organised = self._owned(Organised(self._catalog, self._store, config))
        self._tags = self._owned(TagLibrary(self._catalog))
        self._background: set[asyncio.Task[Any]] = set()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Ray Serve when the constructor is done."""
        config = self._config
        tenant_of = fixed_tenant(config.tenant)
        neighbours = local_neighbours(config)
        self._metrics.watch(neighbours)
        return create_app(
            local_service(
                config,
                self._embedder,
                self._slots,
                self._reader,
                self._queries,
                self._cross,
                neighbours,
            ),
            self._library,
            self._library,
            UrlFetcher(
                max_bytes=config.serve.max_upload_bytes,
                timeout_s=config.serve.url_timeout_s,
                allow_private=config.serve.allow_private_urls,
            ),
            HealthChecks(looks(self._catalog, self._store, self._embedder, self._slots)),
            tenant_of=tenant_of,
            serve=config.serve,
            search=config.search,
            metrics=self._metrics,
            others=None if self._reporter is None else self._reporter.others,
            lifespan=self._lifespan,
            send_request_id=False,
            routers=[
                indexes_router(self._indexes, tenant_of),
                dedup_router(self._dedup, tenant_of),
                *curation_routers(self._curation, tenant_of),
                *organised_routers(self._organised, tenant_of),
                tags_router(self._tags, tenant_of),
            ],
        )

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        for slot in self._local:
            slot.start()
        if self._watch is not None:
            self._watch.start()
        if self._ingestor is not None:
            self._ingestor.start()
        if self._reporter is not None:
            self._reporter.start()
        try:
            yield
        finally:
            if self._reporter is not None:
                await self._reporter.stop()
            if self._ingestor is not None:
                await self._ingestor.stop()
            self._stack.close()

    def _owned(self, part: Part) -> Part:
        """The part, which is closed when the application ends, before the catalog it stands on."""
        self._stack.callback(part.close)
        return part

    def _remote(self, handle: DeploymentHandle[Any]) -> Any:
        """A slot behind Ray; where it has several replicas, a slow one is not waited for."""
        remote = Remote(handle)
        hedge = self._config.serve.shard.replicas > 1
        return Hedged(remote, self._config.search.hedge_ms / 1000) if hedge else remote

    async def _embedder_of(self, handle: DeploymentHandle[Any] | None) -> Any:
        if handle is not None:
            return Remote(handle, await handle.describe.remote())
        embedder = self._owned(local_embedder(self._config))
        await embedder.ready()
        self._watch = self._owned(EncoderWatch(self._catalog, self._config.tenant, embedder))
        return embedder

    def _ingestor_of(self, handle: DeploymentHandle[Any] | None) -> tuple[Ingestor | None, Any]:
        if handle is not None:
            return None, lambda: self._nudge(handle)
        apart = isinstance(self._embedder, Remote)
        ingestor = make_ingestor(
            self._config,
            self._catalog,
            self._store,
            self._metrics,
            encoder=None if apart else self._embedder.encoder,
            encoders=None if apart else self._embedder.others,
        )
        return ingestor, ingestor.wake

    def _nudge(self, handle: DeploymentHandle[Any]) -> None:
        """Tell one ingestor that there is work; the others see it at their next poll."""
        task = asyncio.ensure_future(Remote(handle).wake())
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(lambda t: t.cancelled() or t.exception())


class EmbedderDeployment:
    """Queries to vectors; requests that come together are encoded together."""

    def __init__(self, config: PhotoOrgConfig) -> None:
        log_json()
        self._local = local_embedder(config)
        self._space = self._local.space
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="prepare")
        self._stack = ExitStack()
        catalog = self._stack.enter_context(open_catalog(config))
        self._watch = EncoderWatch(catalog, config.tenant, self._local)
        self._watch.start()

    def __del__(self) -> None:
        self._watch.close()
        self._stack.close()

    async def describe(self) -> EmbeddingSpace:
        """The space of the vectors."""
        return self._space

    async def ready(self) -> str:
        """A sentence on the encoder in use."""
        return await self._local.ready()

    async def embed_image(
        self, data: bytes, box: Box | None = None, *, space: EmbeddingSpace | None = None
    ) -> ImageQuery:
        """As LocalEmbedder, in batches. Files come here, so that pixels make no hop."""
        if space is not None and space.id != self._space.id:
            return await self._local.embed_image(data, box, space=space)
        loop = asyncio.get_running_loop()
        rgb, hashes = await loop.run_in_executor(self._threads, self._local.prepare, data, box)
        return ImageQuery(await self._images(rgb), hashes)

    async def embed_text(self, text: str, *, space: EmbeddingSpace | None = None) -> Vector:
        """As LocalEmbedder, in batches."""
        if space is not None and space.id != self._space.id:
            return await self._local.embed_text(text, space=space)
        text_encoder(self._local.encoder)
        return await self._texts(text)

    @rayserve.batch(max_batch_size=BATCH, batch_wait_timeout_s=BATCH_WAIT_S)
    async def _images(self, images: list[Rgb]) -> list[Vector]:
        x_nd = await asyncio.to_thread(self._local.encoder.encode_images, images)
        return list(np.asarray(x_nd, np.float32))

    @rayserve.batch(max_batch_size=BATCH, batch_wait_timeout_s=BATCH_WAIT_S)
    async def _texts(self, texts: list[str]) -> list[Vector]:
        x_nd = await asyncio.to_thread(text_encoder(self._local.encoder).encode_texts, texts)
        return list(np.asarray(x_nd, np.float32))


class ShardDeployment:
    """One shard slot."""

    def __init__(self, config: PhotoOrgConfig, number: int, count: int) -> None:
        log_json()
        self._stack = ExitStack()
        catalog = self._stack.enter_context(open_catalog(config))
        store = ObjectStore(config.storage)
        # Ray hides no GPU from those that asked for none.
        granted = config.serve.shard.num_gpus > 0
        devices = self._stack.enter_context(open_devices(config)) if granted else None
        self._slot = local_slot(config, catalog, store, number, count, devices)
        self._slot.start()

    async def search(self, query: SlotQuery) -> SlotAnswer:
        """As LocalSlot, with vectors of half the size for the way."""
        answer = await self._slot.search(query)
        return replace(answer, vectors=answer.vectors.astype(np.float16))

    async def vector(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, *, seq: int
    ) -> Vector | None:
        """As LocalSlot."""
        return await self._slot.vector(tenant, space, photo_id, seq=seq)

    async def ready(self) -> str:
        """A sentence on what is loaded."""
        return await self._slot.ready()

    def __del__(self) -> None:
        self._slot.close()
        self._stack.close()


class IngestorDeployment:
    """Works the upload queue."""

    # Ray awaits a constructor that is a coroutine.
    async def __init__(  # type: ignore[misc]
        self, config: PhotoOrgConfig, board: DeploymentHandle[Any]
    ) -> None:
        log_json()
        self._stack = ExitStack()
        metrics = Metrics(_replica())
        self._reporter = Reporter(metrics, Remote(board))
        self._reporter.start()
        loop = asyncio.get_running_loop()
        opening = open_catalog(config)
        catalog = await loop.run_in_executor(None, self._stack.enter_context, opening)
        store = ObjectStore(config.storage)
        self._ingestor = await loop.run_in_executor(
            None, make_ingestor, config, catalog, store, metrics
        )
        self._ingestor.start()

    async def wake(self) -> None:
        """Look at the queue now."""
        self._ingestor.wake()

    async def __del__(self) -> None:
        await self._ingestor.stop()
        await self._reporter.stop()
        self._stack.close()


def _replica() -> str:
    """What this replica is called in metrics; "local" for an application without Ray."""
    try:
        context = rayserve.get_replica_context()
    except RayServeException:
        return "local"
    return f"{context.deployment}-{context.replica_id.unique_id}"


def make_ingestor(
    config: PhotoOrgConfig,
    catalog: Catalog,
    store: ObjectStore,
    metrics: Metrics,
    *,
    encoder: Any = None,
    encoders: SpaceEncoders | None = None,
) -> Ingestor:
    """An Ingestor with its models; an encoder that is open already is used again."""
    models = open_models(config, encoder=encoder)
    logging.getLogger(__name__).info("uploads are embedded in %s", models.space)

    def line_of(tenant: str) -> ConsentedIngest:
        def agreed() -> bool:
            with catalog.tenant(tenant) as tx:
                return consent.agreed(tx, config.people.user)

        return ConsentedIngest(config.model_copy(update={"tenant": tenant}), store, models, agreed)

    return Ingestor(
        catalog,
        store,
        line_of,
        models.space,
        workers=config.serve.ingestors,
        lease_s=config.serve.upload_lease_s,
        attempts=config.serve.upload_attempts,
        metrics=metrics,
        encoders=encoders or space_encoders(config),
        following=CatchingUp(catalog, config.people) if config.faces.enabled else None,
    )
