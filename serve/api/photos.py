"""/v1/photos: upload, list, look at, delete."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request, Response

from photoorg.errors import OverloadedError
from serve.api.body import file_of, form, inline, json_body, media_type, request_body, wrong_type
from serve.api.models import (
    PHOTO_ID,
    LiveVideoView,
    PairList,
    PairView,
    PhotoAccepted,
    PhotoDetail,
    PhotoPage,
    PhotoView,
    UrlUpload,
)
from serve.api.paging import Cursor, Limit
from serve.auth import TenantOf, actor_of
from serve.ports import Fetcher, Photos, Uploads
from serve.problems import responses

Id = Annotated[str, Path(pattern=PHOTO_ID, description="SHA-256 of the photo's bytes in hex.")]
UPLOAD_FORM: dict[str, Any] = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "format": "binary", "description": "The file."}},
}


def photos_router(
    photos: Photos,
    uploads: Uploads,
    fetcher: Fetcher,
    tenant_of: TenantOf,
    *,
    uploads_at_once: int,
) -> APIRouter:
    """Routes under /v1/photos. More than `uploads_at_once` uploads in flight are sent away."""
    router = APIRouter(prefix="/v1/photos", tags=["photos"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)
    room = asyncio.Semaphore(uploads_at_once)

    @router.post(
        "",
        status_code=202,
        summary="Upload a photo or a live photo's video, as a file or by URL",
        response_model=PhotoAccepted,
        responses={
            200: {"model": PhotoAccepted, "description": "The photo was there already."},
            **responses(404, 413, 415, 422, 503),
        },
        openapi_extra=request_body(form=UPLOAD_FORM, json=inline(UrlUpload)),
    )
    async def upload(
        request: Request, response: Response, tenant: str = tenant_dep
    ) -> PhotoAccepted:
        """The answer comes when the photo is safe on disk; it is searchable seconds later.

        The same bytes again give the same photo_id and its present status. The video of a live
        photo may come before its still or after it: the two are joined by the identifier that the
        camera wrote into both, and a video without one is refused.
        """
        if room.locked():
            raise OverloadedError("Too many uploads at once.", fix="Try again in a second.")
        async with room:
            data, filename = await _received(request, fetcher)
            accepted = await uploads.accept(tenant, data, filename)
        response.status_code = 202 if accepted.status in ("queued", "processing") else 200
        return PhotoAccepted(
            photo_id=accepted.photo_id,
            status=accepted.status,
            kind=accepted.kind,
            stills=list(accepted.stills),
        )

    @router.get(
        "",
        summary="List photos, newest first",
        response_model=PhotoPage,
        responses=responses(422, 503),
    )
    async def page(
        tenant: str = tenant_dep,
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> PhotoPage:
        """Follow next_cursor until it is null; photos added meanwhile do not shift the pages."""
        found, following = await photos.page(tenant, after=cursor, limit=limit)
        return PhotoPage(photos=[PhotoView.of(p) for p in found], next_cursor=following)

    @router.get(
        "/{photo_id}",
        summary="Look at one photo",
        response_model=PhotoDetail,
        responses=responses(404, 422, 503),
    )
    async def get(photo_id: Id, tenant: str = tenant_dep) -> PhotoDetail:
        """Metadata, EXIF, hashes, quality, its video, and how far its processing is."""
        photo = await photos.get(tenant, photo_id)
        videos = [LiveVideoView.of(v) for v in await photos.videos(tenant, photo_id)]
        return PhotoDetail.of(photo).model_copy(update={"videos": videos})

    @router.get(
        "/{photo_id}/thumbnail",
        summary="Get a photo's thumbnail",
        response_class=Response,
        responses={
            200: {"content": {"image/webp": {"schema": {"type": "string", "format": "binary"}}}},
            304: {"description": "The copy named by If-None-Match is still good."},
            **responses(404, 422, 503),
        },
    )
    async def thumbnail(photo_id: Id, request: Request, tenant: str = tenant_dep) -> Response:
        """WebP, 400 pixels. It never changes, so it may be cached for ever by the same user."""
        etag = f'"{photo_id}-400"'
        cached = {"ETag": etag, "Cache-Control": "private, max-age=31536000, immutable"}
        seen = {part.strip() for part in request.headers.get("if-none-match", "").split(",")}
        if etag in seen or "*" in seen:
            await photos.get(tenant, photo_id)
            return Response(status_code=304, headers=cached)
        data = await photos.thumbnail(tenant, photo_id)
        return Response(data, media_type="image/webp", headers=cached)

    @router.get(
        "/{photo_id}/pairs",
        summary="List what belongs together with a photo",
        response_model=PairList,
        responses=responses(404, 422, 503),
    )
    async def pairs(photo_id: Id, tenant: str = tenant_dep) -> PairList:
        """Its RAW or JPEG twin, other frames of its burst, the video of a live photo; and why.

        Of a live photo's video it lists the stills: none while it waits for them.
        """
        return PairList(pairs=[PairView.of(pair) for pair in await photos.pairs(tenant, photo_id)])

    @router.post(
        "/{photo_id}/trash",
        summary="Move a photo to the trash",
        response_model=PhotoView,
        responses=responses(404, 409, 422, 503),
    )
    async def trash(photo_id: Id, tenant: str = tenant_dep, actor: str = actor_dep) -> PhotoView:
        """Hidden from the next query on, and restored whole by /restore."""
        return PhotoView.of(await photos.trash(tenant, photo_id, actor))

    @router.post(
        "/{photo_id}/restore",
        summary="Take a photo out of the trash",
        response_model=PhotoView,
        responses=responses(404, 422, 503),
    )
    async def restore(photo_id: Id, tenant: str = tenant_dep, actor: str = actor_dep) -> PhotoView:
        """Found again from the next query on; a photo that is not in the trash stays as it is."""
        return PhotoView.of(await photos.restore(tenant, photo_id, actor))

    @router.delete(
        "/{photo_id}",
        status_code=204,
        summary="Delete a photo",
        responses=responses(404, 422, 503),
    )
    async def delete(photo_id: Id, tenant: str = tenant_dep, actor: str = actor_dep) -> None:
        """Gone from the next query on. The id of a live photo's video removes that alone."""
        await photos.delete(tenant, photo_id, actor)

    return router


async def _received(request: Request, fetcher: Fetcher) -> tuple[bytes, str]:
    kind = media_type(request)
    if kind == "multipart/form-data":
        async with form(request, *UPLOAD_FORM["properties"]) as data:
            return await file_of(data, "file")
    if kind == "application/json":
        url = str((await json_body(request, UrlUpload)).url)
        return await fetcher.fetch(url), url.partition("?")[0].rpartition("/")[2]
    raise wrong_type(request, "multipart/form-data with a file", 'JSON {"url": ...}')
