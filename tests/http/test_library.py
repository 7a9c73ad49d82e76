"""Library and Ingestor over a real PostgreSQL and a real folder: uploads from bytes to search."""

from __future__ import annotations

import asyncio
import hashlib

import numpy as np
import pyarrow as pa
import pytest

from photoorg.errors import (
    CatalogError,
    DecodeError,
    InputError,
    NotFoundError,
    UnsupportedMediaError,
)
from photoorg.models import Rejection
from photoorg.schema import COMPANION, LIVE_VIDEO
from photoorg.stages.companions import pair_videos
from photoorg.store.catalog import delta, photos, spaces, uploads
from photoorg.store.layout import blob_path, thumb_path
from serve.ingestor import Ingestor
from tests.catalog import rows
from tests.fakes.line import T
from tests.fakes.search import SPACE, jpeg, unit

pytestmark = pytest.mark.postgres


def events(catalog) -> list[tuple[str, str]]:
    with catalog.tenant(T) as tx:
        return [(e.op, e.photo_id) for e in delta.since(tx, SPACE.id, 0)]


async def test_an_accepted_upload_is_a_blob_and_a_queued_row(library, store):
    data = jpeg("new")
    accepted = await library.accept(T, data, "IMG_1.jpg")
    photo = await library.get(T, accepted.photo_id)
    assert (accepted.status, photo.status, photo.filename) == ("queued", "queued", "IMG_1.jpg")
    assert photo.mime == "image/jpeg" and photo.size == len(data)
    assert store.read(blob_path(T, accepted.photo_id)) == data
    assert await library.depth() == 1


async def test_the_same_bytes_many_times_at_once_are_one_photo(library):
    accepted = await asyncio.gather(*(library.accept(T, jpeg("new"), "a.jpg") for _ in range(8)))
    assert len({a.photo_id for a in accepted}) == 1 and await library.depth() == 1


async def test_two_tenants_hold_the_same_photo_without_knowing(library):
    one, two = (
        await library.accept("one", jpeg("x"), ""),
        await library.accept("two", jpeg("x"), ""),
    )
    await library.delete("one", one.photo_id)
    assert (await library.get("two", two.photo_id)).status == "queued"
    with pytest.raises(NotFoundError):
        await library.get("one", one.photo_id)


@pytest.mark.parametrize(("data", "kind"), [(b"hello", UnsupportedMediaError), (b"", DecodeError)])
async def test_what_is_no_image_leaves_nothing_behind(library, store, data, kind):
    with pytest.raises(kind):
        await library.accept(T, data, "a.jpg")
    assert list(store.list("")) == [] and await library.depth() == 0


async def test_a_crash_between_blob_and_row_loses_nothing_that_was_promised(library, store):
    data = jpeg("new")
    digest = hashlib.sha256(data).hexdigest()
    store.write(blob_path(T, digest), data)
    with pytest.raises(NotFoundError):
        await library.get(T, digest)
    assert (await library.accept(T, data, "a.jpg")).photo_id == digest
    assert store.read(blob_path(T, digest)) == data


async def test_an_upload_that_a_lost_database_interrupted_goes_on_at_once(
    library, ingestor, line, monkeypatch
):
    accepted = await library.accept(T, jpeg("new"), "")
    with monkeypatch.context() as patch:

        def gone(*_: object) -> None:
            raise CatalogError("The database is gone.")

        patch.setattr(uploads, "finish", gone)
        with pytest.raises(CatalogError):
            ingestor.step()
    assert (await library.get(T, accepted.photo_id)).status == "processing"
    assert ingestor.step() and not ingestor.step()
    assert (await library.get(T, accepted.photo_id)).status == "ready"


class Follower:
    """Notes what an ingestor tells it."""

    def __init__(self) -> None:
        self.tenants: list[str] = []
        self.ran = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def touched(self, tenant: str) -> None:
        self.tenants.append(tenant)

    def run(self) -> list[str]:
        if self.tenants:
            self._loop.call_soon_threadsafe(self.ran.set)
        return []


async def test_what_follows_an_upload_runs_once_the_queue_is_empty(library, catalog, store, line):
    await library.accept(T, jpeg("new"), "IMG_1.jpg")
    follower = Follower()
    ingestor = Ingestor(catalog, store, lambda tenant: line, SPACE, following=follower)
    ingestor.start()
    try:
        await asyncio.wait_for(follower.ran.wait(), 30)
    finally:
        await ingestor.stop()
    assert follower.tenants == [T] and await library.depth() == 0


