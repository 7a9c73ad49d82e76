"""Search by photo, image, vector and text, with filters and pages."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Path, Query, Request

from photoorg.errors import InputError, PhotoOrgError
from photoorg.search.filters import Filter, parse_filter
from photoorg.search.ports import Mode, SearchAnswer
from photoorg.search.questions import Terms
from photoorg.search.service import SearchService
from photoorg.search.tuning import Cutoff
from serve.api.body import (
    field,
    file_of,
    form,
    inline,
    json_body,
    media_type,
    number,
    request_body,
    text_of,
    wrong_type,
)
from serve.api.models import (
    CUTOFF,
    PHOTO_ID,
    BatchAnswer,
    BatchBody,
    BatchResults,
    BoxBody,
    CutoffValue,
    SearchBody,
    SearchResults,
)
from serve.auth import TenantOf, user_of
from serve.metrics import Metrics
from serve.problems import as_problem, request_id, responses

FILTER = """Which photos may be found, as JSON, such as {"tags": {"any": ["dog"]}}."""
MODE = "hybrid (words and vectors), keyword or semantic; default hybrid."
SEARCH_FORM: dict[str, Any] = {
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
        "filter": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": inline(Filter),
            "description": "Which photos may be found, as JSON.",
        },
        "cursor": {"type": "string", "description": "next_cursor of the page before."},
        "cutoff": {"type": "string", "description": CUTOFF},
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
    filter_dep = Query(None, alias="filter", max_length=20_000, description=FILTER)
    cursor_dep = Query(None, max_length=65_536, description="next_cursor of the page before.")
    cutoff_dep = Query(None, description=CUTOFF)

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
        where: str | None = filter_dep,
        cursor: str | None = cursor_dep,
        cutoff: CutoffValue | None = cutoff_dep,
    ) -> SearchResults:
        """The photo itself is not among the results."""
        terms = Terms(_filter(where), cursor, cutoff, user)
        answer = await service.similar(tenant, photo_id, top_k, terms)
        return results("similar", answer, top_k, photo_id, photo_id)

    @router.get(
        "/search",
        summary="Find photos by text",
        response_model=SearchResults,
        responses=responses(409, 422, 503, 504),
    )
    async def by_text(
        q: Annotated[str, Query(min_length=1, max_length=2_000, description="What to look for.")],
        mode: Annotated[Mode | None, Query(description=MODE)] = None,
        tenant: str = tenant_dep,
        user: str = user_dep,
        top_k: int = top_k_dep,
        where: str | None = filter_dep,
        cursor: str | None = cursor_dep,
        cutoff: CutoffValue | None = cutoff_dep,
    ) -> SearchResults:
        """Words are searched in titles, captions, tags, people, albums, text in the picture and
        file names; vectors where the library's embedding space has a text encoder. A date in the
        query narrows the search to the time it names.
        """
        terms = Terms(_filter(where), cursor, cutoff, user)
        answer = await service.by_text(tenant, q, top_k, terms, mode=mode)
        return results("text", answer, top_k, q)

    @router.post(
        "/search",
        summary="Find photos by image, by part of an image, by vector, by text, or by a filter",
        response_model=SearchResults,
        responses=responses(404, 409, 413, 415, 422, 503, 504),
        openapi_extra=request_body(form=SEARCH_FORM, json=inline(SearchBody)),
    )
    async def search(
        request: Request, tenant: str = tenant_dep, user: str = user_dep
    ) -> SearchResults:
        """Send an image (with an optional bbox in pixels of the upright image) as a form, or JSON
        with one of vector, text and photo_id (with an optional bbox). All of them take a filter
        and the cursor of the page before.
        """
        kind = media_type(request)
        if kind == "multipart/form-data":
            async with form(request, "file", *SEARCH_FORM["properties"]) as data:
                image, name = await file_of(data, "image", "file")
                part, k = field(data, "bbox", BoxBody), number(data, "top_k")
                where, cutoff = _filter(text_of(data, "filter")), _cutoff(text_of(data, "cutoff"))
                terms = Terms(where, text_of(data, "cursor"), cutoff, user)
            box = None if part is None else part.box()
            answer = await service.by_image(tenant, image, k, terms, box=box)
            return results("image", answer, default_k if k is None else k, name or "image")
        if kind != "application/json":
            raise wrong_type(request, "multipart/form-data with an image", "JSON")
        return await by_body(await json_body(request, SearchBody), tenant, user)

    @router.post(
        "/search/batch",
        summary="Answer several queries together",
        response_model=BatchResults,
        responses=responses(413, 415, 422, 503, 504),
        openapi_extra=request_body(json=inline(BatchBody)),
    )
    async def batch(
        request: Request, tenant: str = tenant_dep, user: str = user_dep
    ) -> BatchResults:
        """Up to 64 JSON queries as POST /v1/search takes them.

        Shards answer them in common searches. A query that cannot be answered carries its own
        problem; the others are not touched by it.
        """

        async def one(query: SearchBody) -> BatchAnswer:
            try:
                return BatchAnswer(results=await by_body(query, tenant, user))
            except PhotoOrgError as error:
                return BatchAnswer(problem=as_problem(error, request_id(request)))

        if media_type(request) != "application/json":
            raise wrong_type(request, "JSON")
        queries = (await json_body(request, BatchBody)).queries
        return BatchResults(answers=list(await asyncio.gather(*map(one, queries))))

    async def by_body(body: SearchBody, tenant: str, user: str) -> SearchResults:
        k = default_k if body.top_k is None else body.top_k
        kind, answer = await ask(service, tenant, body, k, user)
        query = {"similar": body.photo_id, "text": body.text}.get(kind) or kind
        return results(kind, answer, k, query, body.photo_id)

    return router


async def ask(
    service: SearchService, tenant: str, body: SearchBody, k: int, user: str = ""
) -> tuple[str, SearchAnswer]:
    """What a JSON query asks for: its kind and the answer; InputError if it asks for two."""
    asked = [body.photo_id, body.vector, body.text]
    count = sum(part is not None for part in asked)
    if count > 1 or (not count and not body.filter) or (body.bbox and body.photo_id is None):
        raise InputError(
            "Give one of photo_id (with or without bbox), vector and text, or only a filter."
        )
    if body.filter is not None:
        body.filter.parts()
    terms = Terms(body.filter, body.cursor, body.cutoff, user)
    if body.vector is not None:
        return "vector", await service.by_vector(tenant, body.vector, k, terms)
    if body.text is not None or not count:
        return "text", await service.by_text(tenant, body.text or "", k, terms, mode=body.mode)
    assert body.photo_id is not None, "checked above"
    box = None if body.bbox is None else body.bbox.box()
    return "similar", await service.similar(tenant, body.photo_id, k, terms, box=box)


def _cutoff(text: str | None) -> Cutoff | None:
    if text is None or text in ("auto", "off"):
        return cast(Cutoff | None, text)
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{text!r} is no cutoff.", fix="Use auto, off or a cosine.") from None


def _filter(text: str | None) -> Filter | None:
    return None if text is None else parse_filter(text)
