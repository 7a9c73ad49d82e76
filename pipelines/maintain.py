"""Maintenance: hourly what keeps search quick, daily and weekly what keeps a library in order.

ray job submit --working-dir . -- python -m pipelines.maintain --daily
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from photoorg.config import PhotoOrgConfig
from photoorg.curate.people import People
from photoorg.curate.people_upkeep import tidy_people
from photoorg.errors import IndexNotReadyError, NotFoundError, PhotoOrgError
from photoorg.stages.orphans import Orphans, OrphanSweep
from photoorg.stages.purging import purge_trash, release_videos
from photoorg.stages.upkeep import Upkeep
from photoorg.store.catalog import Catalog, wellbeing
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog, running_database
from pipelines import anomalies, compact, dedup, events
from pipelines.entry import Entry

log = logging.getLogger(__name__)
Period = Literal["hourly", "daily", "weekly"]
PERIODS: tuple[Period, ...] = ("hourly", "daily", "weekly")
ACTOR = "maintenance"


def run(config: PhotoOrgConfig, *, period: Period = "hourly") -> dict[str, Any]:
    """Every step of the period and of the shorter ones; one that fails leaves the others be.

    Returns what was compacted (None where there is no index), purged, abandoned, trimmed and
    forgotten, a report under the name of each other step that ran, and `failed`: step -> why.
    """
    started = time.monotonic()
    store = ObjectStore(config.storage)
    with running_database(config) as here, open_catalog(here) as catalog:
        done, failed = _Steps(here, store, catalog).run(period)
    return {
        **done,
        "period": period,
        "failed": failed,
        "seconds": round(time.monotonic() - started, 3),
    }


@dataclass(frozen=True, slots=True)
class _Steps:
    config: PhotoOrgConfig
    store: ObjectStore
    catalog: Catalog

    def run(self, period: Period) -> tuple[dict[str, Any], dict[str, str]]:
        steps: list[tuple[str, Period, Callable[[], Any]]] = [
            ("people_new", "hourly", self._place),
            ("trash", "daily", self._trash),
            ("videos", "daily", self._videos),
            ("orphans", "daily", self._orphans),
            ("unfinished", "daily", self.store.sweep),
            ("compaction", "hourly", lambda: compact.run(self.config, if_due=True)),
            ("tidied", "hourly", lambda: Upkeep(self.config, self.store, self.catalog).run()),
            ("people", "daily", self._tidy_people),
            ("events", "daily", lambda: events.run(self.config, actor=ACTOR)),
            ("anomalies", "daily", lambda: anomalies.run(self.config, actor=ACTOR)),
            ("dedup", "weekly", lambda: dedup.run(self.config)),
            ("people_anew", "weekly", self._cluster_stale),
            ("health", "hourly", self._health),
        ]
        done: dict[str, Any] = {}
        failed: dict[str, str] = {}
        for name, every, step in steps:
            if PERIODS.index(every) > PERIODS.index(period):
                continue
            done[name] = None
            try:
                answer = step()
            except (IndexNotReadyError, NotFoundError):
                continue  # nothing there yet that could be kept in order
            except PhotoOrgError as error:
                log.warning("maintenance, %s: %s", name, error)
                failed[name] = str(error)
                continue
            done[name] = answer.to_dict() if hasattr(answer, "to_dict") else answer
        tidied = done.pop("tidied", None) or {}
        return {**done, **tidied}, failed

    def _place(self) -> Any:
        return self._people().place_waiting() if self.config.people.automatic else None

    def _tidy_people(self) -> Any:
        return tidy_people(self.catalog, self.config.tenant, self.config.people, ACTOR)

    def _cluster_stale(self) -> Any:
        state = self._tidy_people()
        return self._people().cluster() if state is not None and state.stale else None

    def _trash(self) -> dict[str, Any]:
        days = self.config.maintenance.trash_days
        gone = purge_trash(self.catalog, self.store, self.config.tenant, days)
        return {"purged": gone, "older_than_days": days}

    def _videos(self) -> dict[str, Any]:
        days = self.config.maintenance.waiting_video_days
        gone = release_videos(self.catalog, self.store, self.config.tenant, days)
        return {"released": gone, "older_than_days": days}

    def _orphans(self) -> Orphans:
        chosen, tenant = self.config.maintenance, self.config.tenant
        sweep = OrphanSweep(self.catalog, self.store, tenant, chosen.orphan_hours)
        return sweep.run(remove=chosen.remove_orphans, most=chosen.orphan_share)

    def _health(self) -> dict[str, Any]:
        with self.catalog.tenant(self.config.tenant) as tx:
            return wellbeing.report(tx)

    def _people(self) -> People:
        return People(self.catalog, self.config.tenant, self.config.people, ACTOR)


main = Entry("maintain")

if __name__ == "__main__":
    sys.exit(main())
