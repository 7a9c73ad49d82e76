"""The Ingestor: takes uploads off the queue and runs them through the ingest stages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from photoorg.encoders.base import Encoder
from photoorg.encoders.several import SpaceEncoders
from photoorg.errors import CatalogError, PhotoOrgError, StorageError
from photoorg.models import Photo, Rejection
from photoorg.space import EmbeddingSpace
from photoorg.stages.companions import join
from photoorg.stages.online import OnlineResult
from photoorg.stages.presence import missing_files
from photoorg.store.catalog import (
    Catalog,
    Transaction,
    delta,
    indexes,
    photos,
    spaces,
    uploads,
)
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore
from serve.metrics import Metrics

log = logging.getLogger(__name__)
POLL_S = 0.5
ABSENT_S = 60.0
"""How long an encoder that was not to be had is not asked for again."""
MOST_LEASES = 10
"""For so many leases a photo is held while it is worked on; then others may take it."""
STORE_PAUSE_S = 15.0
"""After the store failed, before a photo is taken again; it costs no attempt."""
PAUSE_S = 5.0
"""Wait after the database failed, before it is asked again."""


class Line(Protocol):
    """One tenant's ingest stages (photoorg.stages.online.OnlineIngest)."""

    def process(
        self,
        data: bytes,
        *,
        uri: str,
        filename: str,
        uploaded_at: Any = None,
        also: Sequence[Encoder] = (),
    ) -> OnlineResult:
        """What the bytes became, also in the spaces of further encoders; never raises."""


class Following(Protocol):
    """What is done once no upload waits (photoorg.curate.catching_up.CatchingUp)."""

    def touched(self, tenant: str) -> None:
        """A photo of the tenant was processed."""

    def run(self) -> Sequence[str]:
        """Do what waits; never raises."""


