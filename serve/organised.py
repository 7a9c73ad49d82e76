"""People, scenes and albums over the catalog, on threads of their own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from photoorg.config import PhotoOrgConfig
from photoorg.curate.forgetting import withdraw
from photoorg.curate.people import People
from photoorg.curate.scene_albums import SceneAlbums
from photoorg.store.catalog import Catalog, Transaction
from photoorg.store.catalog.consent import Withdrawn
from photoorg.store.objects import ObjectStore
from serve.threads import CatalogThreads

T = TypeVar("T")


class Organised:
    """Runs what the routers ask for in a transaction of the tenant, off the event loop."""

    def __init__(self, catalog: Catalog, store: ObjectStore, config: PhotoOrgConfig) -> None:
        self._catalog = catalog
        self._store = store
        self._config = config
        self._threads = CatalogThreads(catalog)

    async def catalog(self, tenant: str, work: Callable[[Transaction], T]) -> T:
        """What `work` makes of a transaction; committed at its end."""
        return await self._threads.run(tenant, work)

    async def people(self, tenant: str, actor: str, work: Callable[[People], T]) -> T:
        """What `work` makes of the tenant's people, in the name of the actor."""
        service = People(self._catalog, tenant, self._config.people, actor)
        return await self._threads.call(work, service)

    async def scenes(self, tenant: str, actor: str, work: Callable[[SceneAlbums], T]) -> T:
        """What `work` makes of the tenant's scenes, in the name of the actor."""
        service = SceneAlbums(self._catalog, tenant, self._config.scenes, actor)
        return await self._threads.call(work, service)

    async def withdraw(self, tenant: str, user: str, actor: str) -> Withdrawn:
        """Withdraw consent and delete what was made of faces."""
        return await self._threads.call(withdraw, self._catalog, self._store, tenant, user, actor)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()
