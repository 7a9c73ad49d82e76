"""Batch size by trial: as large as still pays, as small as memory asks for."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from photoorg.models import Rgb

log = logging.getLogger(__name__)
FEW = 8
"""Up to this many images go through at once without a trial."""


@dataclass(frozen=True, slots=True)
class Trial:
    """The batch size a trial chose, with the rate it reached (items per second)."""

    batch_size: int
    rate: float


class Batches:
    """Cuts images into batches of `size`; None is replaced by a trial once there are more than FEW.

    `run` encodes a batch, and does so on plain pictures with a short side of `side` pixels in the
    trial; `out_of_memory` are the errors by which it says that a batch was too large. Thread-safe.
    """

    def __init__(
        self,
        size: int | None,
        run: Callable[[Sequence[Rgb]], object],
        side: int,
        *,
        out_of_memory: tuple[type[BaseException], ...] = (),
    ) -> None:
        self.size = size
        self._run = run
        self._side = side
        self._out_of_memory = out_of_memory
        self._trial = threading.Lock()

    def of(self, images: Sequence[Rgb]) -> Iterator[Sequence[Rgb]]:
        """The images in their order, batch by batch."""
        size = self.size or (FEW if len(images) <= FEW else self._tried())
        for start in range(0, len(images), size):
            yield images[start : start + size]

    def _tried(self) -> int:
        with self._trial:
            if self.size is None:
                image = np.zeros((self._side, self._side * 4 // 3, 3), np.uint8)
                trial = find_batch_size(
                    lambda n: self._run([image] * n), out_of_memory=self._out_of_memory
                )
                self.size = trial.batch_size
            return self.size


def find_batch_size(
    run: Callable[[int], object],
    *,
    largest: int = 512,
    gain: float = 1.05,
    budget_s: float = 3.0,
    out_of_memory: tuple[type[BaseException], ...] = (),
    clock: Callable[[], float] = time.perf_counter,
) -> Trial:
    """Double the batch until the rate stops rising by `gain`, memory ends or `budget_s` is spent.

    `run(n)` does the real work on n items and returns when it is done. The first, unmeasured run
    of one item pays for lazy initialisation. After memory has run out, half of the largest batch
    that fitted is chosen, so that other images of a long job have room. `out_of_memory` are the
    errors that mean it; running out with a single item raises that error.
    """
    begun = clock()
    run(1)
    best = Trial(0, 0.0)
    size = 1
    while size <= largest:
        try:
            rate = _rate(run, size, clock)
        except out_of_memory:
            if size == 1:
                raise
            best = Trial(max(1, min(best.batch_size, size // 4)), best.rate)
            break
        rose = rate >= best.rate * gain
        if rose:
            best = Trial(size, rate)
        if not rose or clock() - begun > budget_s:
            break
        size *= 2
    log.info("batch size %d by trial (%.1f items/s)", best.batch_size, best.rate)
    return best


def _rate(run: Callable[[int], object], size: int, clock: Callable[[], float]) -> float:
    start = clock()
    run(size)
    return size / max(clock() - start, 1e-9)
