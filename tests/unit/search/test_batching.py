from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from photoorg.search.batching import MOST, Batcher


@pytest.fixture
def executor():
    with ThreadPoolExecutor(4) as executor:
        yield executor


async def test_questions_that_come_while_one_is_answered_are_answered_together(executor):
    gate, batches = threading.Event(), []

    def work(questions):
        batches.append(list(questions))
        gate.wait(10)
        return [q * 2 for q in questions]

    batcher = Batcher(work, executor)
    first = asyncio.create_task(batcher.ask(1))
    await asyncio.sleep(0.02)
    rest = [asyncio.create_task(batcher.ask(n)) for n in range(2, 8)]
    await asyncio.sleep(0.02)
    gate.set()
    assert await asyncio.gather(first, *rest) == [n * 2 for n in range(1, 8)]
    assert batches == [[1], [2, 3, 4, 5, 6, 7]]


async def test_lanes_work_side_by_side(executor):
    both = threading.Barrier(2, timeout=10)

    def work(questions):
        both.wait()
        return questions

    batcher = Batcher(work, executor, lanes=2)
    assert await asyncio.gather(batcher.ask(1), batcher.ask(2)) == [1, 2]


async def test_an_error_reaches_the_one_who_asked(executor):
    def work(questions):
        return [ValueError("odd") if q % 2 else q for q in questions]

    batcher = Batcher(work, executor)
    answers = await asyncio.gather(*(batcher.ask(n) for n in range(4)), return_exceptions=True)
    assert [type(a) for a in answers] == [int, ValueError, int, ValueError]


async def test_work_that_breaks_is_an_error_for_the_batch_and_not_for_the_next(executor):
    calls = 0

    def work(questions):
        nonlocal calls
        calls += 1
        if calls == 1:
            raise RuntimeError("broken")
        return questions

    batcher = Batcher(work, executor)
    with pytest.raises(RuntimeError):
        await batcher.ask(1)
    assert await batcher.ask(2) == 2


async def test_a_question_nobody_waits_for_any_more_is_not_answered(executor):
    gate, seen = threading.Event(), []

    def work(questions):
        seen.extend(questions)
        gate.wait(10)
        return questions

    batcher = Batcher(work, executor)
    first = asyncio.create_task(batcher.ask(1))
    await asyncio.sleep(0.02)
    gone, kept = asyncio.create_task(batcher.ask(2)), asyncio.create_task(batcher.ask(3))
    await asyncio.sleep(0.02)
    gone.cancel()
    gate.set()
    assert await first == 1 and await kept == 3 and seen == [1, 3]


async def test_a_batch_has_a_largest_size(executor):
    sizes = []

    def work(questions):
        sizes.append(len(questions))
        return questions

    batcher = Batcher(work, executor)
    many = 3 * MOST
    assert await asyncio.gather(*(batcher.ask(n) for n in range(many))) == list(range(many))
    assert max(sizes) <= MOST
