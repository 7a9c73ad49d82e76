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
from typing import Any

import numpy as np
from fastapi import FastAPI
from ray import serve as rayserve
from ray.serve.handle import DeploymentHandle

from photoorg.config import PhotoOrgConfig
from photoorg.models import Rgb
from photoorg.search.embedding import text_encoder
from photoorg.search.local import (
    local_embedder,
    local_reader,
    local_slot,
    open_catalog,
)
from photoorg.search.ports import Box, ImageQuery, SlotAnswer, Vector
from photoorg.search.service import SearchService
from photoorg.space import EmbeddingSpace
from photoorg.stages.ingest import open_models
from photoorg.stages.online import OnlineIngest
from photoorg.store.catalog import Catalog
from photoorg.store.objects import ObjectStore
from serve.api.app import create_app
from serve.api.tags import tags_router
from serve.auth import fixed_tenant
from serve.fetch import UrlFetcher
from serve.health import HealthChecks, looks
from serve.ingestor import Ingestor
from serve.library import Library
from serve.metrics import Metrics
from serve.middleware import log_json
from serve.remote import Remote
from serve.tags import TagLibrary

BATCH = 16
BATCH_WAIT_S = 0.005


class Ingress:
    """HTTP, and every component that the configuration places inside it."""

    async def __init__(
        self,
        config: PhotoOrgConfig,
        embedder: DeploymentHandle | None = None,
        shards: Sequence[DeploymentHandle] = (),
        ingestor: DeploymentHandle | None = None,
    ) -> None:
        log_json()
        self._config = config
        self._stack = ExitStack()
        self._metrics = Metrics()
        loop = asyncio.get_running_loop()
        self._catalog = await loop.run_in_executor(None, open_catalog, config, self._stack)
        self._store = ObjectStore(config.storage.root, config.storage)
        self._reader = local_reader(config, self._catalog, self._store)
        self._embedder = await self._embedder_of(embedder)
        # Inside one process one slot holds all shards: each slot more is a thread to wake.
        self._local = [] if shards else [local_slot(config, self._catalog, self._store, 0, 1)]
        self._slots = [Remote(handle) for handle in shards] or self._local
        self._ingestor, self._wake = self._ingestor_of(ingestor)
        self._library = Library(self._catalog, self._store, wake=self._wake)
        self._tags = TagLibrary(self._catalog)
        self._background: set[asyncio.Task[Any]] = set()

    def __serve_build_asgi_app__(self) -> FastAPI:
        """Called by Ray Serve when the constructor is done."""
        config, tenant_of = self._config, fixed_tenant(self._config.tenant)
        return create_app(
            SearchService(self._embedder, self._slots, self._reader, config.search),
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
            lifespan=self._lifespan,
            send_request_id=False,
            routers=[tags_router(self._tags, tenant_of)],
        )

    @asynccontextmanager
    async def _lifespan(self, app: FastAPI) -> AsyncIterator[None]:
        for slot in self._local:
            slot.start()
        if self._ingestor is not None:
            self._ingestor.start()
        try:
            yield
        finally:
            if self._ingestor is not None:
                await self._ingestor.stop()
            for part in (*self._local, self._reader, self._library, self._tags):
                part.close()
            self._stack.close()

    async def _embedder_of(self, handle: DeploymentHandle | None) -> Any:
        if handle is not None:
            return Remote(handle, await handle.describe.remote())
        embedder = local_embedder(self._config)
        self._stack.callback(embedder.close)
        await embedder.ready()
        return embedder

    def _ingestor_of(self, handle: DeploymentHandle | None) -> tuple[Ingestor | None, Any]:
        if handle is not None:
            return None, lambda: self._nudge(handle)
        encoder = None if isinstance(self._embedder, Remote) else self._embedder.encoder
        ingestor = make_ingestor(
            self._config, self._catalog, self._store, self._metrics, encoder=encoder
        )
        return ingestor, ingestor.wake

    def _nudge(self, handle: DeploymentHandle) -> None:
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

    async def describe(self) -> EmbeddingSpace:
        """The space of the vectors."""
        return self._space

    async def ready(self) -> str:
        """A sentence on the encoder in use."""
        return await self._local.ready()

    async def embed_image(self, data: bytes, box: Box | None = None) -> ImageQuery:
        """As LocalEmbedder, in batches. Files come here, so that pixels make no hop."""
        loop = asyncio.get_running_loop()
        rgb, hashes = await loop.run_in_executor(self._threads, self._local.prepare, data, box)
        return ImageQuery(await self._images(rgb), hashes)

    async def embed_text(self, text: str) -> Vector:
        """As LocalEmbedder, in batches."""
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
        catalog = open_catalog(config, self._stack)
        store = ObjectStore(config.storage.root, config.storage)
        self._slot = local_slot(config, catalog, store, number, count)
        self._slot.start()

    async def search(
        self, tenant: str, space: EmbeddingSpace, x_d: Vector, k: int, *, pool: int, seq: int
    ) -> SlotAnswer:
        """As LocalSlot, with vectors of half the size for the way."""
        answer = await self._slot.search(tenant, space, x_d, k, pool=pool, seq=seq)
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

    async def __init__(self, config: PhotoOrgConfig) -> None:
        log_json()
        self._stack = ExitStack()
        loop = asyncio.get_running_loop()
        catalog = await loop.run_in_executor(None, open_catalog, config, self._stack)
        store = ObjectStore(config.storage.root, config.storage)
        self._ingestor = await loop.run_in_executor(
            None, make_ingestor, config, catalog, store, Metrics()
        )
        self._ingestor.start()

    async def wake(self) -> None:
        """Look at the queue now."""
        self._ingestor.wake()

    async def __del__(self) -> None:
        await self._ingestor.stop()
        self._stack.close()


def make_ingestor(
    config: PhotoOrgConfig,
    catalog: Catalog,
    store: ObjectStore,
    metrics: Metrics,
    *,
    encoder: Any = None,
) -> Ingestor:
    """An Ingestor with its models; an encoder that is open already is used again."""
    models = open_models(config, encoder=encoder)
    logging.getLogger(__name__).info("uploads are embedded in %s", models.space)

    def line_of(tenant: str) -> OnlineIngest:
        return OnlineIngest(config.model_copy(update={"tenant": tenant}), store, models)

    return Ingestor(
        catalog,
        store,
        line_of,
        models.space,
        workers=config.serve.ingestors,
        lease_s=config.serve.upload_lease_s,
        attempts=config.serve.upload_attempts,
        metrics=metrics,
    )
