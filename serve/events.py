"""Events over the catalog."""

from __future__ import annotations

from typing import Any

from photoorg.curate.event_edits import EventEdits, require
from photoorg.store.catalog import event_decisions, events
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.event_decisions import Decision
from photoorg.store.catalog.events import Event, Trip
from serve.threads import CatalogThreads


class EventsOfCatalog:
    """A tenant's events: look and change."""

    def __init__(self, threads: CatalogThreads) -> None:
        self._with = threads.run

    async def page(
        self, tenant: str, *, after: str | None, limit: int, trip: int | None
    ) -> tuple[list[Event], str | None]:
        """The latest first, and the cursor of the next page."""
        return await self._with(
            tenant, lambda tx: events.page(tx, after=after, limit=limit, trip=trip)
        )

    async def trips(
        self, tenant: str, *, after: str | None, limit: int
    ) -> tuple[list[Trip], str | None]:
        """The latest first, and the cursor of the next page."""
        return await self._with(tenant, lambda tx: events.trips(tx, after=after, limit=limit))

    async def get(
        self, tenant: str, event_id: int, *, after: str | None, limit: int
    ) -> tuple[Event, list[str], str | None]:
        """The event and a page of its photos' ids, or NotFoundError."""

        def look(tx: Transaction) -> tuple[Event, list[str], str | None]:
            event = require(tx, event_id)
            return event, *events.photo_page(tx, event_id, after=after, limit=limit)

        return await self._with(tenant, look)

    async def change(
        self, tenant: str, actor: str, method: str, *args: Any, **options: Any
    ) -> tuple[Event, int]:
        """One of EventEdits' changes; the event that came out and the decision's number."""
        return await self._with(
            tenant, lambda tx: getattr(EventEdits(tx, actor), method)(*args, **options)
        )

    async def undo(self, tenant: str, actor: str, decision_id: int) -> list[int]:
        """Take a decision back; the events that changed."""
        return await self._with(tenant, lambda tx: EventEdits(tx, actor).undo(decision_id))

    async def history(
        self, tenant: str, *, before: int | None, limit: int
    ) -> tuple[list[Decision], int | None]:
        """Decisions, the latest first."""
        return await self._with(
            tenant, lambda tx: event_decisions.page(tx, before=before, limit=limit)
        )
