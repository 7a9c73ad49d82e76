"""Liveness, readiness and metrics."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from fastapi import APIRouter, Response

from photoorg.errors import PhotoOrgError
from serve.api.models import Alive, CheckView, Ready
from serve.metrics import CONTENT_TYPE, Metrics, Snapshot
from serve.ports import Health, Uploads
from serve.problems import responses

Others = Callable[[], Awaitable[Sequence[Snapshot]]]


def health_router(
    health: Health, uploads: Uploads, metrics: Metrics, others: Others | None = None
) -> APIRouter:
    """Routes for the operator; none of them needs a tenant.

    `others` asks for the metrics of the application's other processes.
    """
    router = APIRouter(prefix="/v1", tags=["operation"])

    @router.get(
        "/health/live",
        summary="Is the process alive?",
        response_model=Alive,
        responses=responses(),
    )
    async def live() -> Alive:
        """Looks at nothing else."""
        return Alive()

    @router.get(
        "/health/ready",
        summary="Can requests be served?",
        response_model=Ready,
        responses={
            503: {"model": Ready, "description": "Some part does not work."},
            **responses(),
        },
    )
    async def ready(response: Response) -> Ready:
        """Database, storage, encoder and shards, each with what is wrong if it does not work."""
        checks = await health.checks()
        well = all(check.ok for check in checks.values())
        response.status_code = 200 if well else 503
        return Ready(
            status="ready" if well else "not-ready",
            checks={n: CheckView(ok=c.ok, detail=c.detail) for n, c in checks.items()},
        )

    @router.get(
        "/metrics",
        summary="Metrics in Prometheus' text format",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            **responses(),
        },
    )
    async def scrape() -> Response:
        """Of every process of the application, whichever answers; `replica` tells them apart.

        Those of the others are up to five seconds old. Sum over `replica` for the whole.
        """
        try:
            metrics.queue.set(await uploads.depth())
        except PhotoOrgError:
            metrics.queue.set(float("nan"))
        text = metrics.text(await others() if others is not None else ())
        return Response(text, headers={"Content-Type": CONTENT_TYPE})

    return router
