"""CatalogQueries: what searches ask the catalog beyond photos: words, filters, thresholds."""

from __future__ import annotations

import asyncio
import time
from collections import ChainMap, OrderedDict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from photoorg.search.filter_sql import FOUND, compile_filter
from photoorg.search.filters import Filter
from photoorg.search.reader import Joined
from photoorg.search.text import Words, find_words, newest
from photoorg.store.catalog import Catalog, bonds, changes, thresholds
from photoorg.store.catalog.bonds import NO_BONDS, Bonds
from photoorg.store.catalog.keys import photo_key

T = TypeVar("T")
THREADS = 4
SAMPLE = 1_000
KEPT, KEPT_S = 1_000, 30.0
BONDS_KEPT = 50_000
SHARE = f"""
SELECT count(*) FILTER (WHERE {FOUND} AND {{condition}}), count(*)
FROM (SELECT * FROM photos WHERE tenant_id = %(tenant)s ORDER BY photo_id LIMIT %(sample)s) p
"""
ALLOWED = f"""
SELECT encode(p.photo_id, 'hex') FROM photos p
WHERE p.tenant_id = %(tenant)s AND p.photo_id = ANY (%(ids)s) AND {FOUND} AND {{condition}}
"""


class CatalogQueries:
    """Asks the catalog on threads of its own."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="queries")
        self._revisions: dict[str, Joined[int]] = {}
        self._kept: OrderedDict[tuple[str, str, str], tuple[float, Any]] = OrderedDict()

    async def revision(self, tenant: str) -> int:
        """The number of changes so far; many who ask at once share one question."""
        joined = self._revisions.get(tenant)
        if joined is None:
            joined = self._revisions[tenant] = Joined(
                lambda: self._in_thread(self._revision, tenant)
            )
        return await joined()

    async def share(self, tenant: str, chosen: Filter) -> float:
        """About which share of the photos the filter allows, 0..1.

        Photo ids are hashes, so the first thousand of them are a sample drawn at random.
        """
        key = ("share", tenant, chosen.to_json())
        return await self._remembered(key, self._share, tenant, chosen)

    async def thresholds(self, tenant: str, space_id: str) -> Mapping[str, float]:
        """The tenant's thresholds and weights in a space, by name."""
        key = ("thresholds", tenant, space_id)
        return await self._remembered(key, self._thresholds, tenant, space_id)

    async def bonds(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Bonds]:
        """The event and the people of photos, as they were within the last half minute.

        Libraries without events and people are not asked for them at every search.
        """
        known = await self._remembered(("bonds", tenant, ""), self._no_bonds_yet, tenant)
        if known is None:
            return {}
        missing = [i for i in ids if i not in known]
        if not missing:
            return known
        read = await self._in_thread(self._bonds, tenant, missing)
        found = {i: read.get(i, NO_BONDS) for i in missing}
        if len(known) < BONDS_KEPT:
            known.update(found)
        return ChainMap(found, known)

    async def allowed(self, tenant: str, chosen: Filter, ids: Sequence[str]) -> set[str]:
        """Those of the photos that the filter allows."""
        return await self._in_thread(self._allowed, tenant, chosen, ids)

    async def words(self, tenant: str, text: str, limit: int, chosen: Filter | None) -> Words:
        """The best photos for the words of a text; without words, those allowed, newest first."""
        narrowed = text and chosen is not None and not chosen.empty
        share = await self.share(tenant, chosen) if narrowed and chosen is not None else 1.0
        return await self._in_thread(self._words, tenant, text, limit, chosen, share)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _remembered(
        self, key: tuple[str, str, str], ask: Callable[..., T], *args: object
    ) -> T:
        """An answer of the last half minute, or a new one."""
        known = self._kept.get(key)
        if known is None or time.monotonic() - known[0] > KEPT_S:
            known = (time.monotonic(), await self._in_thread(ask, *args))
            self._kept[key] = known
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        answer: T = known[1]
        return answer

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _revision(self, tenant: str) -> int:
        with self._catalog.tenant(tenant) as tx:
            return changes.count(tx)

    def _share(self, tenant: str, chosen: Filter) -> float:
        made = compile_filter(chosen)
        values = {"tenant": tenant, "sample": SAMPLE, **made.values}
        with self._catalog.tenant(tenant) as tx:
            row = tx.conn.execute(
                SHARE.format(condition=made.condition).encode(), values
            ).fetchone()
        assert row is not None
        return float(row[0] / max(1, row[1]))

    def _thresholds(self, tenant: str, space_id: str) -> Mapping[str, float]:
        with self._catalog.tenant(tenant) as tx:
            return thresholds.get_all(tx, space_id)

    def _no_bonds_yet(self, tenant: str) -> dict[str, Bonds] | None:
        """Room for bonds; None where the library has none."""
        with self._catalog.tenant(tenant) as tx:
            return {} if bonds.any_here(tx) else None

    def _bonds(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Bonds]:
        with self._catalog.tenant(tenant) as tx:
            return bonds.of(tx, ids)

    def _allowed(self, tenant: str, chosen: Filter, ids: Sequence[str]) -> set[str]:
        made = compile_filter(chosen)
        values = {"tenant": tenant, "ids": [photo_key(i) for i in ids], **made.values}
        with self._catalog.tenant(tenant) as tx:
            sql = ALLOWED.format(condition=made.condition)
            return {i for (i,) in tx.conn.execute(sql.encode(), values)}

    def _words(
        self, tenant: str, text: str, limit: int, chosen: Filter | None, share: float
    ) -> Words:
        made = None if chosen is None or chosen.empty else compile_filter(chosen)
        with self._catalog.tenant(tenant) as tx:
            if not text and made is not None:
                return newest(tx, limit, made)
            return find_words(tx, text, limit, made, share)
