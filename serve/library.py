"""Photos and uploads over the catalog and the object store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from photoorg.config import ImagingConfig
from photoorg.errors import NotFoundError
from photoorg.imaging.sniff import sniff
from photoorg.models import Photo, PhotoStatus
from photoorg.stages.companions import LiveVideo, accept_video, live_video
from photoorg.stages.promising import promise
from photoorg.stages.purging import remove_left_blobs
from photoorg.store.catalog import (
    Catalog,
    Transaction,
    audit,
    companions,
    delta,
    pairs,
    photos,
    trash,
    uploads,
)
from photoorg.store.catalog.companions import Companion
from photoorg.store.catalog.pairs import StoredPair
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore
from serve.auth import NOBODY
from serve.ports import Accepted
from serve.threads import CatalogThreads

THREADS = 8


class Library:
    """A tenant's photos: look, add, delete. Blocking work runs on threads of its own."""

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        *,
        imaging: ImagingConfig | None = None,
        wake: Callable[[], None] | None = None,
    ) -> None:
        self._imaging = imaging or ImagingConfig()
        self._catalog = catalog
        self._store = store
        self._wake = wake
        self._threads = CatalogThreads(catalog, THREADS)

    async def get(self, tenant: str, photo_id: str) -> Photo:
        """The photo, or NotFoundError."""
        return await self._threads.call(self._get, tenant, photo_id)

    async def page(
        self, tenant: str, *, after: str | None, limit: int
    ) -> tuple[list[Photo], str | None]:
        """Newest first, and the cursor of the next page; InputError for a made-up cursor."""
        return await self._threads.call(self._page, tenant, after, limit)

    async def thumbnail(self, tenant: str, photo_id: str) -> bytes:
        """WebP bytes, or NotFoundError."""
        return await self._threads.call(self._thumbnail, tenant, photo_id)

    async def pairs(self, tenant: str, photo_id: str) -> list[StoredPair]:
        """What belongs together with the photo, or the stills of a video; NotFoundError."""
        return await self._threads.call(self._pairs, tenant, photo_id)

    async def videos(self, tenant: str, photo_id: str) -> list[Companion]:
        """The videos of a live photo."""
        return await self._threads.call(self._videos, tenant, photo_id)

    async def trash(self, tenant: str, photo_id: str, actor: str = NOBODY) -> Photo:
        """Hide the photo from searches and lists until it is restored; NotFoundError."""
        return await self._threads.call(self._set_trashed, tenant, photo_id, actor, True)

    async def restore(self, tenant: str, photo_id: str, actor: str = NOBODY) -> Photo:
        """Take the photo out of the trash; NotFoundError."""
        return await self._threads.call(self._set_trashed, tenant, photo_id, actor, False)

    async def delete(self, tenant: str, photo_id: str, actor: str = NOBODY) -> None:
        """Remove the row (the photo is gone for every query from here on), then its files.

        Also takes the video of a live photo alone.
        """
        await self._threads.call(self._delete, tenant, photo_id, actor)

    async def accept(self, tenant: str, data: bytes, filename: str) -> Accepted:
        """Store durably and queue; UnsupportedMediaError if no photo or live video is in it."""
        accepted = await self._threads.call(self._accept, tenant, data, filename)
        if self._wake is not None and accepted.kind == "photo" and accepted.status == "queued":
            self._wake()
        return accepted

    async def depth(self) -> int:
        """How many uploads wait."""
        return await self._threads.call(self._depth)

    def close(self) -> None:
        """Let the threads end."""
        self._threads.close()

    def _get(self, tenant: str, photo_id: str) -> Photo:
        with self._catalog.tenant(tenant) as tx:
            photo = photos.get(tx, photo_id)
            if photo is None:
                raise _no_photo(tx, photo_id)
        return photo

    def _page(self, tenant: str, after: str | None, limit: int) -> tuple[list[Photo], str | None]:
        with self._catalog.tenant(tenant) as tx:
            return photos.page(tx, after=after, limit=limit)

    def _thumbnail(self, tenant: str, photo_id: str) -> bytes:
        photo = self._get(tenant, photo_id)
        if not photo.has_thumbnail:
            raise NotFoundError(
                f"Photo {photo_id!r} has no thumbnail (its status is {photo.status!r}).",
                fix="Wait until its status is ready.",
            )
        return self._store.read(thumb_path(tenant, photo_id))

    def _pairs(self, tenant: str, photo_id: str) -> list[StoredPair]:
        with self._catalog.tenant(tenant) as tx:
            if photos.get(tx, photo_id) is None and not companions.exists(tx, photo_id):
                raise unknown(photo_id)
            return pairs.of_photo(tx, photo_id)

    def _videos(self, tenant: str, photo_id: str) -> list[Companion]:
        with self._catalog.tenant(tenant) as tx:
            return companions.of_still(tx, photo_id)

    def _set_trashed(self, tenant: str, photo_id: str, actor: str, trashed: bool) -> Photo:
        with self._catalog.tenant(tenant) as tx:
            changed = (trash.put if trashed else trash.restore)(tx, [photo_id])
            if changed:
                action = "photo.trash" if trashed else "photo.restore"
                audit.record(tx, actor, action, "photo", photo_id)
        return self._get(tenant, photo_id)

    def _delete(self, tenant: str, photo_id: str, actor: str) -> None:
        """The row first; then the files, unless the same bytes were uploaded again meanwhile."""
        with self._catalog.tenant(tenant) as tx:
            delta.lock(tx)
            if photos.delete(tx, photo_id):
                audit.record(tx, actor, "photo.delete", "photo", photo_id)
            elif companions.exists(tx, photo_id):
                companions.remove(tx, [photo_id])
                audit.record(tx, actor, "video.delete", "companion", photo_id)
            else:
                raise unknown(photo_id)
        remove_left_blobs(self._catalog, self._store, tenant)

    def _accept(self, tenant: str, data: bytes, filename: str) -> Accepted:
        video = live_video(data, max_seconds=self._imaging.live_video_seconds)
        if video is not None:
            return self._accept_video(tenant, data, video)
        return self._accept_photo(tenant, data, filename)

    def _accept_video(self, tenant: str, data: bytes, video: LiveVideo) -> Accepted:
        stills = accept_video(self._catalog, self._store, tenant, data, video)
        status: PhotoStatus = "ready" if stills else "queued"
        return Accepted(video.companion_id, status, "live_video", tuple(stills))

    def _accept_photo(self, tenant: str, data: bytes, filename: str) -> Accepted:
        """The blob first, then the row: a crash between the two leaves a blob and no promise.

        The blob is looked at again while none may be removed, so that a delete of the same photo
        cannot remove it after its new row was written.
        """
        mime = sniff(data)
        photo_id = hashlib.sha256(data).hexdigest()
        path = blob_path(tenant, photo_id)
        self._store.write(path, data, if_absent=True)
        with self._catalog.tenant(tenant) as tx:
            promise(tx, self._store, photo_id, data)
            delta.lock(tx)
            status = uploads.enqueue(
                tx, photo_id=photo_id, uri=path, mime=mime, size=len(data), filename=filename[-255:]
            )
            trash.restore(tx, [photo_id])
        return Accepted(photo_id, status)

    def _depth(self) -> int:
        with self._catalog.worker() as tx:
            return uploads.depth(tx)


def _no_photo(tx: Transaction, photo_id: str) -> NotFoundError:
    """The error for an id that names no photo, which tells where a video is to be looked for."""
    if not companions.exists(tx, photo_id):
        return unknown(photo_id)
    stills = [pair.photo_id for pair in companions.of_photo(tx, photo_id)]
    if not stills:
        return NotFoundError(
            f"{photo_id!r} is the video of a live photo, and waits for its still.",
            fix="Upload or ingest the still; the two are joined as soon as it is processed.",
        )
    return NotFoundError(
        f"{photo_id!r} is the video of a live photo, not a photo of its own.",
        fix=f"Look at its still: {', '.join(stills)}.",
    )


def unknown(photo_id: str) -> NotFoundError:
    """The error for an id that names no photo of the tenant."""
    return NotFoundError(
        f"There is no photo {photo_id!r}.",
        fix="Search results and GET /v1/photos show the ids there are.",
    )
