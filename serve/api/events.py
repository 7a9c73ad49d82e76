"""/v1/events: occasions, and putting them right."""

from __future__ import annotations

from typing import Annotated, Protocol

from fastapi import APIRouter, Depends, Path, Query

from photoorg.store.catalog.event_decisions import Decision
from photoorg.store.catalog.events import Event, Trip
from serve.api.event_models import (
    DecisionPage,
    DecisionView,
    EventChanged,
    EventDetail,
    EventPage,
    EventsUndone,
    EventView,
    MergeBody,
    MoveBody,
    RenameBody,
    SplitBody,
    TripPage,
    TripView,
)
from serve.api.paging import Cursor, Limit
from serve.auth import TenantOf, actor_of
from serve.problems import responses

Number = Annotated[int, Path(ge=1, le=2**63 - 1)]
ShowHome = Annotated[bool, Query(description="Also tell which events are at home, and where.")]


class Events(Protocol):
    """A tenant's events; errors as in photoorg.curate.event_edits."""

    async def page(
        self, tenant: str, *, after: str | None, limit: int, trip: int | None
    ) -> tuple[list[Event], str | None]:
        """The latest first, of one trip if it is named, and the cursor of the next page."""

    async def trips(
        self, tenant: str, *, after: str | None, limit: int
    ) -> tuple[list[Trip], str | None]:
        """The latest first, and the cursor of the next page."""

    async def get(
        self, tenant: str, event_id: int, *, after: str | None, limit: int
    ) -> tuple[Event, list[str], str | None]:
        """The event and a page of its photos' ids."""

    async def change(
        self, tenant: str, actor: str, method: str, *args: object, **options: object
    ) -> tuple[Event, int]:
        """A change by name: split, merge, move or rename."""

    async def undo(self, tenant: str, actor: str, decision_id: int) -> list[int]:
        """Take a decision back."""

    async def history(
        self, tenant: str, *, before: int | None, limit: int
    ) -> tuple[list[Decision], int | None]:
        """Decisions, the latest first."""


def events_router(events: Events, tenant_of: TenantOf) -> APIRouter:
    """Routes under /v1/events."""
    router = APIRouter(prefix="/v1/events", tags=["events"])
    tenant_dep, actor_dep = Depends(tenant_of), Depends(actor_of)

    @router.get(
        "",
        summary="List events, the latest first",
        response_model=EventPage,
        responses=responses(422, 503),
    )
    async def page(
        tenant: str = tenant_dep,
        cursor: Cursor = None,
        limit: Limit = 50,
        show_home: ShowHome = False,
        trip: Annotated[int | None, Query(ge=1, le=2**63 - 1, description="Only its.")] = None,
    ) -> EventPage:
        """Follow next_cursor until it is null. `photoorg events detect` finds events."""
        found, following = await events.page(tenant, after=cursor, limit=limit, trip=trip)
        views = [EventView.of(event, show_home=show_home) for event in found]
        return EventPage(events=views, next_cursor=following)

    @router.get(
        "/trips",
        summary="List trips, the latest first",
        response_model=TripPage,
        responses=responses(422, 503),
    )
    async def trips(tenant: str = tenant_dep, cursor: Cursor = None, limit: Limit = 50) -> TripPage:
        """Two days or more away from home; the events of one are listed with `trip`."""
        found, following = await events.trips(tenant, after=cursor, limit=limit)
        return TripPage(trips=[TripView.of(trip) for trip in found], next_cursor=following)

    @router.get(
        "/decisions",
        summary="List what people changed about events",
        response_model=DecisionPage,
        responses=responses(422, 503),
    )
    async def history(
        tenant: str = tenant_dep,
        cursor: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        limit: Limit = 50,
    ) -> DecisionPage:
        """The latest first; each can be taken back once."""
        found, following = await events.history(tenant, before=cursor, limit=limit)
        views = [DecisionView.of(decision) for decision in found]
        return DecisionPage(decisions=views, next_cursor=following)

    @router.post(
        "/decisions/{decision_id}/undo",
        summary="Take a change back",
        response_model=EventsUndone,
        responses=responses(404, 409, 422, 503),
    )
    async def undo(
        decision_id: Number, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> EventsUndone:
        """Photos and names are as they were; the latest change to the same photos goes first."""
        changed = await events.undo(tenant, actor, decision_id)
        return EventsUndone(undone=decision_id, events=changed)

    @router.post(
        "/merge",
        summary="Put events into one",
        response_model=EventChanged,
        responses=responses(404, 422, 503),
    )
    async def merge(
        body: MergeBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> EventChanged:
        """The first one stays, and takes the first name that any of them has."""
        return _changed(await events.change(tenant, actor, "merge", body.event_ids))

    @router.post(
        "/move",
        summary="Put photos into another event",
        response_model=EventChanged,
        responses=responses(404, 422, 503),
    )
    async def move(
        body: MoveBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> EventChanged:
        """They stay there when events are detected again."""
        return _changed(await events.change(tenant, actor, "move", body.photo_ids, body.event_id))

    @router.get(
        "/{event_id}",
        summary="Look at one event",
        response_model=EventDetail,
        responses=responses(404, 422, 503),
    )
    async def get(
        event_id: Number,
        tenant: str = tenant_dep,
        cursor: Cursor = None,
        limit: Limit = 100,
        show_home: ShowHome = False,
    ) -> EventDetail:
        """The event and its photos, in order of time."""
        event, photos, following = await events.get(tenant, event_id, after=cursor, limit=limit)
        view = EventView.of(event, show_home=show_home)
        return EventDetail(event=view, photo_ids=photos, next_cursor=following)

    @router.post(
        "/{event_id}/split",
        summary="Part an event in two",
        response_model=EventChanged,
        responses=responses(404, 422, 503),
    )
    async def split(
        event_id: Number, body: SplitBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> EventChanged:
        """Answers with the new event; the two stay apart when events are detected again."""
        return _changed(
            await events.change(
                tenant, actor, "split", event_id, at=body.at, photo_ids=body.photo_ids or ()
            )
        )

    @router.post(
        "/{event_id}/rename",
        summary="Name an event",
        response_model=EventChanged,
        responses=responses(404, 422, 503),
    )
    async def rename(
        event_id: Number, body: RenameBody, tenant: str = tenant_dep, actor: str = actor_dep
    ) -> EventChanged:
        """The name stays with the event when events are detected again."""
        return _changed(await events.change(tenant, actor, "rename", event_id, body.title))

    return router


def _changed(answer: tuple[Event, int]) -> EventChanged:
    event, decision = answer
    return EventChanged(event=EventView.of(event), decision=decision)
