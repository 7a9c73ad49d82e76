"""create_app: the whole HTTP interface as ordinary FastAPI, without Ray."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from fastapi import APIRouter, Depends, FastAPI
from fastapi.openapi.utils import get_openapi

from photoorg import __version__
from photoorg.config import SearchConfig, ServeConfig
from photoorg.search.service import SearchService
from serve.api.health import Others, health_router
from serve.api.models import Problem
from serve.api.photos import photos_router
from serve.api.search import search_router
from serve.api.strict import known_parameters
from serve.auth import SameMachine, TenantOf, is_loopback
from serve.metrics import Metrics
from serve.middleware import Requests
from serve.ports import Fetcher, Health, Photos, Uploads
from serve.problems import install

FORM_OVERHEAD = 1_000_000
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def create_app(
    service: SearchService,
    photos: Photos,
    uploads: Uploads,
    fetcher: Fetcher,
    health: Health,
    *,
    tenant_of: TenantOf,
    serve: ServeConfig,
    search: SearchConfig,
    metrics: Metrics | None = None,
    others: Others | None = None,
    lifespan: Lifespan | None = None,
    send_request_id: bool = True,
    routers: Sequence[APIRouter] = (),
) -> FastAPI:
    """The application over its parts; `lifespan` starts and stops what runs beside it.

    `send_request_id` False where the server around it puts X-Request-ID into responses; `routers`
    are further parts of the interface, such as curation_routers. `others` gives the metrics of the
    application's other processes.
    """
    metrics = metrics or Metrics()
    app = FastAPI(
        title="photoorg",
        version=__version__,
        summary="Find, group and clean up photos.",
        lifespan=lifespan or _nothing,
    )
    install(app)
    strict = [Depends(known_parameters)]
    for router in (
        search_router(service, tenant_of, metrics, default_k=search.default_k, max_k=search.max_k),
        photos_router(
            photos, uploads, fetcher, tenant_of, uploads_at_once=serve.max_uploads_at_once
        ),
        *routers,
    ):
        app.include_router(router, dependencies=strict)
    app.include_router(health_router(health, uploads, metrics, others))
    if is_loopback(serve.host) and not serve.allow_public:
        app.add_middleware(SameMachine)
    app.add_middleware(
        Requests,
        metrics=metrics,
        max_body=serve.max_upload_bytes + FORM_OVERHEAD,
        max_in_flight=serve.ingress_ongoing,
        body_timeout_s=serve.body_timeout_s,
        send_id=send_request_id,
    )
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    return app


def _openapi(app: FastAPI) -> dict[str, Any]:
    """FastAPI's schema plus the Problem model that the error responses refer to."""
    if app.openapi_schema is None:
        schema = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        schemas = schema.setdefault("components", {}).setdefault("schemas", {})
        schemas["Problem"] = Problem.model_json_schema()
        app.openapi_schema = schema
    return app.openapi_schema


@asynccontextmanager
async def _nothing(app: FastAPI) -> AsyncIterator[None]:
    yield
