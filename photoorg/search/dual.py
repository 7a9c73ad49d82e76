"""Dual reads: a sample of the live queries is also put to a shadow index, and the answers compared.

The answer of the live query never waits for it.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.search.fanout import FanOut, Merged
from photoorg.search.ports import SlotQuery, Vector
from photoorg.search.reader import Shadow
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog.comparisons import DualRead

log = logging.getLogger(__name__)
AT_ONCE = 2
"""Dual reads under way; a busy server leaves further ones out."""
Again = Callable[[EmbeddingSpace], Awaitable[Vector]]
"""The same query as a vector of another space."""


class ShadowReader(Protocol):
    """The part of CatalogReader that knows of shadow indices."""

    async def shadow(self, tenant: str) -> Shadow | None:
        """The index a tenant may move to."""

    async def note(self, tenant: str, read: DualRead) -> None:
        """Keep how a query fared there."""


@dataclass(frozen=True, slots=True)
class LiveRead:
    """A query that was answered: what the index found (not yet re-ranked), asked at `asked`.

    `skip` is the photo that is the query itself; `seq` the log position it knew.
    """

    tenant: str
    space: EmbeddingSpace
    best: Merged
    k: int
    skip: str
    seq: int
    asked: float


class DualReads:
    """Puts a share of the live queries to the shadow index as well."""

    def __init__(
        self,
        slots: FanOut,
        reader: ShadowReader,
        share: float,
        *,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._slots = slots
        self._reader = reader
        self._share = share
        self._chance = chance
        self._tasks: set[asyncio.Task[None]] = set()

    def offer(self, read: LiveRead, again: Again) -> None:
        """Maybe ask the shadow the same; returns at once."""
        if len(self._tasks) >= AT_ONCE or self._chance() >= self._share:
            return
        live_ms = (time.perf_counter() - read.asked) * 1000
        task = asyncio.ensure_future(self._ask(read, again, live_ms))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def settle(self) -> None:
        """Wait for the reads under way."""
        await asyncio.gather(*self._tasks)

    async def _ask(self, read: LiveRead, again: Again, live_ms: float) -> None:
        try:
            shadow = await self._reader.shadow(read.tenant)
            if shadow is None or shadow.space.id == read.space.id:
                return
            x_d = await again(shadow.space)
            asked = time.perf_counter()
            k = read.k + bool(read.skip)
            found = await self._slots.search(
                SlotQuery(read.tenant, shadow.space, x_d, k, seq=read.seq)
            )
            shadow_ms = (time.perf_counter() - asked) * 1000
            live, other = _first(read.best, read), _first(found.best, read)
            await self._reader.note(
                read.tenant,
                DualRead(
                    live_space=read.space.id,
                    space_id=shadow.space.id,
                    version=shadow.version,
                    query=read.skip,
                    k=read.k,
                    overlap=overlap(live[0], other[0], read.k),
                    rank_correlation=rank_correlation(live[0], other[0]),
                    score_drift=score_drift(live[1], other[1]),
                    live_ms=live_ms,
                    shadow_ms=shadow_ms,
                ),
            )
        except Exception as error:  # the end of a sample: the live answer was given long ago
            log.warning("a dual read failed: %s", error)


def overlap(live: list[str], other: list[str], k: int) -> float:
    """Overlap@k: the share of the first k (or of as many as there are) that both lists name."""
    most = min(k, max(len(live), len(other)))
    return len(set(live[:k]) & set(other[:k])) / most if most else 1.0


def rank_correlation(live: list[str], other: list[str]) -> float | None:
    """Spearman's rho (1904) over the photos both lists name; None for fewer than two."""
    places = {photo_id: place for place, photo_id in enumerate(other)}
    common = [places[photo_id] for photo_id in live if photo_id in places]
    n = len(common)
    if n < 2:
        return None
    ranks_n = np.argsort(np.argsort(np.array(common)))
    gaps_n = ranks_n - np.arange(n)
    return float(1 - 6 * float((gaps_n**2).sum()) / (n * (n * n - 1)))


def score_drift(live: NDArray[np.float32], other: NDArray[np.float32]) -> float | None:
    """Mean difference of the scores at equal rank, the other's minus the live one's."""
    n = min(len(live), len(other))
    return float(np.mean(other[:n] - live[:n])) if n else None


def _first(best: Merged, read: LiveRead) -> tuple[list[str], NDArray[np.float32]]:
    rows = [i for i, photo_id in enumerate(best.ids) if photo_id != read.skip][: read.k]
    return [best.ids[i] for i in rows], best.scores[rows]
