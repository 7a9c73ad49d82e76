"""/v1/calibration: the thresholds and weights that decide searches, looked at, set, taken back."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol

from fastapi import APIRouter, Depends
from pydantic import BaseModel, Field

from photoorg.store.catalog.thresholds import Change
from serve.api.models import Body
from serve.auth import TenantOf, actor_of
from serve.problems import responses

SearchName = Literal["search.image", "search.text", "search.image.floor", "search.text.floor"]
Cosine = Annotated[float, Field(ge=-1, le=1)]


class Calibration(Protocol):
    """Thresholds of a tenant's default space; NotFoundError before it has one."""

    async def in_force(self, tenant: str) -> tuple[str, dict[str, float]]:
        """The space and what is set in it, by name."""

    async def change(self, tenant: str, values: dict[str, float | None], actor: str) -> Change:
        """Set values (None: remove)."""

    async def undo(self, tenant: str, token: str | None, actor: str) -> Change:
        """Take a change back (None: the last one); NotFoundError, ConflictError."""


class Thresholds(BaseModel):
    """What is in force. Names that are not there are decided by the configuration."""

    space: str = Field(description="The embedding space whose scores they are for.")
    thresholds: dict[str, float]


class CutoffsBody(Body):
    """Cutoffs to set by hand: the cosine the best hit must reach, and the floor of every hit."""

    cutoffs: dict[SearchName, Cosine | None] = Field(
        min_length=1, description="By name; null removes it, so that nothing is cut off."
    )


class UndoBody(Body):
    """Which change to take back."""

    undo_token: str | None = Field(None, description="Of a change; null: the last one.")


class ThresholdChange(BaseModel):
    """One value, before and after; null: not set."""

    before: float | None
    after: float | None


class ThresholdsChanged(BaseModel):
    """What a change or an undo did, by name."""

    space: str
    changes: dict[str, ThresholdChange]
    undo_token: str | None = Field(description="Takes it back; null where nothing changed.")

    @classmethod
    def of(cls, done: Change) -> ThresholdsChanged:
        """The view of a change."""
        told = {n: ThresholdChange(before=old, after=new) for n, (old, new) in done.values.items()}
        return cls(space=done.space_id, changes=told, undo_token=done.token)


def calibration_router(calibration: Calibration, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/calibration."""
    router = APIRouter(prefix="/v1/calibration", tags=["calibration"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "",
        summary="List the thresholds and weights in force",
        response_model=Thresholds,
        responses=responses(404, 503),
    )
    async def in_force(tenant: str = tenant_dep) -> Thresholds:
        """Fitted by index builds, `photoorg calibrate search` and `photoorg calibrate feedback`."""
        space, found = await calibration.in_force(tenant)
        return Thresholds(space=space, thresholds=found)

    @router.put(
        "/search",
        summary="Set search cutoffs by hand",
        response_model=ThresholdsChanged,
        responses=responses(404, 422, 503),
    )
    async def change(
        body: CutoffsBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> ThresholdsChanged:
        """They count within half a minute, until an index build (no compaction) fits them anew."""
        values: dict[str, float | None] = {str(n): v for n, v in body.cutoffs.items()}
        return ThresholdsChanged.of(await calibration.change(tenant, values, actor))

    @router.post(
        "/undo",
        summary="Take a change of thresholds back",
        response_model=ThresholdsChanged,
        responses=responses(404, 409, 422, 503),
    )
    async def undo(
        body: UndoBody | None = None, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> ThresholdsChanged:
        """Whoever made it. To undo twice is to have it again."""
        token = None if body is None else body.undo_token
        return ThresholdsChanged.of(await calibration.undo(tenant, token, actor))

    return router
