from __future__ import annotations

import asyncio

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoorg.errors import DeadlineError, SpaceMismatchError, StorageError
from photoorg.search.fanout import FanOut, merge
from photoorg.search.ports import SlotAnswer, SlotQuery
from tests.fakes.search import DIM, SPACE, FakeSlot, photo_id, spread_over, unit

NAMES = [f"photo-{i}" for i in range(40)]
QUERY = unit("query")


def answer(scored: dict[str, float]) -> SlotAnswer:
    ids = sorted(scored, key=lambda i: (-scored[i], i))
    return SlotAnswer(
        tuple(ids), np.array([scored[i] for i in ids], np.float32), np.ones((len(ids), 2), "f2")
    )


async def search(slots, k=10, deadline_s=5.0):
    return await FanOut(slots, deadline_s).search(SlotQuery("default", SPACE, QUERY, k))


async def pooled(slots, k, pool):
    found = await FanOut(slots, 5.0).search(SlotQuery("default", SPACE, QUERY, k, pool))
    return found.best.ids


async def test_four_slots_answer_like_one():
    one = await search(spread_over(1, NAMES))
    four = await search(spread_over(4, NAMES))
    assert four.best.ids == one.best.ids and (four.answered, four.total) == (4, 4)
    np.testing.assert_allclose(four.best.scores, one.best.scores, rtol=1e-6)
    expected = [unit(n) for n in _names(four.best.ids)]
    np.testing.assert_allclose(four.best.vectors, expected, atol=1e-3)


async def test_a_pool_holds_the_k_best_even_if_one_slot_has_them_all():
    ids = sorted((photo_id(n) for n in NAMES), key=lambda i: -float(unit(_names([i])[0]) @ QUERY))
    vectors = {photo_id(n): unit(n) for n in NAMES}
    slots = [
        FakeSlot({i: vectors[i] for i in ids[:20]}),
        FakeSlot({i: vectors[i] for i in ids[20:]}),
    ]
    slots += [FakeSlot(), FakeSlot()]
    found = await pooled(slots, 10, 24)
    assert list(found[:10]) == ids[:10] and len(found) == 24


async def test_a_slot_of_many_shards_counts_as_many_also_when_it_is_lost():
    slots = [FakeSlot(shards=3), FakeSlot(shards=2, lost=1)]
    fan = FanOut(slots, 5.0)
    found = await fan.search(SlotQuery("default", SPACE, QUERY, 5))
    assert (found.answered, found.total) == (5, 6)
    slots[0].error = RuntimeError("died")
    found = await fan.search(SlotQuery("default", SPACE, QUERY, 5))
    assert (found.answered, found.total) == (2, 6)


async def test_a_slow_slot_is_left_out_and_cancelled():
    slots = spread_over(4, NAMES)
    slots[2].delay_s = 60
    found = await search(slots, deadline_s=0.05)
    await asyncio.sleep(0)
    assert (found.answered, found.total) == (3, 4) and slots[2].cancelled == 1
    assert not set(found.best.ids) & set(slots[2].vectors)


async def test_a_failing_slot_is_left_out():
    slots = spread_over(4, NAMES)
    slots[0].error = RuntimeError("replica died")
    found = await search(slots)
    assert (found.answered, found.total) == (3, 4)


async def test_a_failure_that_says_what_to_do_is_logged_without_a_traceback(caplog):
    slots = spread_over(2, NAMES)
    slots[0].error = StorageError("The bucket is away.")
    await search(slots)
    (record,) = caplog.records
    assert "The bucket is away" in record.getMessage() and record.exc_info is None
    slots[0].error = RuntimeError("a fault of ours")
    await search(slots)
    assert caplog.records[-1].exc_info is not None


async def test_no_answer_at_all_is_a_deadline_error():
    with pytest.raises(DeadlineError):
        await search([FakeSlot(delay_s=60), FakeSlot(delay_s=60)], deadline_s=0.02)


async def test_an_error_all_slots_share_is_told_as_it_is():
    slots = [FakeSlot(error=SpaceMismatchError("other space")) for _ in range(2)]
    with pytest.raises(SpaceMismatchError):
        await search(slots)


async def test_a_caller_that_gives_up_cancels_every_slot():
    slots = [FakeSlot(delay_s=60), FakeSlot(delay_s=60)]
    task = asyncio.create_task(search(slots))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert [s.cancelled for s in slots] == [1, 1]


async def test_a_vector_is_found_in_whichever_slot_has_it():
    slots = [FakeSlot() for _ in range(4)]
    slots[3].vectors[photo_id("x")] = unit("x")
    found = await FanOut(slots, 1.0).vector("default", SPACE, photo_id("x"), seq=0)
    np.testing.assert_array_equal(found, unit("x"))


async def test_a_missing_vector_is_none_but_a_lost_slot_is_an_error():
    assert await FanOut([FakeSlot()], 1.0).vector("t", SPACE, photo_id("x"), seq=0) is None
    broken = FanOut([FakeSlot(error=StorageError("gone"))], 1.0)
    with pytest.raises(StorageError):
        await broken.vector("t", SPACE, photo_id("x"), seq=0)
    died = FanOut([FakeSlot(error=RuntimeError("gone"))], 1.0)
    with pytest.raises(DeadlineError):
        await died.vector("t", SPACE, photo_id("x"), seq=0)


@given(
    scored=st.dictionaries(
        st.text("abc", min_size=1, max_size=4), st.sampled_from([0.1, 0.5, 0.5, 0.9]), max_size=30
    ),
    cuts=st.lists(st.integers(0, 3), max_size=30),
    k=st.integers(1, 40),
)
def test_merging_shares_equals_sorting_the_whole(scored, cuts, k):
    shares: list[dict[str, float]] = [{} for _ in range(4)]
    for i, (name, score) in enumerate(scored.items()):
        shares[cuts[i] if i < len(cuts) else 0][name] = score
    merged = merge([answer(s) for s in shares], k)
    assert merged.ids == tuple(sorted(scored, key=lambda i: (-scored[i], i))[:k])
    assert len(merged.vectors) == len(merged.ids) == len(merged.scores)


def _names(ids):
    back = {photo_id(n): n for n in NAMES}
    return [back[i] for i in ids]


def test_merging_nothing_gives_nothing():
    empty = SlotAnswer((), np.zeros(0, np.float32), np.zeros((0, DIM), np.float16))
    assert merge([empty, empty], 5).ids == ()
