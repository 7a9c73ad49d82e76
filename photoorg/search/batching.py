"""Batcher: questions that come while earlier ones are being answered are answered together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")
MOST = 64


class Batcher(Generic[Q, A]):
    """Runs `work` on lists of questions in `lanes` threads of an executor.

    A lone question waits for nothing; under load a batch is whatever came while all lanes were
    busy, at most 64. `work` gives one answer or one exception for each question.
    """

    def __init__(
        self,
        work: Callable[[Sequence[Q]], Sequence[A | Exception]],
        executor: Executor,
        *,
        lanes: int = 1,
    ) -> None:
        self._work = work
        self._executor = executor
        self._free = lanes
        self._waiting: list[tuple[Q, asyncio.Future[A]]] = []

    async def ask(self, question: Q) -> A:
        """The answer; raises the exception that `work` gave for it."""
        future: asyncio.Future[A] = asyncio.get_running_loop().create_future()
        self._waiting.append((question, future))
        self._start()
        return await future

    def _start(self) -> None:
        self._waiting = [entry for entry in self._waiting if not entry[1].done()]
        if not self._waiting or self._free == 0:
            return
        self._free -= 1
        batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
        loop = asyncio.get_running_loop()
        running = loop.run_in_executor(self._executor, self._work, [q for q, _ in batch])
        running.add_done_callback(lambda done: self._finish(batch, done))

    def _finish(
        self,
        batch: Sequence[tuple[Q, asyncio.Future[A]]],
        done: asyncio.Future[Sequence[A | Exception]],
    ) -> None:
        self._free += 1
        error = asyncio.CancelledError() if done.cancelled() else done.exception()
        answers = [error] * len(batch) if error is not None else done.result()
        for (_, future), answer in zip(batch, answers, strict=True):
            if future.done():
                continue
            if isinstance(answer, BaseException):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        self._start()
