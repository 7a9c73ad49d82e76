"""The routers of what puts a library in order, over the catalog."""

from __future__ import annotations

from fastapi import APIRouter

from serve.api.albums import albums_router, clusters_router
from serve.api.calibration import calibration_router
from serve.api.events import events_router
from serve.api.faces import faces_router
from serve.api.people import people_router
from serve.api.review import anomalies_router, feedback_router, rules_router
from serve.auth import TenantOf
from serve.calibration import CalibrationOfCatalog
from serve.events import EventsOfCatalog
from serve.organised import Organised
from serve.review import ReviewOfCatalog
from serve.threads import CatalogThreads


def curation_routers(threads: CatalogThreads, tenant_of: TenantOf) -> list[APIRouter]:
    """Events, anomalies, rules, feedback and calibration, for create_app."""
    review = ReviewOfCatalog(threads)
    return [
        events_router(EventsOfCatalog(threads), tenant_of),
        anomalies_router(review, tenant_of),
        rules_router(review, tenant_of),
        feedback_router(review, tenant_of),
        calibration_router(CalibrationOfCatalog(threads), tenant_of),
    ]


def organised_routers(organised: Organised, tenant_of: TenantOf) -> list[APIRouter]:
    """People, faces, clusters and albums over HTTP."""
    areas = (people_router, faces_router, clusters_router, albums_router)
    return [router(organised, tenant_of) for router in areas]
