"""Ask every shard slot at once, wait until the deadline, merge what came."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import DeadlineError, PhotoOrgError
from photoorg.search.ports import Slot, SlotAnswer, Vector
from photoorg.space import EmbeddingSpace

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Merged:
    """The k best of all slots that answered: `ids` n, `scores` [n], `vectors` [n, dim] float16."""

    ids: tuple[str, ...]
    scores: NDArray[np.float32]
    vectors: NDArray[np.float16]
    answered: int


class FanOut:
    """All slots as one; a lost or slow one makes the answer partial, never an error or a hang."""

    def __init__(self, slots: Sequence[Slot], deadline_s: float) -> None:
        self.slots = tuple(slots)
        self._deadline_s = deadline_s

    async def search(
        self, tenant: str, space: EmbeddingSpace, x_d: Vector, k: int, *, seq: int
    ) -> Merged:
        """The k best over all slots; DeadlineError if none answered in time.

        An error that every slot gives (an index of another space) is raised as it is.
        """
        tasks = [
            asyncio.ensure_future(slot.search(tenant, space, x_d, k, seq=seq))
            for slot in self.slots
        ]
        try:
            done, late = await asyncio.wait(tasks, timeout=self._deadline_s)
        finally:
            for task in tasks:
                task.cancel()
        failed = [error for t in done if (error := t.exception()) is not None]
        for error in failed:
            log.warning("a shard failed: %s", error, exc_info=error)
        answers = [t.result() for t in tasks if t in done and t.exception() is None]
        if not answers:
            _raise_common(failed, late=len(late))
        return merge(answers, k)

    async def vector(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, *, seq: int
    ) -> Vector | None:
        """The photo's vector from its own slot, or from any other that has it."""
        first = int(photo_id[:16], 16) % len(self.slots)
        lost: BaseException | None = None
        for slot in (*self.slots[first:], *self.slots[:first]):
            try:
                async with asyncio.timeout(self._deadline_s):
                    vector = await slot.vector(tenant, space, photo_id, seq=seq)
            except (PhotoOrgError, TimeoutError) as error:
                lost = lost or error
                continue
            if vector is not None:
                return vector
        if isinstance(lost, TimeoutError):
            raise DeadlineError("The shard that holds this photo did not answer in time.")
        if lost is not None:
            raise lost
        return None


def merge(answers: Sequence[SlotAnswer], k: int) -> Merged:
    """The k best of several answers, best first; equal scores go to the smaller photo id."""
    ids = [photo_id for answer in answers for photo_id in answer.ids]
    scores_n = np.concatenate([answer.scores for answer in answers])
    order = sorted(range(len(ids)), key=lambda i: (-scores_n[i], ids[i]))
    best: list[int] = []
    seen: set[str] = set()
    for i in order:
        if len(best) == k:
            break
        if ids[i] not in seen:
            seen.add(ids[i])
            best.append(i)
    width = max((a.vectors.shape[1] for a in answers if len(a.ids)), default=0)
    vectors = [a.vectors for a in answers if len(a.ids)]
    x_nd = np.concatenate(vectors) if vectors else np.zeros((0, width), np.float16)
    return Merged(tuple(ids[i] for i in best), scores_n[best], x_nd[best], len(answers))


def _raise_common(failed: Sequence[BaseException], *, late: int) -> None:
    if failed and not late and isinstance(failed[0], PhotoOrgError):
        raise failed[0]
    raise DeadlineError(
        "No index shard answered in time.",
        fix="Try again shortly; GET /v1/health/ready tells which part is not well.",
    )
