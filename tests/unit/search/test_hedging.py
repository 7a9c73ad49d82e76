"""A slot with two replicas."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from photoorg.errors import StorageError
from photoorg.search.hedging import Hedged
from photoorg.search.ports import SlotQuery
from tests.fakes.search import SPACE, FakeSlot, photo_id, unit


class TwoReplicas:
    """Calls go to the replicas in turn."""

    def __init__(self, *replicas: FakeSlot) -> None:
        self.replicas, self.calls = replicas, 0

    def _next(self) -> FakeSlot:
        self.calls += 1
        return self.replicas[(self.calls - 1) % len(self.replicas)]

    async def search(self, query):
        return await self._next().search(query)

    async def vector(self, *args, **kwargs):
        return await self._next().vector(*args, **kwargs)


def slot(**how) -> FakeSlot:
    return FakeSlot({photo_id("a"): unit("a")}, **how)


async def ask(slots: TwoReplicas, delay_s: float = 0.02):
    return await Hedged(slots, delay_s).search(SlotQuery("t", SPACE, unit("a"), 1, pool=1))


async def test_a_fast_replica_is_asked_once():
    slots = TwoReplicas(slot(), slot())
    assert (await ask(slots, 5.0)).ids == (photo_id("a"),)
    assert slots.calls == 1


async def test_a_slow_replica_is_not_waited_for_and_its_call_is_cancelled():
    slow = slot(delay_s=30.0)
    slots = TwoReplicas(slow, slot())
    async with asyncio.timeout(10):
        assert (await ask(slots)).ids == (photo_id("a"),)
    await asyncio.sleep(0)
    assert slots.calls == 2 and slow.cancelled == 1


async def test_a_replica_that_fails_is_replaced_at_once():
    slots = TwoReplicas(slot(error=StorageError("gone")), slot())
    async with asyncio.timeout(10):
        assert (await ask(slots, 60.0)).ids == (photo_id("a"),)
    vector = await Hedged(slots, 60.0).vector("t", SPACE, photo_id("a"), seq=0)
    assert vector is not None and np.array_equal(vector, unit("a"))


async def test_an_error_of_both_is_the_error():
    slots = TwoReplicas(slot(error=StorageError("one")), slot(error=StorageError("two")))
    with pytest.raises(StorageError):
        await ask(slots)
