"""Search by photo, image, vector and text."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request

from photoorg.errors import InputError
from photoorg.search.ports import SearchAnswer
from photoorg.search.service import SearchService
from serve.api.body import (
    field,
    file_of,
    form,
    inline,
    json_body,
    media_type,
    number,
    request_body,
    wrong_type,
)
from serve.api.models import PHOTO_ID, BoxBody, SearchBody, SearchResults
from serve.auth import TenantOf, user_of
from serve.metrics import Metrics
from serve.problems import responses

SEARCH_FORM = {
    "type": "object",
    "required": ["image"],
    "properties": {
        "image": {"type": "string", "format": "binary", "description": "The query image."},
        "bbox": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": inline(BoxBody),
            "description": "Part of the image to search for, as JSON.",
        },
        "top_k": {"type": "integer", "minimum": 1},
    },
}


def search_router(
    service: SearchService, tenant_of: TenantOf, metrics: Metrics, *, default_k: int, max_k: int
) -> APIRouter:
    """Routes that search."""
    router = APIRouter(prefix="/v1", tags=["search"])
    tenant_dep = Depends(tenant_of)
    user_dep = Depends(user_of)
    top_k_dep = Query(default_k, ge=1, le=max_k, description="How many results.")

    def results(
        kind: str, answer: SearchAnswer, k: int, query: str, photo_id: str | None = None
    ) -> SearchResults:
        metrics.search.labels(kind).observe(answer.latency_ms / 1000)
        if answer.partial:
            metrics.partial.inc()
        return SearchResults.of(answer, query, k, photo_id)

    @router.get(
        "/photos/{photo_id}/similar",
        summary="Find photos similar to one of the library",
        response_model=SearchResults,
        responses=responses(404, 409, 422, 503, 504),
    )
    async def similar(
        photo_id: Annotated[str, Path(pattern=PHOTO_ID)],
        tenant: str = tenant_dep,
        user: str = user_dep,
        top_k: int = top_k_dep,
    ) -> SearchResults:
        """The photo itself is not among the results."""
        answer = await service.similar(tenant, photo_id, top_k, user=user)
        return results("similar", answer, top_k, photo_id, photo_id)

    @router.get(
        "/search",
        summary="Find photos by text",
        response_model=SearchResults,
        responses=responses(409, 422, 503, 504),
    )
    async def by_text(
        q: Annotated[str, Query(min_length=1, max_length=2_000, description="What to look for.")],
        tenant: str = tenant_dep,
        user: str = user_dep,
        top_k: int = top_k_dep,
    ) -> SearchResults:
        """Works where the library's embedding space has a text encoder."""
        answer = await service.by_text(tenant, q, top_k, user=user)
        return results("text", answer, top_k, q)

    @router.post(
        "/search",
        summary="Find photos by image, by part of an image, or by vector",
        response_model=SearchResults,
        responses=responses(404, 409, 413, 415, 422, 503, 504),
        openapi_extra=request_body(form=SEARCH_FORM, json=inline(SearchBody)),
    )
    async def search(
        request: Request, tenant: str = tenant_dep, user: str = user_dep
    ) -> SearchResults:
        """Send an image (with an optional bbox in pixels of the upright image) as a form, or JSON
        with either a vector or a photo_id and an optional bbox.
        """
        kind = media_type(request)
        if kind == "multipart/form-data":
            async with form(request) as data:
                image, name = await file_of(data, "image", "file")
                box, k = field(data, "bbox", BoxBody), number(data, "top_k")
            answer = await service.by_image(tenant, image, k, box=box and box.box(), user=user)
            return results("image", answer, default_k if k is None else k, name or "image")
        if kind != "application/json":
            raise wrong_type(request, "multipart/form-data with an image", "JSON")
        body = await json_body(request, SearchBody)
        k = default_k if body.top_k is None else body.top_k
        if (body.photo_id is None) == (body.vector is None) or (body.vector and body.bbox):
            raise InputError("Give either photo_id (with or without bbox) or vector.")
        if body.vector is not None:
            answer = await service.by_vector(tenant, body.vector, k, user=user)
            return results("vector", answer, k, "vector")
        assert body.photo_id is not None
        box = body.bbox
        answer = await service.similar(tenant, body.photo_id, k, box=box and box.box(), user=user)
        return results("similar", answer, k, body.photo_id, body.photo_id)

    return router
