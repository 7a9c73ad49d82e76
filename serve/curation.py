"""The routers of what puts a library in order, over the catalog."""

from __future__ import annotations

from fastapi import APIRouter

from serve.api.events import events_router
from serve.auth import TenantOf
from serve.events import EventsOfCatalog
from serve.threads import CatalogThreads


def curation_routers(threads: CatalogThreads, tenant_of: TenantOf) -> list[APIRouter]:
    """Events, for create_app."""
    return [events_router(EventsOfCatalog(threads), tenant_of)]
