"""/v1/tags and the tags of single photos."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Path, Query

from photoorg.models import PhotoTag
from photoorg.store.catalog.tags import TagSummary
from serve.api.models import PHOTO_ID
from serve.api.paging import Cursor, Limit
from serve.api.tag_models import (
    Mapped,
    MappingBody,
    PhotoTags,
    TagBody,
    TagPage,
    TagSummaryView,
    TagView,
)
from serve.auth import TenantOf, actor_of
from serve.problems import responses

Id = Annotated[str, Path(pattern=PHOTO_ID, description="SHA-256 of the photo's bytes in hex.")]
Label = Annotated[str, Query(min_length=1, description="The tag.")]


class Tags(Protocol):
    """A tenant's tags."""

    async def page(
        self, tenant: str, *, after: str | None, limit: int, category: str | None
    ) -> tuple[list[TagSummary], str | None]:
        """Tags by label, and the cursor of the next page."""

    async def map_category(
        self, tenant: str, actor: str, label: str, category: str | None
    ) -> tuple[str, str]:
        """The tag's category before and now; None gives it its maker's. NotFoundError."""

    async def of_photo(self, tenant: str, photo_id: str) -> list[PhotoTag]:
        """The tags of the photo; NotFoundError."""

    async def add(
        self, tenant: str, actor: str, photo_id: str, label: str, category: str
    ) -> list[PhotoTag]:
        """Put a tag on; the photo's tags then. NotFoundError."""

    async def remove(self, tenant: str, actor: str, photo_id: str, label: str) -> list[PhotoTag]:
        """Take a tag off for good; the photo's tags then. NotFoundError."""


def tags_router(tags: Tags, tenant_of: TenantOf) -> APIRouter:
    """Routes of tags; every change is written to the audit log."""
    router = APIRouter(prefix="/v1", tags=["tags"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "/tags",
        summary="List tags by label",
        response_model=TagPage,
        responses=responses(422, 503),
    )
    async def page(
        tenant: str = tenant_dep,
        category: Annotated[str | None, Query(description="Only of this category.")] = None,
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> TagPage:
        """With their categories and how many photos have them."""
        found, following = await tags.page(tenant, after=cursor, limit=limit, category=category)
        return TagPage(tags=[TagSummaryView.of(t) for t in found], next_cursor=following)

    @router.put(
        "/tags/mapping",
        summary="Let a tag belong to a category",
        response_model=Mapped,
        responses=responses(404, 422, 503),
    )
    async def map_category(
        body: MappingBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> Mapped:
        """On every photo, at once; no photo is looked at again."""
        before, now = await tags.map_category(tenant, actor, body.label, body.category)
        return Mapped(label=body.label, before=before, category=now)

    @router.delete(
        "/tags/mapping",
        summary="Give a tag its first category back",
        response_model=Mapped,
        responses=responses(404, 422, 503),
    )
    async def unmap_category(
        label: Label, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> Mapped:
        """The category its maker gave it; nothing changes if it was never mapped."""
        before, now = await tags.map_category(tenant, actor, label, None)
        return Mapped(label=label, before=before, category=now)

    @router.get(
        "/photos/{photo_id}/tags",
        summary="List the tags of a photo",
        response_model=PhotoTags,
        responses=responses(404, 422, 503),
    )
    async def of_photo(photo_id: Id, tenant: str = tenant_dep) -> PhotoTags:
        """Those that people gave before those that a machine found, by category."""
        return PhotoTags(tags=[TagView.of(t) for t in await tags.of_photo(tenant, photo_id)])

    @router.post(
        "/photos/{photo_id}/tags",
        summary="Put a tag on a photo",
        response_model=PhotoTags,
        responses=responses(404, 422, 503),
    )
    async def add(
        photo_id: Id, body: TagBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PhotoTags:
        """It stays, whatever machines find later. Putting it on twice changes nothing."""
        found = await tags.add(tenant, actor, photo_id, body.label, body.category)
        return PhotoTags(tags=[TagView.of(t) for t in found])

    @router.delete(
        "/photos/{photo_id}/tags",
        summary="Take a tag off a photo",
        response_model=PhotoTags,
        responses=responses(404, 422, 503),
    )
    async def remove(
        photo_id: Id, label: Label, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PhotoTags:
        """No machine puts it on again; POST does, and lets machines again."""
        found = await tags.remove(tenant, actor, photo_id, label)
        return PhotoTags(tags=[TagView.of(t) for t in found])

    return router