async def test_a_processed_upload_is_ready_with_its_vector_in_the_log(
    library, ingestor, line, catalog, store
):
    accepted = await library.accept(T, jpeg("new"), "IMG_1.jpg")
    assert ingestor.step() and not ingestor.step()
    assert line.seen == [(blob_path(T, accepted.photo_id), "IMG_1.jpg")]
    photo = await library.get(T, accepted.photo_id)
    assert photo.status == "ready" and photo.filename == "IMG_1.jpg"
    assert await library.thumbnail(T, accepted.photo_id) == b"RIFFwebp"
    assert events(catalog) == [("add", accepted.photo_id)] and await library.depth() == 0
    assert (await library.accept(T, jpeg("new"), "again.jpg")).status == "ready"
    with catalog.tenant(T) as tx:
        assert spaces.get_default(tx, "image") == SPACE
        (event,) = delta.since(tx, SPACE.id, 0)
        np.testing.assert_allclose(event.vector, unit(accepted.photo_id), atol=1e-3)
        assert photos.blob_of(tx, accepted.photo_id) == blob_path(T, accepted.photo_id)


async def test_a_bad_upload_is_failed_with_its_reason(library, ingestor, line, catalog):
    line.rejection = Rejection("k", "decode", "The file ends too early.")
    accepted = await library.accept(T, jpeg("new"), "a.jpg")
    ingestor.step()
    photo = await library.get(T, accepted.photo_id)
    assert (photo.status, photo.reason) == ("failed", "The file ends too early.")
    assert events(catalog) == []


async def test_an_upload_that_breaks_every_worker_is_given_up(library, ingestor, line, catalog):
    line.error = MemoryError("too much")
    accepted = await library.accept(T, jpeg("new"), "a.jpg")
    for _ in range(3):
        with pytest.raises(MemoryError):
            ingestor.step()
        with catalog.worker() as tx:
            uploads.extend(tx, [(T, accepted.photo_id)], 0)
    ingestor.step()
    assert (await library.get(T, accepted.photo_id)).status == "failed"
    assert await library.depth() == 0


async def test_a_photo_deleted_while_it_is_processed_stays_deleted(
    library, ingestor, line, catalog, store
):
    accepted = await library.accept(T, jpeg("new"), "a.jpg")

    def remove() -> None:
        with catalog.tenant(T) as tx:
            assert photos.delete(tx, accepted.photo_id)

    line.meanwhile = remove
    ingestor.step()
    with pytest.raises(NotFoundError):
        await library.get(T, accepted.photo_id)
    assert [op for op, _ in events(catalog)] == ["delete"]
    assert not store.exists(thumb_path(T, accepted.photo_id))


async def test_deleting_removes_row_blob_and_thumbnail(library, ingestor, store, catalog):
    accepted = await library.accept(T, jpeg("new"), "a.jpg")
    ingestor.step()
    await library.delete(T, accepted.photo_id, "ann")
    assert list(store.list(f"{T}/")) == []
    with catalog.tenant(T) as tx:
        told = tx.conn.execute("SELECT actor, action, entity_id FROM audit_log").fetchall()
    assert told == [("ann", "photo.delete", accepted.photo_id)]
    with pytest.raises(NotFoundError):
        await library.delete(T, accepted.photo_id)


async def test_a_photo_deleted_and_uploaded_at_once_is_whole_or_gone(library, store):
    data = jpeg("new")
    accepted = await library.accept(T, data, "a.jpg")
    for _ in range(10):
        await asyncio.gather(
            library.delete(T, accepted.photo_id),
            library.accept(T, data, "a.jpg"),
            return_exceptions=True,
        )
        try:
            await library.get(T, accepted.photo_id)
        except NotFoundError:
            await library.accept(T, data, "a.jpg")
        assert store.read(blob_path(T, accepted.photo_id)) == data


async def test_a_running_ingestor_takes_what_comes_and_stops_in_order(library, ingestor, catalog):
    ingestor.start()
    ids = [(await library.accept(T, jpeg(f"n{i}"), "a.jpg")).photo_id for i in range(5)]
    ingestor.wake()
    async with asyncio.timeout(30):
        while await library.depth():
            await asyncio.sleep(0.02)
    await ingestor.stop()
    assert {i for _, i in events(catalog)} == set(ids)


