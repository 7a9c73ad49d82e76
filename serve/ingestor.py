"""The Ingestor: takes uploads off the queue and runs them through the ingest stages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from photoorg.errors import CatalogError, PhotoOrgError
from photoorg.models import Photo, Rejection
from photoorg.space import EmbeddingSpace
from photoorg.stages.online import OnlineResult
from photoorg.store.catalog import Catalog, delta, photos, spaces, uploads
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore
from serve.metrics import Metrics

log = logging.getLogger(__name__)
POLL_S = 0.5
PAUSE_S = 5.0
"""Wait after the database failed, before it is asked again."""


class Line(Protocol):
    """One tenant's ingest stages (photoorg.stages.online.OnlineIngest)."""

    def process(
        self, data: bytes, *, uri: str, filename: str, uploaded_at: Any = None
    ) -> OnlineResult:
        """What the bytes became; never raises for a bad file."""


class Ingestor:
    """Works the queue until stopped; any number of them may run, on any machines.

    At least once: a photo whose worker dies is taken again when its lease runs out, and one that
    breaks every worker is failed in the end. What a photo became, its vector in the change log, and
    its leaving the queue are one transaction.
    """

    def __init__(
        self,
        catalog: Catalog,
        store: ObjectStore,
        line_of: Callable[[str], Line],
        space: EmbeddingSpace | None,
        *,
        workers: int = 1,
        lease_s: float = 120.0,
        attempts: int = 5,
        metrics: Metrics | None = None,
    ) -> None:
        self._catalog = catalog
        self._store = store
        self._line_of = line_of
        self._space = space
        self._workers = workers
        self._lease_s = lease_s
        self._attempts = attempts
        self._metrics = metrics or Metrics()
        self._lines: dict[str, Line] = {}
        self._known: set[str] = set()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="ingest")
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to work, on the running event loop."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._work()) for _ in range(self._workers)]

    def wake(self) -> None:
        """Look at the queue now instead of at the next poll."""
        self._wake.set()

    async def stop(self) -> None:
        """Finish the photos in work, take no more."""
        for task in self._tasks:
            task.cancel()
        for task in self._tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._threads.shutdown(wait=True, cancel_futures=True)

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                took = await loop.run_in_executor(self._threads, self.step)
            except CatalogError as error:
                log.warning("the upload queue cannot be read: %s", error)
                await asyncio.sleep(PAUSE_S)
                continue
            except Exception:  # the end of a photo: its lease brings it back, the others go on
                log.exception("an upload could not be worked on")
                await asyncio.sleep(POLL_S)
                continue
            if not took:
                self._wake.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), POLL_S)

    def step(self) -> bool:
        """Take one photo off the queue and process it; False if none waits."""
        with self._catalog.worker() as tx:
            taken = uploads.claim(tx, 1, self._lease_s, max_attempts=self._attempts)
        if not taken:
            return uploads.give_up(self._catalog, max_attempts=self._attempts) > 0
        for tenant, photo_id in taken:
            outcome = self._process(tenant, photo_id)
            self._metrics.ingested.labels(outcome).inc()
            log.info("upload %s of %s: %s", photo_id, tenant, outcome)
        return True

    def _process(self, tenant: str, photo_id: str) -> str:
        with self._catalog.tenant(tenant) as tx:
            photo = photos.get(tx, photo_id)
        if photo is None:
            return "deleted"
        try:
            data = self._store.read(blob_path(tenant, photo_id))
            line = self._lines.get(tenant) or self._lines.setdefault(tenant, self._line_of(tenant))
            result = line.process(
                data, uri=photo.uri, filename=photo.filename, uploaded_at=photo.created_at
            )
        except PhotoOrgError as error:
            rejection = Rejection(photo_id, "ingest", str(error), error.retryable, error.code)
            return self._fail(tenant, photo_id, rejection)
        if result.rejection is not None:
            return self._fail(tenant, photo_id, result.rejection)
        return self._finish(tenant, photo, result)

    def _fail(self, tenant: str, photo_id: str, rejection: Rejection) -> str:
        with self._catalog.tenant(tenant) as tx:
            status = uploads.fail(tx, photo_id, rejection, max_attempts=self._attempts)
        return {"queued": "retry", "failed": "failed"}.get(status or "", "deleted")

    def _finish(self, tenant: str, photo: Photo, result: OnlineResult) -> str:
        assert result.photos is not None
        status = result.photos["status"][0].as_py()
        self._register(tenant)
        with self._catalog.tenant(tenant) as tx:
            done = uploads.finish(tx, photo.photo_id, status, result.photos)
            if done and result.vector is not None and self._space is not None:
                delta.add(tx, self._space.id, [photo.photo_id], result.vector[None])
        if done:
            return str(status)
        with self._catalog.tenant(tenant) as tx:
            delta.lock(tx)
            if photos.get(tx, photo.photo_id) is None:
                self._store.delete(thumb_path(tenant, photo.photo_id))
        return "deleted"

    def _register(self, tenant: str) -> None:
        """Make the space known, and the tenant's default if it has none yet."""
        if self._space is None or tenant in self._known:
            return
        with self._catalog.tenant(tenant) as tx:
            spaces.register(tx, self._space)
            if spaces.get_default(tx, self._space.kind) is None:
                spaces.set_default(tx, self._space.id, self._space.kind)
        self._known.add(tenant)
