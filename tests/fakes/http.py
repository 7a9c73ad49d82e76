"""In-memory stand-ins for what stands behind the HTTP layer."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import httpx
from fastapi import APIRouter

import serve.api
from photoorg.config import SearchConfig, ServeConfig
from photoorg.errors import NotFoundError, UnsupportedMediaError
from photoorg.models import Photo
from photoorg.search.questions import Queries
from photoorg.search.service import SearchService
from photoorg.store.catalog.companions import Companion
from photoorg.store.catalog.pairs import StoredPair
from serve.api.app import create_app
from serve.api.health import Others
from serve.auth import fixed_tenant
from serve.metrics import Metrics
from serve.ports import Accepted, Check
from tests.fakes.search import FakeEmbedder, FakePhotos, FakeSlot, photo, spread_over

NAMES = [f"photo-{i}" for i in range(12)]


class FakeLibrary:
    """Photos and Uploads over the same dict the search sees."""

    def __init__(self, photos: FakePhotos, slots: list[FakeSlot]) -> None:
        self.photos, self.slots = photos, slots
        self.thumbnails: dict[str, bytes] = {}
        self.accepted: list[tuple[bytes, str]] = []
        self.paired: list[StoredPair] = []
        self.moving: dict[str, list[Companion]] = {}
        self.broken: Exception | None = None

    async def get(self, tenant: str, photo_id: str) -> Photo:
        if self.broken:
            raise self.broken
        if photo_id not in self.photos.known:
            raise NotFoundError(f"There is no photo {photo_id!r}.")
        return self.photos.known[photo_id]

    async def page(self, tenant, *, after, limit):
        ids = sorted(self.photos.known)
        start = 0 if after is None else ids.index(after) + 1
        rows = [self.photos.known[i] for i in ids[start : start + limit]]
        return rows, rows[-1].photo_id if start + limit < len(ids) else None

    async def thumbnail(self, tenant: str, photo_id: str) -> bytes:
        await self.get(tenant, photo_id)
        if photo_id not in self.thumbnails:
            raise NotFoundError("no thumbnail")
        return self.thumbnails[photo_id]

    async def pairs(self, tenant: str, photo_id: str) -> list[StoredPair]:
        await self.get(tenant, photo_id)
        return [pair for pair in self.paired if photo_id in (pair.first_id, pair.second_id)]

    async def videos(self, tenant: str, photo_id: str) -> list[Companion]:
        return self.moving.get(photo_id, [])

    async def trash(self, tenant: str, photo_id: str, actor: str) -> Photo:
        found = replace(await self.get(tenant, photo_id), trashed_at=datetime.now(UTC))
        self.photos.known[photo_id] = found
        return found

    async def restore(self, tenant: str, photo_id: str, actor: str) -> Photo:
        found = replace(await self.get(tenant, photo_id), trashed_at=None)
        self.photos.known[photo_id] = found
        return found

    async def delete(self, tenant: str, photo_id: str, actor: str) -> None:
        await self.get(tenant, photo_id)
        del self.photos.known[photo_id]

    async def accept(self, tenant: str, data: bytes, filename: str) -> Accepted:
        if self.broken:
            raise self.broken
        if not data.startswith(b"\xff\xd8"):
            raise UnsupportedMediaError("This is no image.")
        photo_id = hashlib.sha256(data).hexdigest()
        if photo_id in self.photos.known:
            return Accepted(photo_id, self.photos.known[photo_id].status)
        self.accepted.append((data, filename))
        self.photos.known[photo_id] = photo("new", photo_id=photo_id, status="queued")
        return Accepted(photo_id, "queued")

    async def depth(self) -> int:
        return sum(p.status == "queued" for p in self.photos.known.values())


class FakeFetcher:
    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {}

    async def fetch(self, url: str) -> bytes:
        if url not in self.pages:
            raise NotFoundError(f"{url} answered with status 404.")
        return self.pages[url]


class FakeHealth:
    def __init__(self) -> None:
        self.parts = {name: Check(True) for name in ("database", "storage", "encoder", "shards")}

    async def checks(self) -> dict[str, Check]:
        return self.parts


def every_router() -> list[APIRouter]:
    """All routers of serve.api beside those that create_app includes; nothing answers behind."""
    found = []
    for name in sorted(module.name for module in pkgutil.iter_modules(serve.api.__path__)):
        module = importlib.import_module(f"serve.api.{name}")
        for make in vars(module).values():
            here = inspect.isfunction(make) and make.__module__ == module.__name__
            if here and list(inspect.signature(make).parameters)[1:] == ["tenant_of"]:
                found.append(make(None, fixed_tenant("default")))
    return found


@dataclass
class World:
    """An application and everything behind it."""

    serve: ServeConfig = field(default_factory=ServeConfig)
    embedder: FakeEmbedder = field(default_factory=FakeEmbedder)
    routers: Callable[[], Sequence[APIRouter]] = tuple
    tenant: str = "default"
    search: SearchConfig = field(default_factory=lambda: SearchConfig(deadline_ms=200))
    queries: Queries | None = None
    metrics: Metrics = field(default_factory=Metrics)
    others: Others | None = None

    def __post_init__(self) -> None:
        self.photos = FakePhotos([photo(n) for n in NAMES], self.embedder.space)
        self.slots = spread_over(4, NAMES)
        self.library = FakeLibrary(self.photos, self.slots)
        self.fetcher, self.health = FakeFetcher(), FakeHealth()
        self.app = create_app(
            SearchService(self.embedder, self.slots, self.photos, self.search, self.queries),
            self.library,
            self.library,
            self.fetcher,
            self.health,
            tenant_of=fixed_tenant(self.tenant),
            serve=self.serve,
            search=self.search,
            metrics=self.metrics,
            others=self.others,
            routers=self.routers(),
        )

    def client(self) -> httpx.AsyncClient:
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost")
