"""What the HTTP layer needs beside SearchService."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from photoorg.models import IndexVersion, Photo, PhotoStatus
from photoorg.search.comparing import Comparison
from photoorg.space import EmbeddingSpace
from photoorg.stages.compaction import Compacted
from photoorg.stages.versions import State
from photoorg.store.catalog.companions import Companion
from photoorg.store.catalog.pairs import StoredPair
from photoorg.store.catalog.switches import Switch


@dataclass(frozen=True, slots=True)
class Accepted:
    """An upload that is durable, and how far it is.

    The video of a live photo is queued until a still of it is there, which then is in `stills`.
    """

    photo_id: str
    status: PhotoStatus
    kind: Literal["photo", "live_video"] = "photo"
    stills: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """Whether one part works, and what is wrong if it does not."""

    ok: bool
    detail: str = ""


class Photos(Protocol):
    """A tenant's photos."""

    async def get(self, tenant: str, photo_id: str) -> Photo:
        """The photo, or NotFoundError."""

    async def page(
        self, tenant: str, *, after: str | None, limit: int
    ) -> tuple[list[Photo], str | None]:
        """Newest first, and the cursor of the next page; InputError for a made-up cursor."""

    async def thumbnail(self, tenant: str, photo_id: str) -> bytes:
        """WebP bytes, or NotFoundError."""

    async def pairs(self, tenant: str, photo_id: str) -> list[StoredPair]:
        """What belongs together with the photo, or the stills of a video; NotFoundError."""

    async def videos(self, tenant: str, photo_id: str) -> list[Companion]:
        """The videos of a live photo."""

    async def trash(self, tenant: str, photo_id: str, actor: str) -> Photo:
        """Hide the photo from searches and lists until it is restored; NotFoundError."""

    async def restore(self, tenant: str, photo_id: str, actor: str) -> Photo:
        """Take the photo out of the trash; NotFoundError."""

    async def delete(self, tenant: str, photo_id: str, actor: str) -> None:
        """Remove the photo everywhere, at once; NotFoundError."""


class Uploads(Protocol):
    """Takes photos in."""

    async def accept(self, tenant: str, data: bytes, filename: str) -> Accepted:
        """Store durably and queue; the same bytes again are the same photo.

        UnsupportedMediaError if the content is no image format that is read and no video of a live
        photo.
        """

    async def depth(self) -> int:
        """How many uploads wait."""


class Fetcher(Protocol):
    """Gets a photo from a URL."""

    async def fetch(self, url: str) -> bytes:
        """The body; InputError for an address that may not be fetched."""


class Indexes(Protocol):
    """The versions of a tenant's indexes, and what serves."""

    async def state(self, tenant: str) -> State:
        """What there is and what serves."""

    async def spaces(self, tenant: str) -> list[EmbeddingSpace]:
        """Every space the tenant has, or had, vectors in."""

    async def compare(
        self, tenant: str, version: str, queries: int, golden: Mapping[str, str] | None
    ) -> Comparison:
        """Put the same questions to a version and to the one that serves."""

    async def chart(self, tenant: str, version: str) -> bytes:
        """The last comparison of a version as PNG; NotFoundError if there was none."""

    async def activate(
        self, tenant: str, version: str, *, actor: str, force: bool, wait_s: float | None
    ) -> Switch:
        """Let a version serve; IndexNotReadyError, ConflictError."""

    async def rollback(self, tenant: str, *, actor: str, wait_s: float | None) -> Switch:
        """Let serve again what served before; IndexNotReadyError, ConflictError."""

    async def canary(self, tenant: str, version: str, share: float, *, actor: str) -> None:
        """Serve a share of the users from another space's version."""

    async def retire(self, tenant: str, version: str, *, actor: str) -> IndexVersion:
        """Give up a version that is being built or waits; NotFoundError, ConflictError."""

    async def compact(self, tenant: str, shards: int | None, *, actor: str) -> Compacted:
        """Fold the log into a new version that then serves; ConflictError while one runs."""


class Health(Protocol):
    """Looks at every part that a request needs."""

    async def checks(self) -> dict[str, Check]:
        """Part name -> how it is; never raises."""
