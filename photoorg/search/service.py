"""SearchService: the kinds of query, from what was asked to pages of hits with reasons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar, get_args

import numpy as np

from photoorg.config import SearchConfig
from photoorg.errors import (
    DeadlineError,
    IndexNotReadyError,
    InputError,
    NoTextSearchError,
    NotFoundError,
)
from photoorg.models import Photo
from photoorg.search.cross import CrossQuery, CrossRanker
from photoorg.search.cursor import decode, question_of
from photoorg.search.dates import read_dates
from photoorg.search.dual import DualReads
from photoorg.search.fanout import FanOut
from photoorg.search.filters import Filter, without_words
from photoorg.search.neighbours import Neighbours
from photoorg.search.pages import Page, Pages
from photoorg.search.ports import Box, Embedder, Mode, PhotoReader, SearchAnswer, Slot, Vector
from photoorg.search.questions import PLAIN, Queries, Question, Terms
from photoorg.search.signals import QueryFacts
from photoorg.search.tuning import Limits, QueryKind, limits_of, tuned
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog.bonds import Bonds

T = TypeVar("T")
TEXT_MAX = 2_000


class SearchService:
    """Searches one tenant's photos; holds no tenant's state and may be shared by all requests.

    Without `queries` there are neither filters nor words nor a calibrated cutoff.
    """

    def __init__(
        self,
        embedder: Embedder,
        slots: Sequence[Slot],
        photos: PhotoReader,
        config: SearchConfig,
        queries: Queries | None = None,
        *,
        dual: DualReads | None = None,
        cross: CrossRanker | None = None,
        neighbours: Neighbours | None = None,
    ) -> None:
        self._embedder = embedder
        self._slots = FanOut(slots, config.deadline_ms / 1000)
        self._photos = photos
        self._config = config
        self._queries = queries
        self._pages = Pages(self._slots, photos, queries, config, dual, cross, neighbours)

    async def similar(
        self,
        tenant: str,
        photo_id: str,
        k: int | None = None,
        terms: Terms = PLAIN,
        *,
        box: Box | None = None,
    ) -> SearchAnswer:
        """Photos that look like one of the library's own, which is left out of the hits.

        With `box`, like that part of it. NotFoundError for an unknown id, InputError for a bad k or
        box, IndexNotReadyError while the photo has no vector yet.
        """
        start, k = time.perf_counter(), self._checked_k(k)
        seq = await self._photos.head(tenant)
        photo = await self._photo(tenant, photo_id)
        space = await self._space(tenant, terms.user)

        async def vector_in(space: EmbeddingSpace) -> Vector:
            if box is None:
                return await self._vector_of(tenant, space, photo, seq)
            data = await self._photos.original(tenant, photo_id)
            return (await self._embedded(self._embedder.embed_image(data, box, space=space))).vector

        facts, cross = QueryFacts(), None
        if box is None:
            facts = QueryFacts.of(photo, await self._bonds(tenant, photo_id))
            cross = CrossQuery(photo_id=photo_id)
        limits, config = await self._limits(tenant, space, "image", terms, similar=box is None)
        q = Question(
            question_of("photo", tenant, space.id, photo_id, box, *terms.told),
            tenant,
            space,
            seq,
            await vector_in(space),
            facts=facts,
            skip=photo_id,
            chosen=terms.where,
            limits=limits,
            config=config,
            cross=cross,
            again=vector_in,
        )
        return await self._vector_page(q, k, terms.cursor, start)

    async def by_image(
        self,
        tenant: str,
        data: bytes,
        k: int | None = None,
        terms: Terms = PLAIN,
        *,
        box: Box | None = None,
    ) -> SearchAnswer:
        """Photos that look like an image given as a file's bytes, or like a box of it.

        DecodeError or UnsupportedMediaError if it is no image; InputError for a bad k or box.
        """
        start, k = time.perf_counter(), self._checked_k(k)
        seq = await self._photos.head(tenant)
        space = await self._space(tenant, terms.user)

        async def vector_in(space: EmbeddingSpace) -> Vector:
            return (await self._embedded(self._embedder.embed_image(data, box, space=space))).vector

        query = await self._embedded(self._embedder.embed_image(data, box, space=space))
        limits, config = await self._limits(tenant, space, "image", terms)
        q = Question(
            question_of("image", tenant, space.id, data, box, *terms.told),
            tenant,
            space,
            seq,
            query.vector,
            facts=QueryFacts(hashes=query.hashes),
            chosen=terms.where,
            limits=limits,
            config=config,
            cross=CrossQuery(data=data, box=box),
            again=vector_in,
        )
        return await self._vector_page(q, k, terms.cursor, start)

    async def by_text(
        self,
        tenant: str,
        text: str,
        k: int | None = None,
        terms: Terms = PLAIN,
        *,
        mode: Mode | None = None,
        now: datetime | None = None,
    ) -> SearchAnswer:
        """Photos that show what the text says (semantic), that have its words (keyword), or both.

        Without a mode it is hybrid where words can be searched. A date in the text narrows the
        search to the time it names; `now` is what a clock on the wall shows (default: here). A word
        behind a minus is one that no hit may have. In a space without text hybrid becomes keyword
        and says so; semantic is NoTextSearchError, and so is a text without a mode that no photo's
        words match.
        """
        start, k = time.perf_counter(), self._checked_k(k)
        asked = mode
        mode = mode or ("semantic" if self._queries is None else "hybrid")
        if mode not in get_args(Mode):
            raise InputError(f"There is no mode {mode!r}.", fix="Use hybrid, keyword or semantic.")
        text = text.strip()
        if not text and terms.narrowed and self._queries is not None:
            mode = "keyword"
        elif not text or len(text) > TEXT_MAX:
            raise InputError(
                "The search text is empty." if not text else "The search text is too long.",
                fix=f"Give between 1 and {TEXT_MAX} characters.",
            )
        if mode != "semantic" and self._queries is None:
            raise InputError("This service searches no words.", fix="Use mode semantic.")
        seq = await self._photos.head(tenant)
        space = await self._space(tenant, terms.user)
        name = question_of("text", tenant, space.id, text, mode, *terms.told)
        position = None if terms.cursor is None else decode(terms.cursor, name)
        notes: list[str] = []
        words, narrowed = text, terms
        if self._queries is not None:
            # A cursor keeps the day of its first page, so that "yesterday" stays the same day.
            dated = read_dates(text, now or (position.at.astimezone() if position else _now()))
            words = dated.text
            if dated.span is not None:
                terms = replace(terms, where=Filter(taken=dated.span).also(terms.where))
                notes.append(dated.note)
            narrowed = terms
            words, unwanted = without_words(words)
            if unwanted:
                terms = replace(terms, where=Filter(without=unwanted).also(terms.where))
                notes.append("photos with " + " or ".join(f'"{w}"' for w in unwanted) + " left out")
        if mode == "hybrid" and not space.has_text:
            mode = "keyword"
            notes.append(f"the space {space.name!r} has no text encoder: only words were searched")
        if mode == "semantic" and not space.has_text:
            raise _no_text(space)

        async def vector_in(space: EmbeddingSpace) -> Vector:
            return await self._embedded(self._embedder.embed_text(words, space=space))

        limits, config = await self._limits(tenant, space, "text", narrowed)
        cross = CrossQuery(text=words) if words else None
        q = Question(
            name, tenant, space, seq, text=words, chosen=terms.where, config=config, cross=cross
        )
        if mode != "keyword" and words:
            q = replace(q, x_d=await vector_in(space), limits=limits, again=vector_in)
        if mode == "semantic" and q.x_d is not None:
            page = await self._pages.by_vector(q, k, position)
        else:
            page = await self._pages.by_words(q, k, position)
        if not page.hits and words and asked is None and not space.has_text and position is None:
            raise _no_text(space)
        return _answer(page, q, start, mode, notes)

    async def by_vector(
        self,
        tenant: str,
        vector: Sequence[float],
        k: int | None = None,
        terms: Terms = PLAIN,
    ) -> SearchAnswer:
        """Photos near a vector of the tenant's space; InputError if it is not one."""
        start, k = time.perf_counter(), self._checked_k(k)
        seq = await self._photos.head(tenant)
        space = await self._space(tenant, terms.user)
        x_d = _unit(vector, space)
        name = question_of("vector", tenant, space.id, x_d.tobytes(), *terms.told)
        limits, config = await self._limits(tenant, space, "image", terms)
        q = Question(
            name, tenant, space, seq, x_d, chosen=terms.where, limits=limits, config=config
        )
        return await self._vector_page(q, k, terms.cursor, start)

    async def _vector_page(
        self, q: Question, k: int, cursor: str | None, start: float
    ) -> SearchAnswer:
        position = None if cursor is None else decode(cursor, q.name)
        return _answer(await self._pages.by_vector(q, k, position), q, start, "semantic")

    async def _limits(
        self,
        tenant: str,
        space: EmbeddingSpace,
        kind: QueryKind,
        terms: Terms,
        *,
        similar: bool = False,
    ) -> tuple[Limits, SearchConfig]:
        """What hits must reach, and how they are ranked, by what was fitted for the tenant."""
        known: Mapping[str, float] = {}
        if self._queries is not None:
            known = await self._queries.thresholds(tenant, space.id)
        config = tuned(self._config, known)
        limits = limits_of(
            known, config, kind, terms.cutoff, similar=similar, narrowed=terms.narrowed
        )
        return limits, config

    async def _bonds(self, tenant: str, photo_id: str) -> Bonds | None:
        if self._queries is None:
            return None
        return (await self._queries.bonds(tenant, [photo_id])).get(photo_id)

    async def _embedded(self, work: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(self._config.embed_deadline_ms / 1000):
                return await work
        except TimeoutError:
            raise DeadlineError(
                "The query could not be embedded in time.",
                fix="Try again shortly; GET /v1/health/ready tells whether the encoder is well.",
            ) from None

    def _checked_k(self, k: int | None) -> int:
        k = self._config.default_k if k is None else k
        if not 1 <= k <= self._config.max_k:
            raise InputError(
                f"{k} results cannot be given.",
                fix=f"Ask for 1 to {self._config.max_k}.",
            )
        return k

    async def _photo(self, tenant: str, photo_id: str) -> Photo:
        photo = (await self._photos.photos(tenant, [photo_id])).get(photo_id)
        if photo is None:
            raise NotFoundError(
                f"There is no photo {photo_id!r}.",
                fix="Search results and GET /v1/photos show the ids there are.",
            )
        return photo

    async def _space(self, tenant: str, user: str) -> EmbeddingSpace:
        return await self._photos.space(tenant, user) or self._embedder.space

    async def _vector_of(
        self, tenant: str, space: EmbeddingSpace, photo: Photo, seq: int
    ) -> Vector:
        vector = await self._slots.vector(tenant, space, photo.photo_id, seq=seq)
        if vector is None:
            raise IndexNotReadyError(
                f"Photo {photo.photo_id!r} cannot be compared: it has no vector "
                f"(its status is {photo.status!r}).",
                fix="Wait until its status is ready."
                if photo.status in ("queued", "processing")
                else photo.reason or "Ingest it again with the embed stage.",
                retryable=photo.status in ("queued", "processing"),
            )
        return vector


def _answer(
    page: Page, q: Question, start: float, mode: Mode, notes: Sequence[str] = ()
) -> SearchAnswer:
    return SearchAnswer(
        hits=page.hits,
        space=q.space.id,
        partial=page.answered < page.total,
        shards_answered=page.answered,
        shards_total=page.total,
        latency_ms=round((time.perf_counter() - start) * 1000, 3),
        next_cursor=None if page.next is None else page.next.encode(),
        notes=(*notes, *page.notes),
        mode=mode,
    )


def _no_text(space: EmbeddingSpace) -> NoTextSearchError:
    return NoTextSearchError(
        f"The photos were embedded in {space.name!r}, which has no text encoder.",
        fix="Search by image or by photo id, by words that photos carry (mode keyword), or embed "
        "again with a CLIP space (`photoorg reembed --space clip-vit-b-32-laion2b`).",
    )


def _now() -> datetime:
    return datetime.now().astimezone()


def _unit(vector: Sequence[float], space: EmbeddingSpace) -> Vector:
    x_d = np.asarray(vector, dtype=np.float64)
    if x_d.shape != (space.dim,):
        raise InputError(
            f"The vector has {x_d.size} numbers; space {space.name!r} has {space.dim} dimensions.",
            fix=f"Give {space.dim} numbers made by the same encoder.",
        )
    with np.errstate(over="ignore", invalid="ignore"):
        norm = float(np.linalg.norm(x_d))
    if not np.isfinite(norm) or norm == 0.0:
        raise InputError(
            "The vector holds values that are not finite or far too large, or only zeros.",
            fix="Give finite numbers of ordinary size, not all of them zero.",
        )
    unit: Vector = (x_d / norm).astype(np.float32)
    return unit
