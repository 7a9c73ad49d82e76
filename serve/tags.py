"""Tags over the catalog."""

from __future__ import annotations

from photoorg.models import PhotoTag
from photoorg.store.catalog import Catalog, photos, tags
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.tags import TagSummary
from serve.library import unknown
from serve.threads import CatalogThreads

THREADS = 2


class TagLibrary:
    """A tenant's tags: list, map to categories, put on photos and take off."""

    def __init__(self, catalog: Catalog) -> None:
        self._threads = CatalogThreads(catalog, THREADS)
        self._with = self._threads.run

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()

    async def page(
        self, tenant: str, *, after: str | None, limit: int, category: str | None
    ) -> tuple[list[TagSummary], str | None]:
        """Tags by label, and the cursor of the next page."""
        return await self._with(
            tenant, lambda tx: tags.page(tx, after=after, limit=limit, category=category)
        )

    async def map_category(
        self, tenant: str, actor: str, label: str, category: str | None
    ) -> tuple[str, str]:
        """The tag's category before and now; None gives it its maker's. NotFoundError."""

        def change(tx: Transaction) -> tuple[str, str]:
            if category is None:
                before = tags.unmap_category(tx, actor, label)
            else:
                before = tags.map_category(tx, actor, label, category)
            return before, tags.category_of(tx, label)

        return await self._with(tenant, change)

    async def of_photo(self, tenant: str, photo_id: str) -> list[PhotoTag]:
        """The tags of the photo; NotFoundError."""

        def look(tx: Transaction) -> list[PhotoTag]:
            if photos.get(tx, photo_id) is None:
                raise unknown(photo_id)
            return tags.of_photos(tx, [photo_id])[photo_id]

        return await self._with(tenant, look)

    async def add(
        self, tenant: str, actor: str, photo_id: str, label: str, category: str
    ) -> list[PhotoTag]:
        """Put a tag on; the photo's tags then. NotFoundError."""

        def change(tx: Transaction) -> list[PhotoTag]:
            tags.add(tx, actor, photo_id, label, category)
            return tags.of_photos(tx, [photo_id])[photo_id]

        return await self._with(tenant, change)

    async def remove(self, tenant: str, actor: str, photo_id: str, label: str) -> list[PhotoTag]:
        """Take a tag off for good; the photo's tags then. NotFoundError."""

        def change(tx: Transaction) -> list[PhotoTag]:
            tags.remove(tx, actor, photo_id, label)
            return tags.of_photos(tx, [photo_id])[photo_id]

        return await self._with(tenant, change)
