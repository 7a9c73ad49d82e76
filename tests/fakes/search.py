"""Deterministic stand-ins for the parts SearchService and the HTTP layer work with."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
from PIL import Image

from photoorg.errors import DecodeError, NoTextSearchError, NotFoundError
from photoorg.models import Exif, Hashes, Photo, Quality
from photoorg.search.embedding import check_box
from photoorg.search.ports import Box, ImageQuery, SlotAnswer, SlotQuery, Vector
from photoorg.space import EmbeddingSpace

DIM = 16
SPACE = EmbeddingSpace("fake", "fake", "none", "1", "none", DIM, modalities=("image", "text"))
MUTE = EmbeddingSpace("mute", "fake", "none", "1", "none", DIM)


def photo_id(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def unit(name: str, dim: int = DIM) -> Vector:
    """A unit vector that depends on the name alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    x_d = np.random.default_rng(seed).standard_normal(dim)
    return (x_d / np.linalg.norm(x_d)).astype(np.float32)


def hashes(name: str, quality: int = 100) -> Hashes:
    raw = hashlib.sha256(b"hash" + name.encode()).digest()
    return Hashes(raw, quality, raw[:8], raw[8:16], raw[16:24])


def photo(name: str, **changes) -> Photo:
    exif = {k: changes.pop(k) for k in ("captured_at", "latitude", "longitude") if k in changes}
    if "captured_at" in exif:
        exif["captured_source"] = "offset_original"
    base = Photo(
        tenant="default",
        photo_id=photo_id(name),
        uri=f"file:///{name}.jpg",
        mime="image/jpeg",
        size=1000,
        width=400,
        height=300,
        status="ready",
        created_at=datetime(2024, 5, 1, tzinfo=UTC),
        exif=Exif(**exif),
        hashes=hashes(name),
        quality=Quality(0.5, 0.5, 0.5, 0.5, 0.5),
        has_thumbnail=True,
    )
    return replace(base, **changes)


def jpeg(name: str, size: tuple[int, int] = (64, 48)) -> bytes:
    """A small real JPEG whose pixels depend on the name alone."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    rgb = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    out = io.BytesIO()
    Image.fromarray(rgb).save(out, "JPEG", quality=90)
    return out.getvalue()


def flip(pdq: bytes, bits: int) -> bytes:
    """A hash with its lowest bits changed."""
    value = int.from_bytes(pdq, "big")
    for bit in range(bits):
        value ^= 1 << bit
    return value.to_bytes(32, "big")


class FakeEmbedder:
    def __init__(self, space: EmbeddingSpace = SPACE, *, delay_s: float = 0.0) -> None:
        self._space = space
        self.delay_s = delay_s

    @property
    def space(self) -> EmbeddingSpace:
        return self._space

    async def embed_image(
        self, data: bytes, box: Box | None = None, *, space: EmbeddingSpace | None = None
    ) -> ImageQuery:
        await asyncio.sleep(self.delay_s)
        if space is not None:
            self._space.require(space.id, "The library")
        try:
            with Image.open(io.BytesIO(data)) as image:
                width, height = image.size
        except OSError:
            raise DecodeError("The bytes are no image.") from None
        if box is not None:
            check_box(box, width, height)
        return ImageQuery(unit(hashlib.sha256(data).hexdigest()), None)

    async def embed_text(self, text: str, *, space: EmbeddingSpace | None = None) -> Vector:
        if space is not None:
            self._space.require(space.id, "The library")
        if not self._space.has_text:
            raise NoTextSearchError("No text here.")
        return unit(text)


class FakeSlot:
    """Exact search over a dict; `delay_s` makes it slow, `error` makes it fail."""

    def __init__(
        self, vectors: Mapping[str, Vector] = (), *, delay_s=0.0, error=None, shards=1, lost=0
    ) -> None:
        self.vectors = dict(vectors)
        self.shards, self.lost = shards, lost
        self.delay_s, self.error = delay_s, error
        self.cancelled = 0
        self.seqs: list[int] = []
        self.scopes: list[object] = []
        self.allowed: set[str] | None = None

    async def search(self, query: SlotQuery) -> SlotAnswer:
        x_d, scope, pool = query.x_d, query.scope, query.pool
        self.seqs.append(query.seq)
        self.scopes.append(scope)
        await self._maybe_break()
        ids = sorted(self.vectors, key=lambda i: (-float(self.vectors[i] @ x_d), i))
        if scope.filter and self.allowed is not None:
            ids = [i for i in ids if i in self.allowed]
        if scope.ceiling is not None:
            ids = [i for i in ids if float(self.vectors[i] @ x_d) <= scope.ceiling]
        whole, ids = len(ids) <= pool, ids[:pool]
        dim = query.space.dim
        x_nd = np.array([self.vectors[i] for i in ids], np.float32).reshape(-1, dim)
        half = x_nd.astype(np.float16)
        return SlotAnswer(tuple(ids), x_nd @ x_d, half, self.shards, self.lost, whole)

    async def vector(self, tenant, space, photo_id, *, seq) -> Vector | None:
        await self._maybe_break()
        return self.vectors.get(photo_id)

    async def _maybe_break(self) -> None:
        try:
            await asyncio.sleep(self.delay_s)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.error is not None:
            raise self.error


class FakePhotos:
    def __init__(self, photos: Sequence[Photo] = (), space: EmbeddingSpace | None = SPACE) -> None:
        self.known = {p.photo_id: p for p in photos}
        self.originals: dict[str, bytes] = {}
        self.tenant_space = space
        self.seq = 0

    async def head(self, tenant: str) -> int:
        return self.seq

    async def photos(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Photo]:
        return {i: self.known[i] for i in ids if i in self.known}

    async def space(self, tenant: str, user: str = "") -> EmbeddingSpace | None:
        return self.tenant_space

    async def original(self, tenant: str, photo_id: str) -> bytes:
        if photo_id not in self.originals:
            raise NotFoundError("no bytes")
        return self.originals[photo_id]


def spread_over(slots: int, names: Sequence[str]) -> list[FakeSlot]:
    """Each name's vector in the slot its id belongs to."""
    shares: list[dict[str, Vector]] = [{} for _ in range(slots)]
    for name in names:
        shares[int(photo_id(name)[:16], 16) % slots][photo_id(name)] = unit(name)
    return [FakeSlot(share) for share in shares]