async def test_pages_are_newest_first_and_a_made_up_cursor_is_refused(library):
    ids = [(await library.accept(T, jpeg(f"n{i}"), "a.jpg")).photo_id for i in range(3)]
    first, cursor = await library.page(T, after=None, limit=2)
    rest, end = await library.page(T, after=cursor, limit=2)
    assert [p.photo_id for p in first + rest] == ids[::-1] and end is None
    with pytest.raises(InputError):
        await library.page(T, after="nonsense", limit=2)


async def test_a_photo_without_thumbnail_says_why(library):
    accepted = await library.accept(T, jpeg("new"), "a.jpg")
    with pytest.raises(NotFoundError, match="queued"):
        await library.thumbnail(T, accepted.photo_id)


async def test_the_video_of_a_live_photo_is_deleted_with_it(catalog, store, library):
    still, video = hashlib.sha256(b"still").hexdigest(), hashlib.sha256(b"video").hexdigest()
    store.write(blob_path(T, still), b"still")
    store.write(blob_path(T, video), b"video")
    found = {
        "companion_id": video,
        "content_id": "ONE",
        "mime": "video/quicktime",
        "size": 5,
        "duration_s": 2.0,
    }
    row = rows.failure("a.mov", "pair") | {"code": LIVE_VIDEO}
    rejected = rows.rejects(row).append_column("companion", pa.array([found], COMPANION))
    made = rows.photos(rows.photo("a.jpg", photo_id=still, content_id="ONE"))
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, made, rejected, stored=True)
    pair_videos(catalog, T)
    (pair,) = await library.pairs(T, still)
    assert (pair.kind, pair.first_id, pair.second_id) == ("live_photo", still, video)
    await library.trash(T, still)
    assert store.exists(blob_path(T, video)), "the trash can be undone"
    await library.restore(T, still)
    assert len(await library.pairs(T, still)) == 1
    await library.delete(T, still)
    assert not store.exists(blob_path(T, video)) and not store.exists(blob_path(T, still))


async def test_an_uploaded_still_is_joined_by_the_video_that_waits(
    catalog, store, library, ingestor, line
):
    data = jpeg("still")
    found = {
        "companion_id": hashlib.sha256(b"video").hexdigest(),
        "content_id": "ONE",
        "mime": "video/quicktime",
        "size": 5,
        "duration_s": 2.0,
    }
    row = rows.failure("a.mov", "pair") | {"code": LIVE_VIDEO}
    rejected = rows.rejects(row).append_column("companion", pa.array([found], COMPANION))
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, rows.photos(), rejected, stored=True)
    line.content_id = "ONE"
    accepted = await library.accept(T, data, "a.jpg")
    assert ingestor.step()
    assert [p.kind for p in await library.pairs(T, accepted.photo_id)] == ["live_photo"]


async def test_an_upload_of_what_was_ingested_by_reference_is_kept_from_then_on(catalog, library):
    data = jpeg("new")
    digest = hashlib.sha256(data).hexdigest()
    with catalog.tenant(T) as tx:
        row = rows.photo("file:///card/a.jpg", photo_id=digest)
        photos.copy_part(tx, "run", 0, rows.photos(row), rows.rejects())
        assert photos.blob_of(tx, digest) == "file:///card/a.jpg"
    assert (await library.accept(T, data, "a.jpg")).status == "ready"
    with catalog.tenant(T) as tx:
        assert photos.blob_of(tx, digest) == blob_path(T, digest)


async def test_a_photo_deleted_and_uploaded_again_while_it_is_processed_is_whole(
    library, ingestor, line
):
    data = jpeg("new")
    accepted = await library.accept(T, data, "")
    make = line.process

    def process(*args, **kwargs):
        made = make(*args, **kwargs)
        line.process = make
        library._delete(T, accepted.photo_id, "ann")
        library._accept(T, data, "")
        return made

    line.process = process
    while await library.depth():
        ingestor.step()
    photo = await library.get(T, accepted.photo_id)
    assert (photo.status, photo.has_thumbnail) == ("ready", True)
    assert await library.thumbnail(T, accepted.photo_id) == b"RIFFwebp"
