"""Request and response bodies of /v1/events."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, model_validator

from photoorg.store.catalog.event_decisions import Decision
from photoorg.store.catalog.events import Event, Trip
from serve.api.models import Body, PhotoId

EventId = Annotated[int, Field(ge=1, le=2**63 - 1)]
PhotoIds = Annotated[list[PhotoId], Field(min_length=1, max_length=10_000)]


class EventView(BaseModel):
    """One event. Times are local clock time without a zone, null if no photo has a time."""

    event_id: int
    title: str
    named: bool = Field(description="Whether somebody gave it this title.")
    starts_at: datetime | None
    ends_at: datetime | None
    latitude: float | None
    longitude: float | None
    place: str | None
    kind: Literal["home", "local", "away", "trip", "unknown"] = Field(
        description="`local` stands for home, whose place is told only with show_home."
    )
    trip_id: int | None = Field(description="The first event of the trip it is part of.")
    trip_title: str | None
    photos: int
    cover_id: PhotoId | None

    @classmethod
    def of(cls, event: Event, *, show_home: bool = False) -> EventView:
        """The view of a catalog record."""
        data: dict[str, Any] = {name: getattr(event, name) for name in cls.model_fields}
        if event.kind == "home" and not show_home:
            data |= {"latitude": None, "longitude": None, "place": None, "kind": "local"}
        return cls(**data)


class EventPage(BaseModel):
    """Events, the latest first, undated ones last. `next_cursor` is null on the last page."""

    events: list[EventView]
    next_cursor: str | None


class TripView(BaseModel):
    """One trip: events away from home that follow each other. Times are local clock time."""

    trip_id: int = Field(description="As the events of the trip name it.")
    title: str
    starts_at: datetime
    ends_at: datetime
    events: int
    photos: int
    cover_id: PhotoId

    @classmethod
    def of(cls, trip: Trip) -> TripView:
        """The view of a catalog record."""
        return cls(**{name: getattr(trip, name) for name in cls.model_fields})


class TripPage(BaseModel):
    """Trips, the latest first. `next_cursor` is null on the last page."""

    trips: list[TripView]
    next_cursor: str | None


class EventDetail(BaseModel):
    """An event and a page of its photos in order of time."""

    event: EventView
    photo_ids: list[PhotoId]
    next_cursor: str | None


class EventChanged(BaseModel):
    """The event that came out of a change; `decision` can be taken back."""

    event: EventView
    decision: int


class EventsUndone(BaseModel):
    """A decision that was taken back, and the events that changed by it."""

    undone: int
    events: list[int]


class DecisionView(BaseModel):
    """One change somebody made to events."""

    decision: int
    kind: Literal["split", "merge", "move", "rename"]
    event_id: int
    actor: str
    detail: dict[str, Any]
    at: datetime
    undone_at: datetime | None

    @classmethod
    def of(cls, decision: Decision) -> DecisionView:
        """The view of a catalog record."""
        rest = {name: getattr(decision, name) for name in cls.model_fields if name != "decision"}
        return cls(decision=decision.decision_id, **rest)


class DecisionPage(BaseModel):
    """Decisions, the latest first. `next_cursor` is null on the last page."""

    decisions: list[DecisionView]
    next_cursor: int | None


class SplitBody(Body):
    """Where to part an event: either `at` or `photo_ids`."""

    at: PhotoId | None = Field(None, description="The first photo of the new event.")
    photo_ids: PhotoIds | None = Field(None, description="The photos of the new event.")

    @model_validator(mode="after")
    def _one_of_both(self) -> SplitBody:
        if (self.at is None) == (self.photo_ids is None):
            raise ValueError("give either at or photo_ids")
        return self


class MergeBody(Body):
    """Events to put into one; the first one stays."""

    event_ids: Annotated[list[EventId], Field(min_length=2, max_length=1_000)]


class MoveBody(Body):
    """Photos to put into an event, or (null) into a new one."""

    photo_ids: PhotoIds
    event_id: EventId | None = None


class RenameBody(Body):
    """A name; null or blank gives the event back the title it has by itself."""

    title: str | None = Field(max_length=200)
