from collections.abc import Callable

import numpy as np
import pytest

from photoorg.encoders.batch import FEW, Batches, find_batch_size


class Machine:
    """Work that takes `seconds(n)` on a clock of its own, and has memory for `room` items."""

    def __init__(self, seconds: Callable[[int], float], room: int = 10_000) -> None:
        self.now = 0.0
        self.seconds = seconds
        self.room = room
        self.largest = 0

    def run(self, n: int) -> None:
        self.largest = max(self.largest, n)
        if n > self.room:
            raise MemoryError
        self.now += self.seconds(n)

    def clock(self) -> float:
        return self.now


def test_doubles_until_the_rate_stops_rising() -> None:
    machine = Machine(lambda n: 0.01 * max(1.0, n / 16))
    trial = find_batch_size(machine.run, clock=machine.clock)
    assert trial.batch_size == 16
    assert trial.rate == pytest.approx(16 / 0.01)


def test_takes_one_at_a_time_where_batches_gain_nothing() -> None:
    machine = Machine(lambda n: 0.05 * n)
    assert find_batch_size(machine.run, clock=machine.clock).batch_size == 1
    assert machine.largest == 2


def test_leaves_room_after_memory_has_run_out() -> None:
    machine = Machine(lambda n: 0.01, room=40)
    trial = find_batch_size(machine.run, clock=machine.clock, out_of_memory=(MemoryError,))
    assert trial.batch_size == 16
    assert machine.largest == 64


def test_memory_for_a_single_item_is_the_callers_to_report() -> None:
    machine = Machine(lambda n: 0.01, room=0)
    with pytest.raises(MemoryError):
        find_batch_size(machine.run, clock=machine.clock, out_of_memory=(MemoryError,))


def test_never_tries_more_than_the_largest() -> None:
    machine = Machine(lambda n: 0.01)
    assert find_batch_size(machine.run, clock=machine.clock, largest=8).batch_size == 8
    assert machine.largest == 8


def test_stops_when_its_time_is_spent() -> None:
    machine = Machine(lambda n: 1.0)
    assert find_batch_size(machine.run, clock=machine.clock, budget_s=3.5).batch_size == 4
    assert machine.now == 4.0


def test_the_first_slow_run_is_not_measured() -> None:
    machine = Machine(lambda n: 0.01 * max(1.0, n / 4))
    slow = iter([5.0])

    def run(n: int) -> None:
        machine.now += next(slow, 0.0)
        machine.run(n)

    trial = find_batch_size(run, clock=machine.clock, budget_s=60)
    assert trial.batch_size == 4


def test_few_images_need_no_trial_and_a_given_size_is_kept():
    seen: list[int] = []
    images = [np.zeros((4, 4, 3), np.uint8)] * (FEW + 1)
    few = Batches(None, lambda batch: seen.append(len(batch)), 4)
    assert [len(b) for b in few.of(images[:FEW])] == [FEW] and few.size is None
    assert [len(b) for b in Batches(4, seen.append, 4).of(images)] == [4, 4, 1]
    assert list(few.of([])) == [] and seen == []


def test_the_trial_is_made_once_and_its_size_cuts_the_images():
    tried: list[int] = []

    def run(batch) -> None:
        tried.append(len(batch))
        if len(batch) > 1:
            raise MemoryError

    batches = Batches(None, run, 4, out_of_memory=(MemoryError,))
    images = [np.zeros((4, 4, 3), np.uint8)] * (FEW + 1)
    assert [len(b) for b in batches.of(images)] == [1] * (FEW + 1)
    once = list(tried)
    assert [len(b) for b in batches.of(images)] == [1] * (FEW + 1) and tried == once
