"""SearchService: the four kinds of query, from what was asked to ranked hits with reasons."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import TypeVar

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
from photoorg.search.dual import Again, DualReads, LiveRead
from photoorg.search.fanout import FanOut
from photoorg.search.ports import Box, Embedder, PhotoReader, SearchAnswer, Slot, Vector
from photoorg.search.rerank import Pool, QueryFacts, rank
from photoorg.space import EmbeddingSpace

T = TypeVar("T")
POOL_PER_HIT = 2
POOL_MIN = 40
POOL_GROWS = 4
POOL_MOST = 16
"""Candidates per hit, at first and at most; a pool that folds into too few hits grows."""
TEXT_MAX = 2_000


class SearchService:
    """Searches one tenant's photos; holds no tenant's state and may be shared by all requests."""

    def __init__(
        self,
        embedder: Embedder,
        slots: Sequence[Slot],
        photos: PhotoReader,
        config: SearchConfig,
        *,
        dual: DualReads | None = None,
    ) -> None:
        self._embedder = embedder
        self._slots = FanOut(slots, config.deadline_ms / 1000)
        self._photos = photos
        self._config = config
        self._dual = dual

    async def similar(
        self,
        tenant: str,
        photo_id: str,
        k: int | None = None,
        *,
        box: Box | None = None,
        user: str = "",
    ) -> SearchAnswer:
        """Photos that look like one of the library's own, which is left out of the hits.

        With `box`, like that part of it. NotFoundError for an unknown id, InputError for a bad k or
        box, IndexNotReadyError while the photo has no vector yet.
        """
        start, k = time.perf_counter(), self._checked_k(k)
        seq = await self._photos.head(tenant)
        photo = await self._photo(tenant, photo_id)
        space = await self._space(tenant, user)

        async def vector_in(space: EmbeddingSpace) -> Vector:
            if box is None:
                return await self._vector_of(tenant, space, photo, seq)
            data = await self._photos.original(tenant, photo_id)
            return (await self._embedded(self._embedder.embed_image(data, box, space=space))).vector

        x_d = await vector_in(space)
        facts = QueryFacts.of(photo) if box is None else QueryFacts()
        return await self._search(
            tenant, space, x_d, facts, k, start, seq, skip=photo_id, again=vector_in
        )

    async def by_image(
        self,
        tenant: str,
        data: bytes,
        k: int | None = None,
        *,
        box: Box | None = None,
        user: str = "",
    ) -> SearchAnswer:
        """Photos that look like an image given as a file's bytes, or like a box of it.

        DecodeError or UnsupportedMediaError if it is no image; InputError for a bad k or box.
        """
        start, k = time.perf_counter(), self._checked_k(k)
        seq = await self._photos.head(tenant)
        space = await self._space(tenant, user)

        async def vector_in(space: EmbeddingSpace) -> Vector:
            return (await self._embedded(self._embedder.embed_image(data, box, space=space))).vector

        query = await self._embedded(self._embedder.embed_image(data, box, space=space))
        facts = QueryFacts(hashes=query.hashes)
        return await self._search(
            tenant, space, query.vector, facts, k, start, seq, again=vector_in
        )

    async def by_text(
        self, tenant: str, text: str, k: int | None = None, *, user: str = ""
    ) -> SearchAnswer:
        """Photos that show what the text says; NoTextSearchError where the space has no text."""
        start, k = time.perf_counter(), self._checked_k(k)
        text = text.strip()
        if not text or len(text) > TEXT_MAX:
            raise InputError(
                "The search text is empty." if not text else "The search text is too long.",
                fix=f"Give between 1 and {TEXT_MAX} characters.",
            )
        seq = await self._photos.head(tenant)
        space = await self._space(tenant, user)
        if not space.has_text:
            raise NoTextSearchError(
                f"The photos were embedded in {space.name!r}, which has no text encoder.",
                fix="Search by image or by photo id, or embed again with a CLIP space "
                "(`encoder.space: openclip-vit-b-32`).",
            )

        async def vector_in(space: EmbeddingSpace) -> Vector:
            return await self._embedded(self._embedder.embed_text(text, space=space))

        x_d = await vector_in(space)
        return await self._search(tenant, space, x_d, QueryFacts(), k, start, seq, again=vector_in)

    async def by_vector(
        self, tenant: str, vector: Sequence[float], k: int | None = None, *, user: str = ""
    ) -> SearchAnswer:
        """Photos near a vector of the tenant's space; InputError if it is not one."""
        start, k = time.perf_counter(), self._checked_k(k)
        seq = await self._photos.head(tenant)
        space = await self._space(tenant, user)
        x_d = _unit(vector, space)
        return await self._search(tenant, space, x_d, QueryFacts(), k, start, seq)

    async def _search(
        self,
        tenant: str,
        space: EmbeddingSpace,
        x_d: Vector,
        facts: QueryFacts,
        k: int,
        start: float,
        seq: int,
        skip: str = "",
        again: Again | None = None,
    ) -> SearchAnswer:
        extra = bool(skip)
        wanted = max(k, min(max(POOL_PER_HIT * k, POOL_MIN), self._config.candidates))
        while True:
            asked = time.perf_counter()
            found = await self._slots.search(
                tenant, space, x_d, k + extra, seq=seq, pool=wanted + extra
            )
            best = found.best
            if self._dual is not None and again is not None:
                self._dual.offer(LiveRead(tenant, space, best, k, skip, seq, asked), again)
                again = None
            known = await self._photos.photos(tenant, best.ids)
            rows = [i for i, p in enumerate(best.ids) if p in known and p != skip]
            pool = Pool(
                photos=[known[best.ids[i]] for i in rows],
                cosines=best.scores[rows],
                vectors=best.vectors[rows].astype(np.float32, copy=False),
            )
            hits = rank(facts, pool, k, self._config)
            # Many near-duplicates are folded into few hits: then more candidates are needed.
            if len(hits) == k or len(best.ids) < wanted or wanted >= POOL_MOST * k:
                break
            wanted *= POOL_GROWS
        return SearchAnswer(
            hits=hits,
            space=space.id,
            partial=found.answered < found.total,
            shards_answered=found.answered,
            shards_total=found.total,
            latency_ms=round((time.perf_counter() - start) * 1000, 3),
        )

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
                f"There is no photo {photo_id!r}.", fix="GET /v1/photos lists the ids there are."
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


def _unit(vector: Sequence[float], space: EmbeddingSpace) -> Vector:
    x_d = np.asarray(vector, dtype=np.float64)
    if x_d.shape != (space.dim,):
        raise InputError(
            f"The vector has {x_d.size} numbers; space {space.name!r} has {space.dim} dimensions.",
            fix=f"Give {space.dim} numbers made by the same encoder.",
        )
    norm = float(np.linalg.norm(x_d)) if np.isfinite(x_d).all() else float("nan")
    if not np.isfinite(norm) or norm == 0.0:
        raise InputError(
            "The vector holds values that are not finite, or only zeros.",
            fix="Give finite numbers, not all of them zero.",
        )
    unit: Vector = (x_d / norm).astype(np.float32)
    return unit
