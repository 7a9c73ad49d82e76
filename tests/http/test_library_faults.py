"""Uploads while the store fails, a photo takes long, or nothing answers."""

from __future__ import annotations

import asyncio
import time

import pytest

from photoorg.config import StorageConfig
from photoorg.errors import StorageError
from photoorg.store.catalog import uploads
from photoorg.store.objects import ObjectStore
from serve.ingestor import Ingestor
from serve.library import Library
from tests.fakes.line import T
from tests.fakes.search import SPACE, jpeg
from tests.livephotos import video

pytestmark = pytest.mark.postgres


async def test_a_store_that_fails_for_a_while_costs_no_upload(library, ingestor, line, catalog):
    line.error = StorageError("S3 is slow.", retryable=True)
    accepted = await library.accept(T, jpeg("new"), "a.jpg")
    assert ingestor.step()
    assert (await library.get(T, accepted.photo_id)).status in ("queued", "processing")
    line.error = None
    with catalog.worker() as tx:
        uploads.extend(tx, [(T, accepted.photo_id)], 0)
    assert ingestor.step()
    assert (await library.get(T, accepted.photo_id)).status == "ready"


async def test_a_photo_that_takes_long_is_not_worked_on_twice_at_once(
    catalog, library, line, store
):
    accepted = await library.accept(T, jpeg("slow"), "")
    line.meanwhile = lambda: time.sleep(2.5)
    workers = [
        Ingestor(catalog, store, lambda tenant: line, SPACE, lease_s=0.5, attempts=2)
        for _ in range(2)
    ]
    for worker in workers:
        worker.start()
    async with asyncio.timeout(30):
        while await library.depth():
            await asyncio.sleep(0.02)
    for worker in workers:
        await worker.stop()
    assert len(line.seen) == 1
    assert (await library.get(T, accepted.photo_id)).status == "ready"


class Moody(ObjectStore):
    """A store that cannot be read while it has an error."""

    error: StorageError | None = None

    def read(self, path: str) -> bytes:
        if self.error is not None:
            raise self.error
        return super().read(path)


@pytest.mark.parametrize("retryable", [True, False])
async def test_uploads_wait_as_long_as_the_store_cannot_be_read(catalog, store, line, retryable):
    moody = Moody(StorageConfig(root=store.root))
    library = Library(catalog, moody)
    ingestor = Ingestor(catalog, moody, lambda tenant: line, SPACE, attempts=2)
    accepted = await library.accept(T, jpeg("new"), "a.jpg")
    moody.error = StorageError("The session token has expired.", retryable=retryable)
    for _ in range(4):
        assert ingestor.step()
        assert not ingestor.step(), "it is not asked for again at once"
        with catalog.worker() as tx:
            uploads.extend(tx, [(T, accepted.photo_id)], 0)
    moody.error = None
    assert ingestor.step()
    assert (await library.get(T, accepted.photo_id)).status == "ready"
    library.close()


class Silent(ObjectStore):
    """A store that does not answer whether an object is there."""

    def exists(self, path: str) -> bool:
        raise AssertionError(f"{path} is asked for")


@pytest.mark.parametrize("data", [jpeg("new"), video("ONE")], ids=["photo", "video"])
async def test_no_connection_to_the_database_waits_for_the_store(catalog, store, data):
    silent = Silent(StorageConfig(root=store.root))
    library = Library(catalog, silent)
    accepted = await library.accept(T, data, "a")
    await library.accept(T, data, "again")
    await library.delete(T, accepted.photo_id)
    with pytest.raises(AssertionError, match="asked for"):
        await library.accept(T, data, "after a removal it has to be")
    library.close()
