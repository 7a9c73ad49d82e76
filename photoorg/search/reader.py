"""PhotoReader over the catalog: what is known about photos, cached as long as nothing changed."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from photoorg.config import SearchConfig, SourceConfig
from photoorg.errors import NotFoundError
from photoorg.models import Photo
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import (
    Catalog,
    comparisons,
    delta,
    indexes,
    originals,
    photos,
    spaces,
)
from photoorg.store.catalog.comparisons import DualRead
from photoorg.store.catalog.spaces import Route
from photoorg.store.objects import ObjectStore
from photoorg.store.sources import read_content

T = TypeVar("T")
THREADS = 4


@dataclass(frozen=True, slots=True)
class Shadow:
    """An index version of another space that does not serve (yet)."""

    space: EmbeddingSpace
    version: str


@dataclass(slots=True)
class _Known:
    """What is remembered of one tenant since its log stood at `seq`."""

    seq: int
    since: float
    photos: OrderedDict[str, Photo] = field(default_factory=OrderedDict)
    route: Route | None = None
    shadow: Shadow | None = None


class CatalogReader:
    """Reads the catalog for searches.

    Every search asks for the head of the tenant's change log first; that one question is shared by
    all searches that wait for it. Photos are remembered until the head moves, so a delete takes
    effect at the next search, on every replica.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        config: SearchConfig,
        source: SourceConfig,
        *,
        max_bytes: int,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._config = config
        self._source = source
        self._max_bytes = max_bytes
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="catalog")
        self._known: dict[str, _Known] = {}
        self._heads: dict[str, Joined[int]] = {}

    async def head(self, tenant: str) -> int:
        """Position of the tenant's last change, read after the call was made."""
        joined = self._heads.get(tenant)
        if joined is None:
            joined = self._heads[tenant] = Joined(lambda: self._read_head(tenant))
        return await joined()

    async def photos(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Photo]:
        """The photos that exist; deleted and unknown ids are left out."""
        known = self._current(tenant)
        missing = [i for i in ids if i not in known.photos]
        if not missing:
            return known.photos
        fetched = await self._in_thread(self._fetch, tenant, missing)
        if self._known.get(tenant) is known:
            known.photos.update(fetched)
            while len(known.photos) > self._config.cached_photos:
                known.photos.popitem(last=False)
        here = {i: known.photos[i] for i in ids if i in known.photos}
        return {**here, **fetched}

    async def space(self, tenant: str, user: str = "") -> EmbeddingSpace | None:
        """The space the tenant's photos are searched in, None before the first one."""
        known = self._current(tenant)
        route = known.route
        if route is None or route.default is None:
            fresh, known.shadow = await self._in_thread(self._read_route, tenant)
            route = known.route = fresh
        return route.of(user)

    async def shadow(self, tenant: str) -> Shadow | None:
        """The shadow index that the tenant may move to, for dual reads; None if there is none."""
        await self.space(tenant)
        return self._current(tenant).shadow

    async def note(self, tenant: str, read: DualRead) -> None:
        """Keep how a query fared in the shadow index."""
        await self._in_thread(self._note, tenant, read)

    async def original(self, tenant: str, photo_id: str) -> bytes:
        """The photo's bytes; NotFoundError."""
        return await self._in_thread(self._original, tenant, photo_id)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _read_head(self, tenant: str) -> int:
        seq = await self._in_thread(self._head, tenant)
        known = self._known.get(tenant)
        if known is None or known.seq != seq:
            self._known[tenant] = _Known(seq, time.monotonic())
        return seq

    def _current(self, tenant: str) -> _Known:
        """What is remembered, thrown away when old: a bulk ingest writes no log."""
        known = self._known.get(tenant)
        now = time.monotonic()
        if known is None or now - known.since > self._config.cache_seconds:
            known = self._known[tenant] = _Known(known.seq if known else -1, now)
        return known

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _head(self, tenant: str) -> int:
        return delta.head_now(self._catalog, tenant)

    def _fetch(self, tenant: str, ids: Sequence[str]) -> dict[str, Photo]:
        with self._catalog.tenant(tenant) as tx:
            found = photos.get_many(tx, ids)
        return {i: photo for i, photo in found.items() if photo.trashed_at is None}

    def _read_route(self, tenant: str) -> tuple[Route, Shadow | None]:
        with self._catalog.tenant(tenant) as tx:
            route = spaces.route(tx)
            default = route.default.id if route.default is not None else ""
            newest = next(
                (
                    v
                    for v in indexes.list_versions(tx)
                    if v.status == "shadow" and v.space_id != default
                ),
                None,
            )
            space = spaces.get(tx, newest.space_id) if newest is not None else None
        if newest is None or space is None or space.kind != "image":
            return route, None
        return route, Shadow(space, newest.version)

    def _note(self, tenant: str, read: DualRead) -> None:
        with self._catalog.tenant(tenant) as tx:
            comparisons.note(tx, read)

    def _original(self, tenant: str, photo_id: str) -> bytes:
        with self._catalog.tenant(tenant) as tx:
            places = originals.places(tx, [photo_id]).get(photo_id)
        if places is None:
            raise NotFoundError(f"There is no photo {photo_id!r}.")
        return read_content(photo_id, places, self._store, self._source, max_bytes=self._max_bytes)


class Joined(Generic[T]):
    """A question that many ask at once: those who come while it is being asked share the next."""

    def __init__(self, ask: Callable[[], Awaitable[T]]) -> None:
        self._ask = ask
        self._running: asyncio.Future[T] | None = None
        self._waiting: asyncio.Future[T] | None = None

    async def __call__(self) -> T:
        """An answer to a question asked after this call."""
        if self._waiting is None:
            self._waiting = asyncio.ensure_future(self._next(self._running))
        return await asyncio.shield(self._waiting)

    async def _next(self, before: asyncio.Future[T] | None) -> T:
        if before is not None and not before.done():
            await asyncio.wait([before])
        self._running, self._waiting = self._waiting, None
        return await self._ask()
