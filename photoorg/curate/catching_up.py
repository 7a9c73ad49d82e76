"""New faces find their persons by themselves, soon after their photos came."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from photoorg.curate.people import People, PeopleSummary
from photoorg.curation_config import PeopleConfig
from photoorg.store.catalog import Catalog

log = logging.getLogger(__name__)
ACTOR = "ingest"
SHARE = 0.1
LEAST_S = 2.0
UPLOADS_CLUSTER = 2_000
"""Without any cluster yet, uploads make the first ones of at most so many faces; jobs of any."""


def place_waiting(
    catalog: Catalog, tenant: str, config: PeopleConfig, *, most: int | None = None
) -> PeopleSummary | None:
    """Place the faces that came since the last grouping; None if there are none or it failed.

    What fails here is logged and left for the next time: the photos are whole without it. There
    are faces only where their people agreed. `most`: see People.place_waiting.
    """
    if not config.automatic:
        return None
    try:
        return People(catalog, tenant, config, ACTOR).place_waiting(most)
    except Exception as error:  # the end of a job or an upload, which stand without this
        log.warning("new faces of %s wait for `photoorg people cluster --new`: %s", tenant, error)
        return None


class CatchingUp:
    """Places faces of tenants that uploads touched, at most a tenth of the time of each tenant."""

    def __init__(
        self, catalog: Catalog, config: PeopleConfig, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._catalog = catalog
        self._config = config
        self._clock = clock
        self._lock = threading.Lock()
        self._touched: set[str] = set()
        self._not_before: dict[str, float] = {}

    def touched(self, tenant: str) -> None:
        """A photo of the tenant was processed."""
        with self._lock:
            self._touched.add(tenant)

    def run(self) -> list[str]:
        """Place what waits for tenants whose turn it is; which these were."""
        now = self._clock()
        with self._lock:
            due = sorted(t for t in self._touched if self._not_before.get(t, now) <= now)
            self._touched.difference_update(due)
        for tenant in due:
            began = self._clock()
            place_waiting(self._catalog, tenant, self._config, most=UPLOADS_CLUSTER)
            ended = self._clock()
            self._not_before[tenant] = ended + max(LEAST_S, (ended - began) / SHARE)
        return due
