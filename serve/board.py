"""Metrics of an application that runs in several processes: each reports, whoever is asked answers.

Requests reach any replica, so one replica's counters alone would tell something else each time.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from serve.metrics import Metrics, Snapshot

log = logging.getLogger(__name__)
EVERY_S = 5.0
FORGET_S = 30.0
ANSWER_S = 2.0


class Board:
    """What every process last reported; one that reports no more is left out after `forget_s`."""

    def __init__(
        self, *, forget_s: float = FORGET_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._forget_s = forget_s
        self._clock = clock
        self._seen: dict[str, tuple[float, Snapshot]] = {}

    async def put(self, snapshot: Snapshot) -> None:
        """Replace what this process reported before."""
        self._seen[snapshot.replica] = (self._clock(), snapshot)

    async def take_off(self, replica: str) -> None:
        """The process ends."""
        self._seen.pop(replica, None)

    async def others(self, replica: str) -> list[Snapshot]:
        """Reports of every process but this one, in the order of their names."""
        since = self._clock() - self._forget_s
        self._seen = {name: seen for name, seen in self._seen.items() if seen[0] >= since}
        return [seen for name, (_, seen) in sorted(self._seen.items()) if name != replica]


class SharedBoard(Protocol):
    """A Board, here or behind Ray."""

    async def put(self, snapshot: Snapshot) -> None:
        """As Board."""

    async def take_off(self, replica: str) -> None:
        """As Board."""

    async def others(self, replica: str) -> list[Snapshot]:
        """As Board."""


class Reporter:
    """One process's side: reports every few seconds, and asks for what the others reported."""

    def __init__(self, metrics: Metrics, board: SharedBoard, *, every_s: float = EVERY_S) -> None:
        self._metrics = metrics
        self._board = board
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to report, on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._report())

    async def stop(self) -> None:
        """Report no more, and be counted no more."""
        if self._task is None:
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        with contextlib.suppress(Exception):  # the board may have ended before
            async with asyncio.timeout(ANSWER_S):
                await self._board.take_off(self._metrics.replica)

    async def others(self) -> Sequence[Snapshot]:
        """What the others reported; nothing where the board does not answer in time."""
        try:
            async with asyncio.timeout(ANSWER_S):
                return await self._board.others(self._metrics.replica)
        except Exception as error:  # metrics of one process are better than none
            log.warning("metrics of other replicas cannot be had: %s", error)
            return []

    async def _report(self) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._board.put(self._metrics.snapshot())
            except Exception as error:  # the next report is as good
                log.warning("metrics could not be reported: %s", error)
            await asyncio.sleep(self._every_s)
