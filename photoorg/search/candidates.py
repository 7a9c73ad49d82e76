"""Candidates: the photos that shards give for a question, of which some become hits."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import InputError
from photoorg.search.cursor import Position, mark
from photoorg.search.fanout import FanOut, Found, Merged
from photoorg.search.neighbours import Neighbours
from photoorg.search.planner import FilterPlan, plan
from photoorg.search.ports import EVERYTHING, PhotoReader, Scope, SlotQuery, Vector
from photoorg.search.questions import Queries, Question
from photoorg.search.signals import Pool
from photoorg.search.tuning import LOWEST, nothing_near
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog.bonds import NO_BONDS, Bonds
from photoorg.views import ONE


@dataclass(frozen=True, slots=True)
class Candidates:
    """What the shards gave: all of it, which rows may be hits, and down to where nothing lacks.

    `seconds` they took; None where it was remembered and they were not asked.
    """

    found: Found
    rows: NDArray[np.int64]
    pool: Pool
    floor: float
    seconds: float | None


class CandidateSearch:
    """Finds candidates: asks the shards, or remembers what they said; keeps to the filter."""

    def __init__(
        self,
        slots: FanOut,
        photos: PhotoReader,
        queries: Queries | None,
        neighbours: Neighbours | None,
    ) -> None:
        self._slots = slots
        self._photos = photos
        self._queries = queries
        self._neighbours = neighbours

    async def plan(self, q: Question) -> FilterPlan | None:
        """How the question's filter is applied, None without one; InputError if it cannot be."""
        if q.chosen is None or q.chosen.empty:
            return None
        if self._queries is None:
            raise InputError("This service cannot filter.", fix="Leave the filter out.")
        return plan(await self._queries.share(q.tenant, q.chosen))

    async def within(
        self,
        q: Question,
        k: int,
        pool: int,
        position: Position,
        chosen: FilterPlan | None,
        *,
        begun: bool,
    ) -> Candidates:
        """The `pool` best photos of the window that may be hits, nothing lacking among k."""
        assert q.x_d is not None, "a search by likeness has a vector"
        over = chosen is not None and chosen.kind == "over-fetch"
        scope = Scope(ceiling=position.ceiling, above=position.above)
        if chosen is not None and not over:
            assert self._queries is not None and q.chosen is not None, "a plan is of a filter"
            revision = await self._queries.revision(q.tenant)
            scope = replace(scope, filter=q.chosen.to_json(), revision=revision)
        sure, most = (chosen.fetch(k), chosen.fetch(pool)) if chosen else (k, pool)
        found, seconds = await self._search(q, q.x_d, sure, most, scope)
        best = found.best
        kept = set(best.ids)
        if over and q.chosen is not None and self._queries is not None and best.ids:
            kept = await self._queries.allowed(q.tenant, q.chosen, best.ids)
            if len(kept) < min(pool, k) and not found.whole:
                # Fewer near the query than in the whole library: look only where they are.
                only = FilterPlan("subset")
                return await self.within(q, k, pool, position, only, begun=begun)
        known = await self._photos.photos(q.tenant, [i for i in best.ids if i in kept])
        bonds: Mapping[str, Bonds] = {}
        if q.facts.bonds != NO_BONDS and self._queries is not None:
            bonds = await self._queries.bonds(q.tenant, best.ids)
        low = max(q.limits.floor, LOWEST if position.floor is None else position.floor)
        rows = [
            i
            for i, photo_id in enumerate(best.ids)
            if photo_id in kept
            and photo_id in known
            and photo_id != q.skip
            and best.scores[i] >= low
            and mark(photo_id) not in position.given
            and not (begun and known[photo_id].created_at > position.at)
        ]
        at = np.array(rows, np.int64)
        some = Pool(
            photos=[known[best.ids[i]] for i in rows],
            cosines=best.scores[at],
            vectors=best.vectors[at].astype(np.float32, copy=False),
            bonds=bonds,
            views=_views(q.space, best, at),
        )
        # A slot is sure of its `sure` best only: below, some of the pool may be missing.
        end = LOWEST if found.whole else float(best.scores[min(sure, len(best.ids)) - 1])
        if not best.ids or end < q.limits.floor:
            end = LOWEST
        return Candidates(found, at, some, end, seconds)

    async def nonsense(self, q: Question, found: Found) -> str | None:
        """Why the query makes no sense here: the best hit is no nearer than chance would be.

        The whole library is asked where those that a filter allows are all far.
        """
        if q.limits.best <= LOWEST or not found.best.ids:
            return None
        best = _best_but(q.skip, found)
        if best < q.limits.best and q.chosen is not None and not q.chosen.empty:
            assert q.x_d is not None, "a search by likeness has a vector"
            anywhere = await self._slots.search(SlotQuery(q.tenant, q.space, q.x_d, 2, seq=q.seq))
            best = max(best, _best_but(q.skip, anywhere))
        return None if best >= q.limits.best else nothing_near(best, q.limits)

    async def _search(
        self, q: Question, x_d: Vector, sure: int, most: int, scope: Scope
    ) -> tuple[Found, float | None]:
        """Ask the shards, or remember what they said of the same photo; and the seconds it took."""
        took: float | None = None

        async def ask() -> Found:
            nonlocal took
            asked = time.perf_counter()
            found = await self._slots.search(
                SlotQuery(q.tenant, q.space, x_d, sure, most, q.seq, scope)
            )
            took = time.perf_counter() - asked
            return found

        filtered = q.chosen is not None and not q.chosen.empty
        if self._neighbours is None or not q.skip or filtered or scope != EVERYTHING:
            return await ask(), took
        key = (q.tenant, q.space.id, q.name, sure, most)
        return await self._neighbours.get(key, q.seq, ask), took


def _views(space: EmbeddingSpace, best: Merged, rows: NDArray[np.int64]) -> list[str]:
    if space.views == ONE or best.views is None:
        return []
    return [space.views[number] for number in best.views[rows].tolist()]


def _best_but(skip: str, found: Found) -> float:
    """The highest cosine that was found of another photo than `skip`."""
    scores = zip(found.best.ids, found.best.scores.tolist(), strict=True)
    return next((float(score) for photo_id, score in scores if photo_id != skip), LOWEST)
