"""/v1/dedup: suggestions, resolve, undo, preview."""

from __future__ import annotations

from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Depends, Query

from photoorg.curate.sweep import Effect
from photoorg.store.catalog.duplicates import StoredGroup
from photoorg.store.catalog.resolutions import Action, Resolution, Undone
from serve.api.dedup_models import (
    DedupStats,
    GroupView,
    Kind,
    PreviewView,
    ResolveBody,
    Resolved,
    Status,
    Suggestions,
    UndoBody,
    UndoneView,
)
from serve.api.paging import Cursor, Limit
from serve.auth import TenantOf, actor_of
from serve.problems import responses

Confidence = Annotated[float, Query(ge=0, le=1)]


class Dedup(Protocol):
    """A tenant's duplicates."""

    async def page(
        self,
        tenant: str,
        *,
        after: str | None,
        limit: int,
        least: float,
        kind: str | None,
        status: str,
    ) -> tuple[list[StoredGroup], str | None]:
        """The surest first, and the cursor of the next page; InputError for a made-up cursor."""

    async def get(self, tenant: str, group_id: int) -> StoredGroup:
        """One group, or NotFoundError."""

    async def resolve(
        self,
        tenant: str,
        group_id: int,
        action: Action,
        *,
        keeper_id: str | None,
        distinct: bool,
        actor: str,
    ) -> Resolution:
        """See photoorg.store.catalog.resolutions.resolve."""

    async def undo(self, tenant: str, undo_token: str, *, actor: str) -> Undone:
        """See photoorg.store.catalog.resolutions.undo."""

    async def preview(self, tenant: str, thresholds: list[float]) -> tuple[list[Effect], float]:
        """What each threshold would suggest, and the threshold in force."""

    async def stats(self, tenant: str) -> dict[str, Any]:
        """Counts by status and kind."""


def dedup_router(dedup: Dedup, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/dedup."""
    router = APIRouter(prefix="/v1/dedup", tags=["dedup"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "/suggestions",
        summary="List groups of duplicates, the surest first",
        response_model=Suggestions,
        responses=responses(422, 503),
    )
    async def suggestions(
        tenant: str = tenant_dep,
        confidence_min: Confidence = 0.0,
        kind: Kind | None = None,
        status: Status = "open",
        cursor: Cursor = None,
        limit: Limit = 100,
    ) -> Suggestions:
        """Each with the photo to keep, why that one, and what was found about the others."""
        groups, following = await dedup.page(
            tenant, after=cursor, limit=limit, least=confidence_min, kind=kind, status=status
        )
        return Suggestions(suggestions=[GroupView.of(g) for g in groups], next_cursor=following)

    @router.get(
        "/suggestions/{duplicateset_id}",
        summary="Look at one group",
        response_model=GroupView,
        responses=responses(404, 422, 503),
    )
    async def one(duplicateset_id: int, tenant: str = tenant_dep) -> GroupView:
        """Resolved groups can be looked at too."""
        return GroupView.of(await dedup.get(tenant, duplicateset_id))

    @router.post(
        "/resolve",
        summary="Resolve a group",
        response_model=Resolved,
        responses=responses(404, 409, 422, 503),
    )
    async def resolve(
        body: ResolveBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> Resolved:
        """A merge moves the others to the trash and their albums, tags and words to the keeper."""
        done = await dedup.resolve(
            tenant,
            body.duplicateset_id,
            body.action,
            keeper_id=body.keep_photo_id,
            distinct=body.not_duplicates,
            actor=actor,
        )
        return Resolved.of(done)

    @router.post(
        "/undo",
        summary="Take a resolution back",
        response_model=UndoneView,
        responses=responses(404, 409, 422, 503),
    )
    async def undo(body: UndoBody, tenant: str = tenant_dep, actor: str = actor_dep) -> UndoneView:
        """Photos and metadata are as before, except what was changed since by somebody."""
        return UndoneView.of(await dedup.undo(tenant, body.undo_token, actor=actor))

    @router.get(
        "/preview",
        summary="Count what thresholds would suggest",
        response_model=PreviewView,
        responses=responses(422, 503),
    )
    async def preview(
        confidence: Annotated[list[Confidence], Query(min_length=1, max_length=20)],
        tenant: str = tenant_dep,
    ) -> PreviewView:
        """From the pairs of the last scan; nothing is written."""
        return PreviewView.of(*await dedup.preview(tenant, confidence))

    @router.get(
        "/stats",
        summary="Count groups and bytes by status",
        response_model=DedupStats,
        responses=responses(503),
    )
    async def stats(tenant: str = tenant_dep) -> DedupStats:
        """Also photos that lie in several files with the same bytes."""
        return DedupStats(**await dedup.stats(tenant))

    return router
