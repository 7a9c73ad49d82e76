"""Hedged: a slot with several replicas, of which a slow one is not waited for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from photoorg.search.ports import Slot, SlotAnswer, SlotQuery, Vector
from photoorg.space import EmbeddingSpace

T = TypeVar("T")


class Hedged:
    """Asks again after `delay_s`, or at once if the first call fails; the first answer wins.

    The handle beneath sends each call to a replica of its choice, by their queues. The call that is
    not needed any more is cancelled. Dean, Barroso, "The Tail at Scale" (2013).
    """

    def __init__(self, slot: Slot, delay_s: float) -> None:
        self._slot = slot
        self._delay_s = delay_s

    async def search(self, query: SlotQuery) -> SlotAnswer:
        """As the slot's own."""
        return await self._first(lambda: self._slot.search(query))

    async def vector(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, *, seq: int
    ) -> Vector | None:
        """As the slot's own."""
        return await self._first(lambda: self._slot.vector(tenant, space, photo_id, seq=seq))

    async def ready(self) -> str:
        """What one replica says."""
        return str(await self._slot.ready())  # type: ignore[attr-defined]

    async def _first(self, ask: Callable[[], Awaitable[T]]) -> T:
        tasks = {asyncio.ensure_future(ask())}
        try:
            done, _ = await asyncio.wait(tasks, timeout=self._delay_s)
            if not any(_good(task) for task in done):
                tasks.add(asyncio.ensure_future(ask()))
            while True:
                done, late = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                good = next((task for task in done if _good(task)), None)
                if good is not None:
                    return good.result()
                if not late:
                    return done.pop().result()
                tasks = set(late)
        finally:
            for task in tasks:
                task.cancel()


def _good(task: asyncio.Future[T]) -> bool:
    return task.done() and not task.cancelled() and task.exception() is None