class Ingestor:
    """Works the queue until stopped; any number of them may run, on any machines.

    At least once: a photo whose worker dies is taken again when its lease runs out, and one that
    breaks every worker is failed in the end. What a photo became, its vector in the change log, and
    its leaving the queue are one transaction. A photo gets a vector in every space that has an
    index in use or under construction, so that none is missing after a migration.
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
        encoders: SpaceEncoders | None = None,
        following: Following | None = None,
    ) -> None:
        self._encoders = encoders
        self._following = following
        self._absent: dict[str, float] = {}
        self._catalog = catalog
        self._store = store
        self._line_of = line_of
        self._space = space
        self._workers = workers
        self._lease_s = lease_s
        self._attempts = attempts
        self._metrics = metrics or Metrics()
        self._lines: dict[str, Line] = {}
        self._interrupted: deque[tuple[str, str]] = deque()
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
                if not took and self._following is not None:
                    await loop.run_in_executor(self._threads, self._following.run)
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
        taken = self._taken()
        if not taken:
            return uploads.give_up(self._catalog, max_attempts=self._attempts) > 0
        for tenant, photo_id in taken:
            try:
                with self._held(tenant, photo_id):
                    outcome = self._process(tenant, photo_id)
            except CatalogError:
                # It stays ours until its lease runs out: no need to wait for that.
                self._interrupted.append((tenant, photo_id))
                raise
            self._metrics.ingested.labels(outcome).inc()
            if self._following is not None and outcome in ("ready", "partial"):
                self._following.touched(tenant)
            log.info("upload %s of %s: %s", photo_id, tenant, outcome)
        return True

    def _taken(self) -> Sequence[tuple[str, str]]:
        """A photo that a lost database interrupted, else the next of the queue."""
        with contextlib.suppress(IndexError):
            return [self._interrupted.popleft()]
        with self._catalog.worker() as tx:
            return uploads.claim(tx, 1, self._lease_s, max_attempts=self._attempts)

    @contextlib.contextmanager
    def _held(self, tenant: str, photo_id: str) -> Iterator[None]:
        """Extend the lease while the block runs: a slow photo is not worked on twice at once."""
        done = threading.Event()

        def hold() -> None:
            every = self._lease_s / 3
            for _ in range(3 * MOST_LEASES):
                if done.wait(every):
                    return
                with contextlib.suppress(CatalogError), self._catalog.worker() as tx:
                    uploads.extend(tx, [(tenant, photo_id)], self._lease_s)

        thread = threading.Thread(target=hold, name="ingest-lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _process(self, tenant: str, photo_id: str) -> str:
        with self._catalog.tenant(tenant) as tx:
            photo = photos.get(tx, photo_id)
        if photo is None:
            return "deleted"
        try:
            data = self._store.read(blob_path(tenant, photo_id))
            line = self._lines.get(tenant) or self._lines.setdefault(tenant, self._line_of(tenant))
        except StorageError as error:
            log.warning("upload %s of %s cannot be read: %s", photo_id, tenant, error)
            with self._catalog.tenant(tenant) as tx:
                uploads.postpone(tx, photo_id, STORE_PAUSE_S)
            return "postponed"
        except PhotoOrgError as error:
            rejection = Rejection(photo_id, "ingest", str(error), error.retryable, error.code)
            return self._fail(tenant, photo_id, rejection)
        also: list[Encoder] = []
        while True:
            result = self._through(line, data, photo, also)
            if result.rejection is not None:
                return self._fail(tenant, photo_id, result.rejection)
            tried = {encoder.space.id for encoder in also}
            outcome, lacking = self._finish(tenant, photo, result, tried)
            if not lacking:
                return outcome
            # A migration began since the encoders were chosen.
            also += [e for e in map(self._encoder, lacking) if e is not None]

    def _through(
        self, line: Line, data: bytes, photo: Photo, also: Sequence[Encoder]
    ) -> OnlineResult:
        more = {"also": also} if also else {}
        try:
            return line.process(
                data, uri=photo.uri, filename=photo.filename, uploaded_at=photo.created_at, **more
            )
        except PhotoOrgError as error:
            why = Rejection(photo.photo_id, "ingest", str(error), error.retryable, error.code)
            return OnlineResult(None, None, why)

    def _encoder(self, space: EmbeddingSpace) -> Encoder | None:
        """The encoder of a further space; None, for a while, if it is not to be had here."""
        try:
            assert self._encoders is not None, "without encoders no space is lacking"
            return self._encoders.of(space)
        except PhotoOrgError as error:
            log.warning("uploads cannot be embedded in %s: %s", space.id, error)
            self._absent[space.id] = time.monotonic()
            return None

    def _fail(self, tenant: str, photo_id: str, rejection: Rejection) -> str:
        with self._catalog.tenant(tenant) as tx:
            status = uploads.fail(tx, photo_id, rejection, max_attempts=self._attempts)
        return {"queued": "retry", "failed": "failed"}.get(status or "", "deleted")

    def _finish(
        self, tenant: str, photo: Photo, result: OnlineResult, tried: set[str]
    ) -> tuple[str, list[EmbeddingSpace]]:
        """Outcome; or, with nothing written, the spaces in which a vector is still lacking."""
        assert result.photos is not None
        status = result.photos["status"][0].as_py()
        self._register(tenant)
        with self._catalog.tenant(tenant) as tx:
            if missing_files(tx, self._store, result.photos, stored=False).thumbnails:
                # Deleted and uploaded again meanwhile: the files of this attempt went with it.
                uploads.extend(tx, [(tenant, photo.photo_id)], 0.0)
                return "retry", []
            # Under the lock of the log, under which a migration begins too.
            delta.lock(tx)
            live = indexes.live_spaces(tx)
            lacking = self._lacking(live, result, tried)
            if lacking:
                return "", lacking
            done = uploads.finish(tx, photo.photo_id, status, result.photos)
            if done:
                join(tx, photo.photo_id)
                self._log_vectors(tx, photo.photo_id, result, live)
        return self._outcome(tenant, photo, status, done=done), []

    def _lacking(
        self, live: Sequence[EmbeddingSpace], result: OnlineResult, tried: set[str]
    ) -> list[EmbeddingSpace]:
        if self._encoders is None or result.vector is None or self._space is None:
            return []
        now = time.monotonic()
        there = {self._space.id, *result.others, *tried}
        there |= {i for i, when in self._absent.items() if now - when < ABSENT_S}
        return [space for space in live if space.id not in there]

    def _log_vectors(
        self,
        tx: Transaction,
        photo_id: str,
        result: OnlineResult,
        live: Sequence[EmbeddingSpace],
    ) -> None:
        if result.vector is not None and self._space is not None:
            default = spaces.get_default(tx, self._space.kind)
            # After a migration the configured space may be one that nobody searches any more.
            if default is None or default.id == self._space.id or self._space in live:
                delta.add(tx, self._space.id, [photo_id], result.vector[None])
        for space_id, x_d in result.others.items():
            delta.add(tx, space_id, [photo_id], x_d[None])

    def _outcome(self, tenant: str, photo: Photo, status: object, *, done: bool) -> str:
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
