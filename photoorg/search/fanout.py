"""Ask every shard slot at once, wait until the deadline, merge what came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import DeadlineError, PhotoOrgError
from photoorg.search.ports import Slot, SlotAnswer, SlotQuery, Vector
from photoorg.space import EmbeddingSpace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Merged:
    """The k best of all slots that answered, as in SlotAnswer."""

    ids: tuple[str, ...]
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32] | NDArray[np.float16]
    views: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """What a search over all slots found; `answered` of `total` shards were searched.

    `whole` says that there is nothing more to find in those.
    """

    best: Merged
    answered: int
    total: int
    whole: bool = False


class FanOut:
    """All slots as one; a lost or slow one makes the answer partial, never an error or a hang."""

    def __init__(self, slots: Sequence[Slot], deadline_s: float) -> None:
        self._slots = tuple(slots)
        self._sizes = [1] * len(self._slots)
        self._deadline_s = deadline_s

    async def search(self, query: SlotQuery) -> Found:
        """The k best over all slots, and up to `pool` good ones; DeadlineError if none answered.

        Of what comes after the k best some may be missing: each slot gives twice its fair share of
        the pool. An error that every slot gives (an index of another space) is raised as it is.
        """
        pool = max(query.k, query.pool)
        part = replace(query, pool=share(pool, query.k, len(self._slots)))
        tasks = [asyncio.ensure_future(slot.search(part)) for slot in self._slots]
        try:
            done, late = await asyncio.wait(tasks, timeout=self._deadline_s)
        finally:
            for task in tasks:
                task.cancel()
        failed = [error for t in done if (error := t.exception()) is not None]
        for error in failed:
            unforeseen = None if isinstance(error, PhotoOrgError) else error
            log.warning("a shard failed: %s", error, exc_info=unforeseen)
        answers: list[SlotAnswer] = []
        for number, task in enumerate(tasks):
            if task in done and task.exception() is None:
                answers.append(task.result())
                self._sizes[number] = answers[-1].shards + answers[-1].lost
        if not answers:
            _raise_common(failed, late=len(late))
        answered = sum(answer.shards for answer in answers)
        found = sum(len(answer.ids) for answer in answers)
        whole = all(answer.whole for answer in answers) and found <= pool
        return Found(merge(answers, pool), answered, sum(self._sizes), whole)

    async def vector(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, *, seq: int
    ) -> Vector | None:
        """The photo's vector from its own slot, or from any other that has it."""
        first = int(photo_id[:16], 16) % len(self._slots)
        lost: Exception | None = None
        for slot in (*self._slots[first:], *self._slots[:first]):
            try:
                async with asyncio.timeout(self._deadline_s):
                    vector = await slot.vector(tenant, space, photo_id, seq=seq)
            except Exception as error:  # the end of one slot: another may hold the photo
                log.warning("a shard failed: %s", error)
                lost = lost or error
                continue
            if vector is not None:
                return vector
        if isinstance(lost, PhotoOrgError):
            raise lost
        if lost is not None:
            raise DeadlineError(
                "The shard that holds this photo did not answer.", fix="Try again shortly."
            ) from lost
        return None


def share(pool: int, k: int, parts: int) -> int:
    """How many each of `parts` gives to a pool: twice its fair share, and the k best for sure."""
    return min(pool, max(k, 2 * -(-pool // parts)))


def merge(answers: Sequence[SlotAnswer], k: int) -> Merged:
    """The k best of several answers, best first; equal scores go to the smaller photo id."""
    answers = [answer for answer in answers if len(answer.ids)]
    if not answers:
        return Merged((), np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
    if len(answers) == 1:
        (one,) = answers
        views = None if one.views is None else one.views[:k]
        return Merged(one.ids[:k], one.scores[:k], one.vectors[:k], views)
    ids = [photo_id for answer in answers for photo_id in answer.ids]
    scores_n = np.concatenate([answer.scores for answer in answers])
    order = np.argsort(-scores_n, kind="stable")
    sorted_n = scores_n[order]
    best: list[int] = order.tolist()
    if len(ids) > 1 and bool((sorted_n[1:] == sorted_n[:-1]).any()):
        best.sort(key=lambda i: (-float(scores_n[i]), ids[i]))
    if len(set(ids)) < len(ids):
        best = list({ids[i]: i for i in reversed(best)}.values())[::-1]
    best = best[:k]
    x_nd = np.concatenate([answer.vectors for answer in answers])
    views_n = np.concatenate(
        [np.zeros(len(a.ids), np.int64) if a.views is None else a.views for a in answers]
    )
    return Merged(tuple(ids[i] for i in best), scores_n[best], x_nd[best], views_n[best])


def _raise_common(failed: Sequence[BaseException], *, late: int) -> None:
    if failed and not late and isinstance(failed[0], PhotoOrgError):
        raise failed[0]
    raise DeadlineError(
        "No index shard answered in time.",
        fix="Try again shortly; GET /v1/health/ready tells which part is not well.",
    )
