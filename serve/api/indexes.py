"""/v1/admin: index versions, what serves, and the spaces of the library."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response

from photoorg.errors import NotFoundError
from photoorg.stages.versions import State
from serve.api.index_models import (
    ActivateBody,
    CanaryBody,
    CanaryView,
    CompactBody,
    Compacted,
    CompareBody,
    ComparisonView,
    IndexPage,
    IndexView,
    RollbackBody,
    SpacePage,
    SpaceView,
    SwitchView,
)
from serve.api.paging import Cursor, Limit
from serve.auth import TenantOf, actor_of
from serve.ports import Indexes
from serve.problems import responses

Version = Annotated[str, Path(max_length=100, description="Name of an index version.")]


def indexes_router(indexes: Indexes, tenant_of: TenantOf) -> APIRouter:
    """Routes of an operator; every change is audited with who made it."""
    router = APIRouter(prefix="/v1/admin", tags=["administration"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "/indexes",
        summary="List index versions, and what serves",
        response_model=IndexPage,
        responses=responses(404, 422, 503),
    )
    async def listing(
        tenant: str = tenant_dep, cursor: Cursor = None, limit: Limit = 100
    ) -> IndexPage:
        """Newest first, with the default space, the canary and the last switch."""
        return _page(await indexes.state(tenant), cursor, limit)

    @router.get(
        "/spaces",
        summary="List embedding spaces",
        response_model=SpacePage,
        responses=responses(404, 422, 503),
    )
    async def spaces(
        tenant: str = tenant_dep, cursor: Cursor = None, limit: Limit = 100
    ) -> SpacePage:
        """Every space the library has, or had, vectors in; oldest first."""
        known = await indexes.spaces(tenant)
        start = _start([s.id for s in known], cursor)
        shown = known[start : start + limit]
        more = shown[-1].id if start + limit < len(known) else None
        return SpacePage(spaces=[SpaceView.of(s) for s in shown], next_cursor=more)

    @router.post(
        "/indexes/{version}/compare",
        summary="Compare a version with the one that serves",
        response_model=ComparisonView,
        responses=responses(404, 409, 422, 503),
    )
    async def compare(
        version: Version, body: CompareBody, tenant: str = tenant_dep
    ) -> ComparisonView:
        """The verdict is kept: a cutover to another space asks for it."""
        found = await indexes.compare(tenant, version, body.queries, body.golden)
        return ComparisonView.model_validate(found.to_dict())

    @router.get(
        "/indexes/{version}/comparison.png",
        summary="The last comparison of a version as a picture",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
            **responses(404, 422, 503),
        },
    )
    async def chart(version: Version, tenant: str = tenant_dep) -> Response:
        """How the overlaps are spread, and every gate with its limit."""
        return Response(await indexes.chart(tenant, version), media_type="image/png")

    @router.post(
        "/indexes/{version}/activate",
        summary="Let a version serve",
        response_model=SwitchView,
        responses=responses(404, 409, 422, 503),
    )
    async def activate(
        version: Version, body: ActivateBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> SwitchView:
        """Waits until every shard slot holds it; then one transaction switches all of them."""
        done = await indexes.activate(
            tenant, version, actor=actor, force=body.force, wait_s=body.wait_s
        )
        return SwitchView.of(done)

    @router.post(
        "/indexes/rollback",
        summary="Let serve again what served before",
        response_model=SwitchView,
        responses=responses(404, 409, 422, 503),
    )
    async def rollback(
        body: RollbackBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> SwitchView:
        """Undoes the last switch, in the same way."""
        done = await indexes.rollback(tenant, actor=actor, wait_s=body.wait_s)
        return SwitchView.of(done)

    @router.put(
        "/indexes/{version}/canary",
        summary="Serve a share of the users from a version of another space",
        response_model=CanaryBody,
        responses=responses(404, 409, 422, 503),
    )
    async def canary(
        version: Version, body: CanaryBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> CanaryBody:
        """Always the same users; a larger share keeps those who are in it. 0 ends it."""
        await indexes.canary(tenant, version, body.share, actor=actor)
        return body

    @router.post(
        "/indexes/{version}/retire",
        summary="Give up a version that is being built or waits to serve",
        response_model=IndexView,
        responses=responses(404, 409, 422, 503),
    )
    async def retire(
        version: Version, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> IndexView:
        """Photos no longer get to it; its files go with the next maintenance."""
        return IndexView.of(await indexes.retire(tenant, version, actor=actor))

    @router.post(
        "/indexes/compact",
        summary="Fold what changed into new shards, or spread over another number of them",
        response_model=Compacted,
        responses=responses(409, 422, 503),
    )
    async def compact(
        body: CompactBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> Compacted:
        """Queries and writes go on; for large libraries run the job `photoorg index compact`."""
        return Compacted.of(await indexes.compact(tenant, body.shards, actor=actor))

    return router


def _page(state: State, after: str | None, limit: int) -> IndexPage:
    start = _start([v.version for v in state.versions], after)
    shown = state.versions[start : start + limit]
    route = state.route
    canary = route.canary
    return IndexPage(
        indexes=[IndexView.of(v) for v in shown],
        next_cursor=shown[-1].version if start + limit < len(state.versions) else None,
        default_space=route.default.id if route.default is not None else None,
        canary=CanaryView(space_id=canary.id, share=route.share) if canary is not None else None,
        last_switch=SwitchView.of(state.last) if state.last is not None else None,
    )


def _start(names: list[str], after: str | None) -> int:
    if after is None:
        return 0
    if after not in names:
        raise NotFoundError(f"There is nothing called {after!r} here.", fix="Use next_cursor.")
    return names.index(after) + 1
