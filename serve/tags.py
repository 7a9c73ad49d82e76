"""Tags over the catalog. Blocking work runs on threads of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from photoorg.models import PhotoTag
from photoorg.store.catalog import Catalog, photos, tags
from photoorg.store.catalog.tags import TagSummary
from serve.library import unknown

THREADS = 2
ACTOR = "api"


class TagLibrary:
    """A tenant's tags: list, map to categories, put on photos and take off."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="tags")

    async def page(
        self, tenant: str, *, after: str | None, limit: int, category: str | None
    ) -> tuple[list[TagSummary], str | None]:
        """Tags by label, and the cursor of the next page."""
        return await self._in_thread(self._page, tenant, after, limit, category)

    async def map_category(self, tenant: str, label: str, category: str) -> dict[str, str]:
        """label, before, category; NotFoundError."""
        return await self._in_thread(self._map, tenant, label, category)

    async def unmap_category(self, tenant: str, label: str) -> dict[str, str]:
        """label, before, category; NotFoundError."""
        return await self._in_thread(self._map, tenant, label, None)

    async def of_photo(self, tenant: str, photo_id: str) -> list[PhotoTag]:
        """The tags of the photo; NotFoundError."""
        return await self._in_thread(self._of_photo, tenant, photo_id)

    async def add(self, tenant: str, photo_id: str, label: str, category: str) -> list[PhotoTag]:
        """Put a tag on; the photo's tags then. NotFoundError."""
        return await self._in_thread(self._add, tenant, photo_id, label, category)

    async def remove(self, tenant: str, photo_id: str, label: str) -> list[PhotoTag]:
        """Take a tag off; the photo's tags then. NotFoundError."""
        return await self._in_thread(self._remove, tenant, photo_id, label)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, work: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _page(
        self, tenant: str, after: str | None, limit: int, category: str | None
    ) -> tuple[list[TagSummary], str | None]:
        with self._catalog.tenant(tenant) as tx:
            return tags.page(tx, after=after, limit=limit, category=category)

    def _map(self, tenant: str, label: str, category: str | None) -> dict[str, str]:
        with self._catalog.tenant(tenant) as tx:
            if category is None:
                before = tags.unmap_category(tx, ACTOR, label)
            else:
                before = tags.map_category(tx, ACTOR, label, category)
            label = tags.normal(label)
            return {"label": label, "before": before, "category": tags.category_of(tx, label)}

    def _of_photo(self, tenant: str, photo_id: str) -> list[PhotoTag]:
        with self._catalog.tenant(tenant) as tx:
            if photos.get(tx, photo_id) is None:
                raise unknown(photo_id)
            return tags.of_photos(tx, [photo_id])[photo_id]

    def _add(self, tenant: str, photo_id: str, label: str, category: str) -> list[PhotoTag]:
        with self._catalog.tenant(tenant) as tx:
            tags.add(tx, ACTOR, photo_id, label, category)
            return tags.of_photos(tx, [photo_id])[photo_id]

    def _remove(self, tenant: str, photo_id: str, label: str) -> list[PhotoTag]:
        with self._catalog.tenant(tenant) as tx:
            tags.remove(tx, ACTOR, photo_id, label)
            return tags.of_photos(tx, [photo_id])[photo_id]
