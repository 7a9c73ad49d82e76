"""What SearchService needs of others; the same whether they live in this process or behind Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.models import Hashes, Hit, Photo
from photoorg.space import EmbeddingSpace

Vector = NDArray[np.float32]
Mode = Literal["hybrid", "keyword", "semantic"]


@dataclass(frozen=True, slots=True)
class Box:
    """A crop in pixels of the upright original: left, top, width, height."""

    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class ImageQuery:
    """An embedded query image: unit-norm `vector` [dim]; `hashes` of the whole, None of a crop."""

    vector: Vector
    hashes: Hashes | None = None


@dataclass(frozen=True, slots=True)
class Scope:
    """Which photos a slot may find.

    `filter` is the JSON of a filter ("" allows all), looked up as the catalog is at change number
    `revision` or later. `ceiling` leaves out cosines above it, of which there are about `above`:
    what earlier pages were taken from.
    """

    filter: str = ""
    revision: int = 0
    ceiling: float | None = None
    above: int = 0


EVERYTHING = Scope()


@dataclass(frozen=True, slots=True)
class SlotQuery:
    """One search of a tenant's photos in a space, by the unit-norm vector `x_d` [dim].

    The `k` best photos are wanted for sure and up to `pool` good ones (0: k), of which after the
    k-th some may be missing. Every change up to log position `seq` is counted in; of all photos
    only those in `scope` count.
    """

    tenant: str
    space: EmbeddingSpace
    x_d: Vector
    k: int
    pool: int = 0
    seq: int = 0
    scope: Scope = EVERYTHING


@dataclass(frozen=True, slots=True)
class SlotAnswer:
    """The best photos of one slot, best first.

    `ids` has n photo ids, `scores` [n] their cosines, `vectors` [n, dim] what they are: float32, or
    float16 where they travelled. `shards` were searched, `lost` could not be. `whole` says that
    there is nothing more to find. The vectors are those of whole photos; `views` [n] numbers the
    view of each photo that scored, None where photos have one.
    """

    ids: tuple[str, ...]
    scores: NDArray[np.float32]
    vectors: NDArray[np.float32] | NDArray[np.float16]
    shards: int = 1
    lost: int = 0
    whole: bool = False
    views: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True)
class SearchAnswer:
    """What a search found. `partial` says that some shards did not answer in time.

    `next_cursor` asks for the next page, None after the last one. `notes` tell in words how the
    question was read. `mode` is hybrid, keyword or semantic.
    """

    hits: tuple[Hit, ...]
    space: str
    partial: bool
    shards_answered: int
    shards_total: int
    latency_ms: float
    next_cursor: str | None = None
    notes: tuple[str, ...] = ()
    mode: Mode = "semantic"


class Embedder(Protocol):
    """Queries to vectors: of its own space, and of others while a library moves.

    SpaceMismatchError or EncoderUnavailableError for a space it has no encoder of.
    """

    @property
    def space(self) -> EmbeddingSpace:
        """The space of its vectors where none is named."""

    async def embed_image(
        self, data: bytes, box: Box | None = None, *, space: EmbeddingSpace | None = None
    ) -> ImageQuery:
        """Decode, crop and embed; DecodeError, InputError for a box outside the image."""

    async def embed_text(self, text: str, *, space: EmbeddingSpace | None = None) -> Vector:
        """Unit-norm [dim]; NoTextSearchError where the space has no text."""


class Slot(Protocol):
    """One shard slot: a fixed share of every tenant's photos."""

    async def search(self, query: SlotQuery) -> SlotAnswer:
        """The best photos of the slot for the query."""

    async def vector(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, *, seq: int
    ) -> Vector | None:
        """The photo's unit-norm vector, None if it is not in this slot."""


class PhotoReader(Protocol):
    """What is known about photos."""

    async def head(self, tenant: str) -> int:
        """Position of the tenant's last change, read after the call was made."""

    async def photos(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Photo]:
        """The photos that exist; deleted and unknown ids are left out."""

    async def space(self, tenant: str, user: str = "") -> EmbeddingSpace | None:
        """The space the tenant's photos are searched in, None before the first one.

        Another one for the share of the users a canary serves, always the same ones.
        """

    async def original(self, tenant: str, photo_id: str) -> bytes:
        """The photo's bytes; NotFoundError."""
