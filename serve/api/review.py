"""/v1/anomalies, /v1/rules, /v1/feedback and /v1/clicks."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends, Path, Query

from photoorg.curate.rule_runs import Outcome
from photoorg.curate.rules import RuleBook, parse_rules
from photoorg.errors import InputError
from photoorg.store.catalog.anomalies import Anomaly, AnomalyStatus
from photoorg.store.catalog.rules import RuleRun
from serve.api.paging import Cursor, Limit
from serve.api.review_models import (
    AnomalyPage,
    AnomalyView,
    ClickBody,
    FeedbackBody,
    Noted,
    OutcomeView,
    PhotosBody,
    PhotosChanged,
    RuleRunPage,
    RuleRunView,
    RulesBody,
    RulesDone,
    RuleUndone,
)
from serve.auth import TenantOf, actor_of
from serve.problems import responses

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]


class Review(Protocol):
    """A tenant's review queue, rules and feedback."""

    async def anomalies(
        self, tenant: str, *, status: AnomalyStatus, after: str | None, limit: int
    ) -> tuple[list[Anomaly], str | None]:
        """The strangest first."""

    async def decide(
        self, tenant: str, photo_ids: list[str], status: AnomalyStatus, actor: str
    ) -> list[str]:
        """Dismiss or reopen; those that changed."""

    async def run_rules(
        self, tenant: str, book: RuleBook, actor: str, *, dry_run: bool
    ) -> list[Outcome]:
        """Run or try rules."""

    async def rule_runs(
        self, tenant: str, *, before: int | None, limit: int
    ) -> tuple[list[RuleRun], int | None]:
        """Runs, the latest first."""

    async def undo_rule(self, tenant: str, run_id: int, actor: str) -> tuple[str, int]:
        """Put back what a run changed."""

    async def feedback(self, tenant: str, body: FeedbackBody, actor: str) -> int:
        """Note a verdict."""

    async def withdraw(self, tenant: str, feedback_id: int, actor: str) -> None:
        """Forget a verdict; NotFoundError."""

    async def click(self, tenant: str, body: ClickBody, actor: str) -> int:
        """Note a click."""


def anomalies_router(review: Review, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/anomalies."""
    router = APIRouter(prefix="/v1/anomalies", tags=["anomalies"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "",
        summary="List photos unlike all others",
        response_model=AnomalyPage,
        responses=responses(422, 503),
    )
    async def page(
        tenant: str = tenant_dep,
        status: Literal["open", "dismissed"] = "open",
        cursor: Cursor = None,
        limit: Limit = 50,
    ) -> AnomalyPage:
        """The strangest first. `photoorg anomalies scan` fills the queue."""
        found, following = await review.anomalies(tenant, status=status, after=cursor, limit=limit)
        return AnomalyPage(anomalies=[AnomalyView.of(a) for a in found], next_cursor=following)

    @router.post(
        "/dismiss",
        summary="Take photos out of the queue",
        response_model=PhotosChanged,
        responses=responses(404, 422, 503),
    )
    async def dismiss(
        body: PhotosBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PhotosChanged:
        """They stay out when the library is scanned again; reopen puts them back."""
        changed = await review.decide(tenant, body.photo_ids, "dismissed", actor)
        return PhotosChanged(photo_ids=changed)

    @router.post(
        "/reopen",
        summary="Put dismissed photos back into the queue",
        response_model=PhotosChanged,
        responses=responses(404, 422, 503),
    )
    async def reopen(
        body: PhotosBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> PhotosChanged:
        """The undo of dismiss."""
        return PhotosChanged(photo_ids=await review.decide(tenant, body.photo_ids, "open", actor))

    return router


def rules_router(review: Review, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/rules."""
    router = APIRouter(prefix="/v1/rules", tags=["rules"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.post(
        "/run",
        summary="Run rules over the library, or try them",
        response_model=RulesDone,
        responses=responses(422, 503),
    )
    async def run(body: RulesBody, tenant: str = tenant_dep, actor: str = actor_dep) -> RulesDone:
        """Tries them unless dry_run is false. Each run can be taken back."""
        book = parse_rules(body.rules)
        outcomes = await review.run_rules(tenant, book, actor, dry_run=body.dry_run)
        return RulesDone(dry_run=body.dry_run, rules=[OutcomeView.of(o) for o in outcomes])

    @router.get(
        "/runs",
        summary="List what rules did",
        response_model=RuleRunPage,
        responses=responses(422, 503),
    )
    async def runs(
        tenant: str = tenant_dep,
        cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        limit: Limit = 50,
    ) -> RuleRunPage:
        """The latest first."""
        found, following = await review.rule_runs(tenant, before=cursor, limit=limit)
        return RuleRunPage(runs=[RuleRunView.of(r) for r in found], next_cursor=following)

    @router.post(
        "/runs/{run_id}/undo",
        summary="Put back what a run changed",
        response_model=RuleUndone,
        responses=responses(404, 409, 422, 503),
    )
    async def undo(run_id: Number, tenant: str = tenant_dep, actor: str = actor_dep) -> RuleUndone:
        """Exactly the photos the run changed, where they are still as it left them."""
        _, photos = await review.undo_rule(tenant, run_id, actor)
        return RuleUndone(undone=run_id, photos=photos)

    return router


def feedback_router(review: Review, tenant_of: TenantOf) -> APIRouter:
    """Routes /v1/feedback and /v1/clicks."""
    router = APIRouter(prefix="/v1", tags=["feedback"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.post(
        "/feedback",
        status_code=201,
        summary="Say whether an answer was right",
        response_model=Noted,
        responses=responses(404, 422, 503),
    )
    async def feedback(
        body: FeedbackBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> Noted:
        """Send score and signals as the answer showed them: thresholds are fitted to them."""
        return Noted(id=await review.feedback(tenant, body, actor))

    @router.delete(
        "/feedback/{feedback_id}",
        status_code=204,
        summary="Withdraw a verdict",
        responses=responses(404, 422, 503),
    )
    async def withdraw(
        feedback_id: Number, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> None:
        """As if it had not been given."""
        await review.withdraw(tenant, feedback_id, actor)

    @router.post(
        "/clicks",
        status_code=201,
        summary="Say which answer was opened",
        response_model=Noted,
        responses=responses(404, 422, 503),
    )
    async def click(body: ClickBody, tenant: str = tenant_dep, actor: str = actor_dep) -> Noted:
        """Its position among how many that were shown."""
        if body.position > body.shown:
            raise InputError(f"position {body.position} is beyond the {body.shown} shown.")
        return Noted(id=await review.click(tenant, body, actor))

    return router
