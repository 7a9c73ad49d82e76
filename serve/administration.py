"""Index versions over the catalog and the store, on threads of their own."""

from __future__ import annotations

import threading
from collections.abc import Mapping

from photoorg.config import PhotoOrgConfig
from photoorg.errors import ConflictError, NotFoundError
from photoorg.evaluate.retrieval import score
from photoorg.models import IndexVersion
from photoorg.search.chart import draw
from photoorg.search.comparing import Comparer, Comparison
from photoorg.space import EmbeddingSpace
from photoorg.stages.compaction import Compacted, compact
from photoorg.stages.coverage import Coverage
from photoorg.stages.versions import State, Versions
from photoorg.store.catalog import Catalog, audit, comparisons, spaces
from photoorg.store.catalog.switches import Switch
from photoorg.store.objects import ObjectStore
from serve.threads import CatalogThreads

THREADS = 4


class Administration:
    """What an operator does with index versions; blocking work runs on a few threads.

    One compaction at a time in a process: it takes a core for as long as it lasts.
    """

    def __init__(self, config: PhotoOrgConfig, catalog: Catalog, store: ObjectStore) -> None:
        self._config = config
        self._catalog = catalog
        self._store = store
        self._busy = threading.Lock()
        self._threads = CatalogThreads(catalog, THREADS)

    async def state(self, tenant: str) -> State:
        """What there is and what serves."""
        return await self._threads.call(self._versions(tenant).state)

    async def spaces(self, tenant: str) -> list[EmbeddingSpace]:
        """Every space the tenant has, or had, vectors in."""
        return await self._threads.call(self._spaces, tenant)

    async def compare(
        self, tenant: str, version: str, queries: int, golden: Mapping[str, str] | None
    ) -> Comparison:
        """Put the same questions to a version and to the one that serves."""
        return await self._threads.call(self._compare, tenant, version, queries, golden)

    async def chart(self, tenant: str, version: str) -> bytes:
        """The last comparison of a version as PNG; NotFoundError if there was none."""
        return await self._threads.call(self._chart, tenant, version)

    async def activate(
        self, tenant: str, version: str, *, actor: str, force: bool, wait_s: float | None
    ) -> Switch:
        """Let a version serve; IndexNotReadyError, ConflictError."""
        versions = self._versions(tenant)
        return await self._threads.call(
            lambda: versions.activate(version, actor=actor, force=force, wait_s=wait_s)
        )

    async def rollback(self, tenant: str, *, actor: str, wait_s: float | None) -> Switch:
        """Let serve again what served before; IndexNotReadyError, ConflictError."""
        versions = self._versions(tenant)
        return await self._threads.call(lambda: versions.rollback(actor=actor, wait_s=wait_s))

    async def canary(self, tenant: str, version: str, share: float, *, actor: str) -> None:
        """Serve a share of the users from another space's version."""
        versions = self._versions(tenant)
        await self._threads.call(lambda: versions.canary(version, share, actor=actor))

    async def retire(self, tenant: str, version: str, *, actor: str) -> IndexVersion:
        """Give up a version that is being built or waits; NotFoundError, ConflictError."""
        versions = self._versions(tenant)
        return await self._threads.call(lambda: versions.retire(version, actor=actor))

    async def compact(self, tenant: str, shards: int | None, *, actor: str) -> Compacted:
        """Fold the log into a new version that then serves; ConflictError while one runs."""
        return await self._threads.call(self._compact, tenant, shards, actor)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()

    def _of(self, tenant: str) -> PhotoOrgConfig:
        return self._config.model_copy(update={"tenant": tenant})

    def _versions(self, tenant: str) -> Versions:
        coverage = Coverage(self._store, self._catalog, tenant)
        return Versions(self._catalog, tenant, self._config.migration, coverage)

    def _spaces(self, tenant: str) -> list[EmbeddingSpace]:
        with self._catalog.tenant(tenant) as tx:
            return spaces.list_spaces(tx)

    def _compare(
        self, tenant: str, version: str, queries: int, golden: Mapping[str, str] | None
    ) -> Comparison:
        target = self._versions(tenant).find(version)
        return Comparer(self._of(tenant), self._store, self._catalog).compare(
            target,
            queries=queries,
            golden=golden,
            average_precision=lambda x_nd, labels: score(x_nd, labels).map_at_k,
        )

    def _chart(self, tenant: str, version: str) -> bytes:
        target = self._versions(tenant).find(version)
        with self._catalog.tenant(tenant) as tx:
            found = comparisons.get(tx, target.space_id, version)
        if found is None:
            raise NotFoundError(
                f"Version {version!r} was never compared.",
                fix="POST /v1/admin/indexes/{version}/compare first.",
            )
        return draw(Comparison.from_dict(found.report))

    def _compact(self, tenant: str, shards: int | None, actor: str) -> Compacted:
        if not self._busy.acquire(blocking=False):
            raise ConflictError("A compaction is running here already.", fix="Wait for its end.")
        try:
            done = compact(self._of(tenant), self._store, self._catalog, shards=shards, actor=actor)
            with self._catalog.tenant(tenant) as tx:
                detail = {"from": done.from_version, "shards": done.shards}
                audit.record(tx, actor, "index.compact", "index", done.version, detail)
            return done
        finally:
            self._busy.release()
