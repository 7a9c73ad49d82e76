"""Work on the catalog away from the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from photoorg.store.catalog import Catalog
from photoorg.store.catalog.connection import Transaction

T = TypeVar("T")


class CatalogThreads:
    """Blocking work on threads of its own: with a tenant's transaction, or without one."""

    def __init__(self, catalog: Catalog, threads: int = 4) -> None:
        self._catalog = catalog
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="catalog")

    async def run(self, tenant: str, work: Callable[[Transaction], T]) -> T:
        """What `work` makes of a transaction of the tenant, which is committed at its end."""
        return await self.call(self._transact, tenant, work)

    async def call(self, work: Callable[..., T], *args: object) -> T:
        """What `work` returns."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _transact(self, tenant: str, work: Callable[[Transaction], T]) -> T:
        with self._catalog.tenant(tenant) as tx:
            return work(tx)
