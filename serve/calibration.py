"""Thresholds and weights over the catalog."""

from __future__ import annotations

from photoorg.stages.cutoffs import space_of
from photoorg.store.catalog import thresholds
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.thresholds import Change
from serve.threads import CatalogThreads


class CalibrationOfCatalog:
    """Thresholds of a tenant's default space; each call is one transaction."""

    def __init__(self, threads: CatalogThreads) -> None:
        self._with = threads.run

    async def in_force(self, tenant: str) -> tuple[str, dict[str, float]]:
        """The space and what is set in it; NotFoundError."""

        def look(tx: Transaction) -> tuple[str, dict[str, float]]:
            space = space_of(tx, None)
            return space.id, dict(sorted(thresholds.get_all(tx, space.id).items()))

        return await self._with(tenant, look)

    async def change(self, tenant: str, values: dict[str, float | None], actor: str) -> Change:
        """Set values (None: remove); NotFoundError."""

        def put(tx: Transaction) -> Change:
            return thresholds.change(tx, space_of(tx, None).id, values, actor)

        return await self._with(tenant, put)

    async def undo(self, tenant: str, token: str | None, actor: str) -> Change:
        """Take a change back (None: the last one); NotFoundError, ConflictError."""

        def back(tx: Transaction) -> Change:
            if token is not None:
                return thresholds.undo(tx, token, actor)
            return thresholds.undo_last(tx, space_of(tx, None).id, actor)

        return await self._with(tenant, back)
