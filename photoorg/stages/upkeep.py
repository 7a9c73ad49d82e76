"""Upkeep: old versions, abandoned builds and what every index holds of the log go away."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from photoorg.config import PhotoOrgConfig
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.stages.publish import new_version
from photoorg.stages.vectors import vector_table
from photoorg.store.catalog import (
    Catalog,
    Transaction,
    audit,
    comparisons,
    delta,
    indexes,
    reports,
    spaces,
    switches,
)
from photoorg.store.layout import vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run

DAY_S = 86_400.0
HOUR_S = 3_600.0
EVENTS = 50_000
ACTOR = "maintenance"


@dataclass(frozen=True, slots=True)
class Tidied:
    """What went: versions by name, events of the log, and lines that nobody needs any more."""

    purged: tuple[str, ...]
    abandoned: tuple[str, ...]
    trimmed: int
    forgotten: int

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


class Upkeep:
    """Housekeeping of one tenant; each step may be stopped anywhere and run again."""

    def __init__(self, config: PhotoOrgConfig, store: ObjectStore, catalog: Catalog) -> None:
        self._config = config
        self._tenant = config.tenant
        self._store = store
        self._catalog = catalog

    def run(self) -> Tidied:
        """Every step, in an order in which each makes room for the next."""
        purged, abandoned = self.purge(), self.sweep()
        trimmed = self.trim()
        return Tidied(tuple(purged), tuple(abandoned), trimmed, self.forget())

    def purge(self) -> list[str]:
        """Remove versions that stopped serving longer than `migration.keep_days` ago."""
        return self._remove("deprecated", self._config.migration.keep_days * DAY_S)

    def sweep(self) -> list[str]:
        """Remove builds that nobody has worked on for `migration.abandoned_hours`."""
        return self._remove("building", self._config.migration.abandoned_hours * HOUR_S)

    def trim(self) -> int:
        """Forget the part of the log that every version in use holds; how many events.

        The vectors in it are written to the store first: they are there nowhere else, and the next
        build needs them.
        """
        with self._catalog.tenant(self._tenant) as tx:
            upto = self._trimmable(tx)
            named = [spaces.get(tx, i) for i in delta.added_spaces(tx, upto)] if upto else []
        if not upto:
            return 0
        for space in named:
            if space is not None:
                self._archive(space, upto)
        with self._catalog.tenant(self._tenant) as tx:
            delta.lock(tx)
            return delta.trim(tx, min(upto, self._trimmable(tx)))

    def forget(self) -> int:
        """Remove old dual reads, and reports of slots that are gone."""
        with self._catalog.tenant(self._tenant) as tx:
            reads = comparisons.forget(tx, self._config.migration.keep_days * DAY_S)
            return reads + reports.forget(tx, 100 * self._config.migration.report_age_s)

    def _remove(self, status: str, older_than_s: float) -> list[str]:
        """Out of the catalog first, so that nobody opens what is about to go."""
        gone: list[IndexVersion] = []
        with self._catalog.tenant(self._tenant) as tx:
            switches.lock(tx)
            for version in indexes.unused(tx, status, older_than_s):  # type: ignore[arg-type]
                indexes.set_status(tx, version.space_id, version.version, "deleted")
                detail = {"space": version.space_id, "was": status}
                audit.record(tx, ACTOR, "index.purge", "index", version.version, detail)
                gone.append(version)
            # Also what a run that was killed between the two steps left.
            left = indexes.unused(tx, "deleted", 0.0)
        for version in {v.location: v for v in [*gone, *left]}.values():
            self._store.delete_prefix(f"{version.location.rstrip('/')}/")
        return [version.version for version in gone]

    def _trimmable(self, tx: Transaction) -> int:
        """The position up to which every version in use holds the log, 0 to keep all of it."""
        oldest = indexes.oldest_seq(tx)
        if oldest is None:
            return 0
        default = spaces.get_default(tx, "image")
        if default is not None and indexes.active(tx, default.id) is None:
            return 0  # searched in the log alone
        return oldest

    def _archive(self, space: EmbeddingSpace, upto: int) -> None:
        """Write the vectors of the log, up to event `upto`, as a run of the space."""
        run = Run(self._store, vectors_dir(self._tenant, space.id, new_version()))
        seq = part = 0
        while seq < upto:
            with self._catalog.tenant(self._tenant) as tx:
                events = delta.since(tx, space.id, seq, EVENTS)
            if not events:
                break
            seq = events[-1].seq
            last = {e.photo_id: e for e in events if e.seq <= upto}
            came = {i: e.vector for i, e in last.items() if e.vector is not None}
            if came:
                x_nd = np.stack(list(came.values()))
                run.write_part(part, vector_table(space, list(came), x_nd))
                part += 1
