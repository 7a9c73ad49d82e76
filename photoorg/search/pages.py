"""Pages of hits: from candidates that shards give to a page, and to the place of the next one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.config import SearchConfig
from photoorg.errors import InputError
from photoorg.models import Hit
from photoorg.search.cross import CrossQuery, CrossRanker
from photoorg.search.cursor import MAX_GIVEN, Position, mark, marks
from photoorg.search.dual import Again, DualReads, LiveRead
from photoorg.search.fanout import FanOut, Found, Merged
from photoorg.search.filters import Filter
from photoorg.search.fusion import fuse
from photoorg.search.neighbours import Neighbours
from photoorg.search.planner import FilterPlan, plan
from photoorg.search.ports import EVERYTHING, PhotoReader, Scope, Vector
from photoorg.search.rerank import Pool, QueryFacts, rank
from photoorg.search.text import Words
from photoorg.search.tuning import LOWEST, NO_LIMITS, Limits, nothing_near, with_chance
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog.bonds import NO_BONDS, Bonds
from photoorg.views import ONE

POOL_PER_HIT = 2
POOL_MIN = 40
POOL_GROWS = 4
POOL_MOST = 16
"""Candidates per hit, at first and at most; a pool that folds into too few hits grows."""
EPS = 0.003
"""Cosines of one photo differ by less between two versions of an index."""


class Queries(Protocol):
    """What the catalog tells besides photos."""

    async def revision(self, tenant: str) -> int:
        """The number of changes so far."""

    async def share(self, tenant: str, chosen: Filter) -> float:
        """About which share of the photos the filter allows, 0..1."""

    async def thresholds(self, tenant: str, space_id: str) -> Mapping[str, float]:
        """The tenant's thresholds and weights in a space, by name."""

    async def bonds(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Bonds]:
        """The event and the people of those of the photos that have any."""

    async def allowed(self, tenant: str, chosen: Filter, ids: Sequence[str]) -> set[str]:
        """Those of the photos that the filter allows."""

    async def words(self, tenant: str, text: str, limit: int, chosen: Filter | None) -> Words:
        """The best photos for the words of a text."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: `name` tells it from others, `limits` say what a hit must reach.

    `config` ranks the hits (None: as the service is configured). `cross` is the query for a second
    look at the hits. `again` gives the same as a vector of another space, for the search in a
    shadow index.
    """

    name: bytes
    tenant: str
    space: EmbeddingSpace
    seq: int
    x_d: Vector | None = None
    text: str | None = None
    facts: QueryFacts = field(default_factory=QueryFacts)
    skip: str = ""
    chosen: Filter | None = None
    limits: Limits = NO_LIMITS
    config: SearchConfig | None = None
    cross: CrossQuery | None = None
    again: Again | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Hits, the place of the next page (None: there is none), and how complete they are."""

    hits: tuple[Hit, ...]
    next: Position | None
    answered: int = 0
    total: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Candidates:
    """What the shards gave: all of it, which rows may be hits, and down to where nothing lacks.

    `seconds` they took; None where it was remembered and they were not asked.
    """

    found: Found
    rows: NDArray[np.int64]
    pool: Pool
    floor: float
    seconds: float | None


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
        self._neighbours = neighbours
        self._slots = slots
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
        chosen = await self._plan(q)
        hits: list[Hit] = []
        first = not begun
        while True:
            wanted = await self._window(q, k - len(hits), position, chosen, begun=begun)
            got, candidates = wanted
            if first:
                first = False
                self._compare(q, candidates, k)
                why = await self._nonsense(q, candidates.found)
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
        why = None if near is None else await self._nonsense(q, near.found)
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

    async def _near(self, q: Question, depth: int, position: Position, begun: bool) -> _Candidates:
        chosen = await self._plan(q)
        free = replace(position, given=frozenset(), ceiling=None, floor=None, above=0)
        found = await self._candidates(q, depth, depth, free, chosen, begun=begun)
        if not begun:
            self._compare(q, found, depth)
        return found

    def _compare(self, q: Question, live: _Candidates, k: int) -> None:
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
    ) -> tuple[tuple[Hit, ...], _Candidates]:
        """Up to k hits of the window at `position`, and the candidates they were taken from."""
        extra = len(position.given) + bool(q.skip)
        wanted = max(k, min(max(POOL_PER_HIT * k, POOL_MIN), self._config.candidates))
        while True:
            got = await self._candidates(
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

    async def _nonsense(self, q: Question, found: Found) -> str | None:
        """Why the query makes no sense here: the best hit is no nearer than chance would be.

        The whole library is asked where those that a filter allows are all far.
        """
        if q.limits.best <= LOWEST or not found.best.ids:
            return None
        best = _best_but(q.skip, found)
        if best < q.limits.best and q.chosen is not None and not q.chosen.empty:
            assert q.x_d is not None, "a search by likeness has a vector"
            anywhere = await self._slots.search(q.tenant, q.space, q.x_d, 2, seq=q.seq, pool=2)
            best = max(best, _best_but(q.skip, anywhere))
        return None if best >= q.limits.best else nothing_near(best, q.limits)

    async def _candidates(
        self,
        q: Question,
        k: int,
        pool: int,
        position: Position,
        chosen: FilterPlan | None,
        *,
        begun: bool,
    ) -> _Candidates:
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
                return await self._candidates(q, k, pool, position, only, begun=begun)
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
        return _Candidates(found, at, some, end, seconds)

    async def _search(
        self, q: Question, x_d: Vector, sure: int, most: int, scope: Scope
    ) -> tuple[Found, float | None]:
        """Ask the shards, or remember what they said of the same photo; and the seconds it took."""
        took: float | None = None

        async def ask() -> Found:
            nonlocal took
            asked = time.perf_counter()
            found = await self._slots.search(
                q.tenant, q.space, x_d, sure, seq=q.seq, pool=most, scope=scope
            )
            took = time.perf_counter() - asked
            return found

        filtered = q.chosen is not None and not q.chosen.empty
        if self._neighbours is None or not q.skip or filtered or scope != EVERYTHING:
            return await ask(), took
        key = (q.tenant, q.space.id, q.name, sure, most)
        return await self._neighbours.get(key, q.seq, ask), took

    async def _plan(self, q: Question) -> FilterPlan | None:
        if q.chosen is None or q.chosen.empty:
            return None
        if self._queries is None:
            raise InputError("This service cannot filter.", fix="Leave the filter out.")
        return plan(await self._queries.share(q.tenant, q.chosen))

    def _page(
        self,
        hits: Sequence[Hit],
        found: Found,
        after: Position | None,
        notes: tuple[str, ...] = (),
    ) -> Page:
        return Page(tuple(hits), after, found.answered, found.total, notes)


_NONE = np.zeros(0, np.float32)


def _views(space: EmbeddingSpace, best: Merged, rows: NDArray[np.int64]) -> list[str]:
    if space.views == ONE or best.views is None:
        return []
    return [space.views[number] for number in best.views[rows].tolist()]


def _best_but(skip: str, found: Found) -> float:
    """The highest cosine that was found of another photo than `skip`."""
    scores = zip(found.best.ids, found.best.scores.tolist(), strict=True)
    return next((float(score) for photo_id, score in scores if photo_id != skip), LOWEST)


def _no_pool() -> Pool:
    return Pool([], np.zeros(0, np.float32), np.zeros((0, 0), np.float32))
