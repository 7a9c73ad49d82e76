"""Pages of hits: from candidates that shards give to a page, and to the place of the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np

from photoorg.config import SearchConfig
from photoorg.errors import InputError
from photoorg.models import Hit
from photoorg.search.candidates import Candidates, CandidateSearch
from photoorg.search.cross import CrossRanker
from photoorg.search.cursor import MAX_GIVEN, Position, mark, marks
from photoorg.search.dual import DualReads, LiveRead
from photoorg.search.fanout import FanOut, Found, Merged
from photoorg.search.fusion import fuse
from photoorg.search.neighbours import Neighbours
from photoorg.search.planner import FilterPlan
from photoorg.search.ports import PhotoReader
from photoorg.search.questions import Queries, Question
from photoorg.search.rerank import rank
from photoorg.search.signals import Pool
from photoorg.search.tuning import LOWEST, with_chance

POOL_PER_HIT = 2
POOL_MIN = 40
POOL_GROWS = 4
POOL_MOST = 16
"""Candidates per hit, at first and at most; a pool that folds into too few hits grows."""
EPS = 0.003
"""Cosines of one photo differ by less between two versions of an index."""


@dataclass(frozen=True, slots=True)
class Page:
    """Hits, the place of the next page (None: there is none), and how complete they are."""

    hits: tuple[Hit, ...]
    next: Position | None
    answered: int = 0
    total: int = 0
    notes: tuple[str, ...] = ()


class Pages:
    """Answers questions page by page."""

    def __init__(
        self,
        slots: FanOut,
        photos: PhotoReader,
        queries: Queries | None,
        config: SearchConfig,
        dual: DualReads | None = None,
        cross: CrossRanker | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._candidates = CandidateSearch(slots, photos, queries, neighbours)
        self._photos = photos
        self._queries = queries
        self._config = config
        self._dual = dual
        self._cross = cross

    async def by_vector(self, q: Question, k: int, position: Position | None) -> Page:
        """The next k hits by likeness.

        Candidates are taken in windows of falling cosine. Within a window hits are ranked, folded
        and spread; a page that is not full goes on in the next window.
        """
        begun = position is not None
        position = position or Position(q.name, datetime.now(UTC))
        chosen = await self._candidates.plan(q)
        hits: list[Hit] = []
        first = not begun
        while True:
            got, candidates = await self._window(q, k - len(hits), position, chosen, begun=begun)
            if first:
                first = False
                self._compare(q, candidates, k)
                why = await self._candidates.nonsense(q, candidates.found)
                if why:
                    return self._page((), candidates.found, None, (why,))
            hits += got
            given = position.given | marks(i for h in got for i in (h.photo_id, *h.folded))
            best = candidates.found.best
            floor = candidates.floor if position.floor is None else position.floor
            if len(hits) == k:
                left = [
                    i
                    for i in candidates.rows.tolist()
                    if best.scores[i] >= floor and mark(best.ids[i]) not in given
                ]
                more = bool(left) or floor > q.limits.floor
                after = replace(position, given=given, floor=floor) if more else None
                return self._page(hits, candidates.found, after)
            if floor <= q.limits.floor:
                return self._page(hits, candidates.found, None)
            ceiling = floor + EPS
            over = marks(i for i, s in zip(best.ids, best.scores, strict=True) if s > ceiling)
            above = position.above + int(np.count_nonzero(best.scores > ceiling))
            position = replace(
                position, given=given - over, ceiling=ceiling, floor=None, above=above
            )

    async def by_words(self, q: Question, k: int, position: Position | None) -> Page:
        """The next k hits by words, and by likeness at the same time where there is a vector.

        The two lists are made deeper from page to page, fused anew, and what was given left out.
        """
        assert self._queries is not None and q.text is not None, "words need a catalog"
        begun = position is not None
        position = position or Position(q.name, datetime.now(UTC))
        if len(position.given) > MAX_GIVEN:
            raise InputError(
                f"{len(position.given)} photos were given; no further ones are ranked.",
                fix="Narrow the question with a filter or with more words.",
            )
        depth = len(position.given) + max(POOL_PER_HIT * k, POOL_MIN)
        asked = self._queries.words(q.tenant, q.text, depth, q.chosen)
        if q.x_d is None:
            words, near = await asked, None
        else:
            words, near = await asyncio.gather(asked, self._near(q, depth, position, begun))
        known = await self._photos.photos(q.tenant, words.ids)
        shown = {i: known[i] for i in words.ids if i in known}
        if begun:
            shown = {i: p for i, p in shown.items() if p.created_at <= position.at}
        pool = near.pool if near is not None else _no_pool()
        notes = words.notes
        why = None if near is None else await self._candidates.nonsense(q, near.found)
        if why:
            pool, notes = _no_pool(), (*notes, why)
        fused = fuse(
            pool,
            words,
            shown | {p.photo_id: p for p in pool.photos},
            q.config or self._config,
            facts=q.facts,
            least=q.limits.score,
        )
        fresh = [h for h in fused if mark(h.photo_id) not in position.given]
        if self._cross is not None and q.cross is not None:
            fresh = [*await self._cross.order(q.tenant, fresh, q.cross)]
        hits = with_chance(fresh[:k], q.limits)
        whole = words.whole and (near is None or bool(why) or near.floor <= q.limits.floor)
        given = position.given | marks(i for h in hits for i in (h.photo_id, *h.folded))
        after = replace(position, given=given) if len(fresh) > k or not whole else None
        found = near.found if near is not None else Found(Merged((), _NONE, _NONE), 0, 0)
        return self._page(hits, found, after if hits else None, notes)

    async def _near(self, q: Question, depth: int, position: Position, begun: bool) -> Candidates:
        chosen = await self._candidates.plan(q)
        free = replace(position, given=frozenset(), ceiling=None, floor=None, above=0)
        found = await self._candidates.within(q, depth, depth, free, chosen, begun=begun)
        if not begun:
            self._compare(q, found, depth)
        return found

    def _compare(self, q: Question, live: Candidates, k: int) -> None:
        """Offer a first page without a filter for a second search, in the shadow index.

        Not one that was remembered: the two would not have done the same work.
        """
        if self._dual is None or q.again is None or live.seconds is None:
            return
        if q.chosen is None or q.chosen.empty:
            asked = time.perf_counter() - live.seconds
            read = LiveRead(q.tenant, q.space, live.found.best, k, q.skip, q.seq, asked)
            self._dual.offer(read, q.again)

    async def _window(
        self, q: Question, k: int, position: Position, chosen: FilterPlan | None, *, begun: bool
    ) -> tuple[tuple[Hit, ...], Candidates]:
        """Up to k hits of the window at `position`, and the candidates they were taken from."""
        extra = len(position.given) + bool(q.skip)
        wanted = max(k, min(max(POOL_PER_HIT * k, POOL_MIN), self._config.candidates))
        while True:
            got = await self._candidates.within(
                q, k + extra, wanted + extra, position, chosen, begun=begun
            )
            hits = await self._ranked(q, got.pool, k)
            covered = position.floor is None or got.floor <= position.floor
            # Many near-duplicates are folded into few hits: then more candidates are needed.
            enough = len(hits) == k or wanted >= POOL_MOST * k
            if got.floor <= LOWEST or (enough and covered):
                return hits, got
            wanted *= POOL_GROWS

    async def _ranked(self, q: Question, pool: Pool, k: int) -> tuple[Hit, ...]:
        """The k best of the candidates, where it is configured after a second look at more."""
        config = q.config or self._config
        if self._cross is None or q.cross is None:
            hits = rank(q.facts, pool, k, config, least=q.limits.score)
        else:
            hits = rank(q.facts, pool, max(k, self._cross.top), config, least=q.limits.score)
            hits = await self._cross.order(q.tenant, hits, q.cross)
        return with_chance(hits[:k], q.limits)

    def _page(
        self,
        hits: Sequence[Hit],
        found: Found,
        after: Position | None,
        notes: tuple[str, ...] = (),
    ) -> Page:
        return Page(tuple(hits), after, found.answered, found.total, notes)


_NONE = np.zeros(0, np.float32)


def _no_pool() -> Pool:
    return Pool([], np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
