"""/v1/clusters and /v1/albums: scenes, and what people keep of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response

from photoorg.store.catalog import Transaction, albums, scenes
from photoorg.store.catalog.albums import Kind
from serve.api.album_models import (
    AcceptBody,
    AlbumBody,
    AlbumPage,
    AlbumPatch,
    AlbumPhotos,
    AlbumView,
    MemberPage,
    MemberView,
    PhotosBody,
    ScenePage,
    SceneView,
)
from serve.api.models import PHOTO_ID
from serve.api.paging import Cursor, Limit
from serve.auth import TenantOf, actor_of
from serve.organised import Organised
from serve.problems import responses

PhotoCursor = Annotated[
    str | None, Query(pattern=PHOTO_ID, description="next_cursor of the page before.")
]
Id = Annotated[int, Path(ge=1, le=2**63 - 1)]


def clusters_router(organised: Organised, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/clusters."""
    router = APIRouter(prefix="/v1/clusters", tags=["albums"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "",
        summary="List scenes, the largest first",
        response_model=ScenePage,
        responses=responses(422, 503),
    )
    async def page(tenant: str = tenant_dep, cursor: Cursor = None, limit: Limit = 50) -> ScenePage:
        """As `photoorg scenes cluster` found them last."""
        found, following = await organised.catalog(
            tenant, lambda tx: scenes.page(tx, after=cursor, limit=limit)
        )
        return ScenePage(clusters=[SceneView.of(s) for s in found], next_cursor=following)

    @router.get(
        "/map",
        summary="Draw the scenes on the plane",
        response_class=Response,
        responses={
            200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
            **responses(503),
        },
    )
    async def picture(tenant: str = tenant_dep, actor: str = actor_dep) -> Response:
        """A PNG; photos that look alike are close."""
        data = await organised.scenes(tenant, actor, lambda s: s.map())
        return Response(data, media_type="image/png", headers={"Cache-Control": "no-store"})

    @router.get(
        "/{scene_id}",
        summary="Look at one scene",
        response_model=SceneView,
        responses=responses(404, 422, 503),
    )
    async def get(scene_id: Id, tenant: str = tenant_dep) -> SceneView:
        """Gone after the next clustering: albums stay, scenes do not."""
        return SceneView.of(await organised.catalog(tenant, lambda tx: scenes.get(tx, scene_id)))

    @router.get(
        "/{scene_id}/photos",
        summary="List a scene's photos",
        response_model=MemberPage,
        responses=responses(404, 422, 503),
    )
    async def members(
        scene_id: Id, tenant: str = tenant_dep, cursor: PhotoCursor = None, limit: Limit = 50
    ) -> MemberPage:
        """With how alike each is to the whole."""

        def work(tx: Transaction) -> MemberPage:
            scenes.get(tx, scene_id)
            found, following = scenes.members(tx, scene_id, after=cursor, limit=limit)
            return MemberPage(photos=[MemberView.of(m) for m in found], next_cursor=following)

        return await organised.catalog(tenant, work)

    return router


def albums_router(organised: Organised, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/albums."""
    router = APIRouter(prefix="/v1/albums", tags=["albums"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "",
        summary="List albums, newest first",
        response_model=AlbumPage,
        responses=responses(422, 503),
    )
    async def page(
        tenant: str = tenant_dep,
        cursor: Cursor = None,
        limit: Limit = 50,
        kind: Annotated[Kind | None, Query(description="Only these.")] = None,
    ) -> AlbumPage:
        """Suggested albums wait to be accepted or deleted."""
        found, following = await organised.catalog(
            tenant, lambda tx: albums.page(tx, after=cursor, limit=limit, kind=kind)
        )
        return AlbumPage(albums=[AlbumView.of(a) for a in found], next_cursor=following)

    @router.post(
        "",
        status_code=201,
        summary="Make an album",
        response_model=AlbumView,
        responses=responses(404, 422, 503),
    )
    async def create(
        body: AlbumBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> AlbumView:
        """Empty, or with photos."""
        return AlbumView.of(
            await organised.catalog(
                tenant, lambda tx: albums.create(tx, body.name, body.photo_ids, actor=actor)
            )
        )

    @router.post(
        "/suggest",
        summary="Suggest albums from the scenes",
        response_model=AlbumPage,
        responses=responses(503),
    )
    async def suggest(tenant: str = tenant_dep, actor: str = actor_dep) -> AlbumPage:
        """Earlier suggestions without an answer are replaced; refused ones do not come back."""
        made = await organised.scenes(tenant, actor, lambda s: s.suggest())
        return AlbumPage(albums=[AlbumView.of(a) for a in made], next_cursor=None)

    @router.get(
        "/{album_id}",
        summary="Look at one album",
        response_model=AlbumView,
        responses=responses(404, 422, 503),
    )
    async def get(album_id: Id, tenant: str = tenant_dep) -> AlbumView:
        """Without its photos, which are listed in pages."""
        return AlbumView.of(await organised.catalog(tenant, lambda tx: albums.get(tx, album_id)))

    @router.patch(
        "/{album_id}",
        summary="Rename an album",
        response_model=AlbumView,
        responses=responses(404, 422, 503),
    )
    async def rename(
        album_id: Id, body: AlbumPatch, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> AlbumView:
        """The name before is in the audit log."""
        return AlbumView.of(
            await organised.catalog(
                tenant, lambda tx: albums.rename(tx, album_id, body.name, actor)
            )
        )

    @router.delete(
        "/{album_id}",
        status_code=204,
        summary="Delete an album, not its photos",
        responses=responses(404, 422, 503),
    )
    async def delete(album_id: Id, tenant: str = tenant_dep, actor: str = actor_dep) -> None:
        """Restored by /restore. A suggested album is refused and not suggested again."""
        await organised.catalog(tenant, lambda tx: albums.delete(tx, album_id, actor))

    @router.post(
        "/{album_id}/restore",
        status_code=201,
        summary="Bring a deleted album back",
        response_model=AlbumView,
        responses=responses(404, 409, 422, 503),
    )
    async def restore(album_id: Id, tenant: str = tenant_dep, actor: str = actor_dep) -> AlbumView:
        """Under a new id, with those of its photos that are still there."""
        return AlbumView.of(
            await organised.catalog(tenant, lambda tx: albums.restore(tx, album_id, actor))
        )

    @router.post(
        "/{album_id}/accept",
        summary="Keep a suggested album",
        response_model=AlbumView,
        responses=responses(404, 409, 422, 503),
    )
    async def accept(
        album_id: Id, body: AcceptBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> AlbumView:
        """It is the user's own from then on."""
        return AlbumView.of(
            await organised.catalog(
                tenant, lambda tx: albums.accept(tx, album_id, actor, body.name)
            )
        )

    @router.get(
        "/{album_id}/photos",
        summary="List an album's photos",
        response_model=AlbumPhotos,
        responses=responses(404, 422, 503),
    )
    async def photos(
        album_id: Id, tenant: str = tenant_dep, cursor: PhotoCursor = None, limit: Limit = 100
    ) -> AlbumPhotos:
        """Photos in the trash are left out."""
        ids, following = await organised.catalog(
            tenant, lambda tx: albums.photos(tx, album_id, after=cursor, limit=limit)
        )
        return AlbumPhotos(photo_ids=ids, next_cursor=following)

    @router.post(
        "/{album_id}/photos",
        summary="Put photos into an album",
        response_model=AlbumView,
        responses=responses(404, 422, 503),
    )
    async def add(
        album_id: Id, body: PhotosBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> AlbumView:
        """Photos that are in it already stay."""
        return AlbumView.of(
            await organised.catalog(
                tenant, lambda tx: albums.add(tx, album_id, body.photo_ids, actor)
            )
        )

    @router.post(
        "/{album_id}/photos/remove",
        summary="Take photos out of an album",
        response_model=AlbumView,
        responses=responses(404, 422, 503),
    )
    async def remove(
        album_id: Id, body: PhotosBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> AlbumView:
        """The photos themselves stay in the library."""
        return AlbumView.of(
            await organised.catalog(
                tenant, lambda tx: albums.remove(tx, album_id, body.photo_ids, actor)
            )
        )

    return router
