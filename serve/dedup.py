"""Duplicates over the catalog; blocking work runs on threads."""

from __future__ import annotations

from typing import Any

from photoorg.curate.calibrated import in_force
from photoorg.curate.sweep import Effect, preview
from photoorg.curation_config import DedupConfig
from photoorg.errors import NotFoundError
from photoorg.store.catalog import Catalog, Transaction, duplicates, resolutions
from photoorg.store.catalog.duplicates import StoredGroup
from photoorg.store.catalog.resolutions import Action, Resolution, Undone
from serve.threads import CatalogThreads


class CatalogDedup:
    """A tenant's duplicates as the catalog has them."""

    def __init__(self, catalog: Catalog, config: DedupConfig) -> None:
        self._config = config
        self._threads = CatalogThreads(catalog)
        self._with = self._threads.run

    async def page(
        self,
        tenant: str,
        *,
        after: str | None,
        limit: int,
        least: float,
        kind: str | None,
        status: str,
    ) -> tuple[list[StoredGroup], str | None]:
        """The surest first, and the cursor of the next page; InputError for a made-up cursor."""
        return await self._with(
            tenant,
            lambda tx: duplicates.page(
                tx, after=after, limit=limit, least=least, kind=kind, status=status
            ),
        )

    async def get(self, tenant: str, group_id: int) -> StoredGroup:
        """One group, or NotFoundError."""
        group = await self._with(tenant, lambda tx: duplicates.get(tx, group_id))
        if group is None:
            raise NotFoundError(
                f"There is no group {group_id} of duplicates.",
                fix="GET /v1/dedup/suggestions lists those there are.",
            )
        return group

    async def resolve(
        self,
        tenant: str,
        group_id: int,
        action: Action,
        *,
        keeper_id: str | None,
        distinct: bool,
        actor: str,
    ) -> Resolution:
        """Merge, ignore or stack; see resolutions.resolve."""
        return await self._with(
            tenant,
            lambda tx: resolutions.resolve(
                tx, group_id, action, keeper_id=keeper_id, distinct=distinct, actor=actor
            ),
        )

    async def undo(self, tenant: str, undo_token: str, *, actor: str) -> Undone:
        """Take a resolution back; see resolutions.undo."""
        return await self._with(tenant, lambda tx: resolutions.undo(tx, undo_token, actor=actor))

    async def preview(self, tenant: str, thresholds: list[float]) -> tuple[list[Effect], float]:
        """What each threshold would suggest, and the one in force; writes nothing."""

        def previewed(tx: Transaction) -> tuple[list[Effect], float]:
            config = in_force(tx, self._config)
            return preview(tx, config, thresholds), config.confidence

        return await self._with(tenant, previewed)

    async def stats(self, tenant: str) -> dict[str, Any]:
        """Counts by status and kind."""
        return await self._with(tenant, duplicates.counts)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()
