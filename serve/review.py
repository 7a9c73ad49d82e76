"""The review queue, rules and feedback over the catalog."""

from __future__ import annotations

from typing import Any

from photoorg.curate.anomaly_review import decide
from photoorg.curate.rule_runs import Outcome, run_rules, undo_rule
from photoorg.curate.rules import RuleBook
from photoorg.errors import NotFoundError
from photoorg.store.catalog import anomalies, audit, feedback, rules
from photoorg.store.catalog.anomalies import Anomaly, AnomalyStatus
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.rules import RuleRun
from serve.api.review_models import AnswerBody, ClickBody, FeedbackBody
from serve.threads import CatalogThreads


class ReviewOfCatalog:
    """A tenant's review queue, rules and feedback; each call is one transaction."""

    def __init__(self, threads: CatalogThreads) -> None:
        self._with = threads.run

    async def anomalies(
        self, tenant: str, *, status: AnomalyStatus, after: str | None, limit: int
    ) -> tuple[list[Anomaly], str | None]:
        """The strangest first, and the cursor of the next page."""
        return await self._with(
            tenant, lambda tx: anomalies.page(tx, status=status, after=after, limit=limit)
        )

    async def decide(
        self, tenant: str, photo_ids: list[str], status: AnomalyStatus, actor: str
    ) -> list[str]:
        """Dismiss or reopen; those that changed."""
        return await self._with(tenant, lambda tx: decide(tx, photo_ids, status, actor))

    async def run_rules(
        self, tenant: str, book: RuleBook, actor: str, *, dry_run: bool
    ) -> list[Outcome]:
        """Run or try rules."""
        return await self._with(tenant, lambda tx: run_rules(tx, book, actor, dry_run=dry_run))

    async def rule_runs(
        self, tenant: str, *, before: int | None, limit: int
    ) -> tuple[list[RuleRun], int | None]:
        """Runs, the latest first."""
        return await self._with(tenant, lambda tx: rules.page(tx, before=before, limit=limit))

    async def undo_rule(self, tenant: str, run_id: int, actor: str) -> tuple[str, int]:
        """Put back what a run changed."""
        return await self._with(tenant, lambda tx: undo_rule(tx, run_id, actor))

    async def feedback(self, tenant: str, body: FeedbackBody, actor: str) -> int:
        """Note a verdict."""

        def note(tx: Transaction) -> int:
            number = feedback.add(
                tx,
                body.kind,
                body.photo_id,
                accepted=body.accepted,
                actor=actor,
                query_id=body.query_id,
                **_shown(body),
            )
            told = {"kind": body.kind, "accepted": body.accepted}
            audit.record(tx, actor, "feedback.add", "feedback", str(number), told)
            return number

        return await self._with(tenant, note)

    async def withdraw(self, tenant: str, feedback_id: int, actor: str) -> None:
        """Forget a verdict; NotFoundError."""

        def forget(tx: Transaction) -> None:
            if not feedback.withdraw(tx, feedback_id):
                raise NotFoundError(f"There is no feedback {feedback_id}.")
            audit.record(tx, actor, "feedback.withdraw", "feedback", str(feedback_id))

        await self._with(tenant, forget)

    async def click(self, tenant: str, body: ClickBody, actor: str) -> int:
        """Note a click."""
        return await self._with(
            tenant,
            lambda tx: feedback.add_click(
                tx,
                body.photo_id,
                position=body.position,
                shown=body.shown,
                actor=actor,
                query_id=body.query_id,
                **_shown(body),
            ),
        )


def _shown(body: AnswerBody) -> dict[str, Any]:
    return {
        "query": body.query,
        "score": body.score,
        "signals": body.signals,
        "space_id": body.space,
    }
