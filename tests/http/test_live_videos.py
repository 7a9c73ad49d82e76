"""Uploaded videos of live photos over a real PostgreSQL and a real folder, in every order."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

import httpx
import pyarrow as pa
import pytest

from photoorg import schema
from photoorg.config import (
    ImagingConfig,
    PhotoOrgConfig,
    SearchConfig,
    ServeConfig,
    parse,
)
from photoorg.errors import NotFoundError, UnsupportedMediaError
from photoorg.search.service import SearchService
from photoorg.stages.companions import pair_videos
from photoorg.stages.ingest import FusedIngest, Models
from photoorg.stages.job import IngestJob, Work
from photoorg.stages.online import OnlineIngest
from photoorg.stages.parts import INGEST, PartWriter
from photoorg.store.catalog import companions
from photoorg.store.layout import blob_path, run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run
from serve.api.app import create_app
from serve.auth import fixed_tenant
from serve.ingestor import Ingestor
from serve.library import Library
from tests.fakes.http import World
from tests.livephotos import plain_video, still, video

pytestmark = pytest.mark.postgres
T = "default"
STILL, VIDEO = still(1, "ONE"), video("ONE")
STILL_ID, VIDEO_ID = (hashlib.sha256(data).hexdigest() for data in (STILL, VIDEO))


@pytest.fixture
def config(tmp_path) -> PhotoOrgConfig:
    return parse(
        {
            "storage": {"root": str(tmp_path / "store")},
            "ingest": {"stages": ["exif"], "originals": "copy"},
        }
    )


@pytest.fixture
def store(config) -> ObjectStore:
    return ObjectStore(config.storage)


@pytest.fixture
def ingestor(catalog, store, config) -> Ingestor:
    line = OnlineIngest(config, store, Models())
    return Ingestor(catalog, store, lambda tenant: line, None)


def bulk(catalog, store, config, tmp_path, **files: bytes) -> None:
    """What the bulk job does with these files."""
    uris = []
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
        uris.append(f"file://{tmp_path / name}")
    n = len(uris)
    when = datetime(2024, 1, 1, tzinfo=UTC)
    keys = pa.table([uris, [1] * n, ["e"] * n, [when] * n, [0] * n], schema=schema.KEYS)
    run_id = "-".join(files)
    run = Run(store, run_dir(T, INGEST, run_id))
    run.write_part(0, keys, name="keys")
    PartWriter(store, T, run_id, None).write(0, FusedIngest(config, store, Models())(keys))
    IngestJob(config, store, catalog, None).load(Work(run_id, run, (), 1, n, n), 0)
    pair_videos(catalog, T)


async def joined(library: Library) -> bool:
    videos = await library.videos(T, STILL_ID)
    assert [v.companion_id for v in videos] in ([], [VIDEO_ID])
    return bool(videos)


async def test_the_still_first_then_the_video(library, ingestor, store):
    await library.accept(T, STILL, "IMG_1.JPG")
    assert ingestor.step()
    accepted = await library.accept(T, VIDEO, "IMG_1.MOV")
    assert (accepted.photo_id, accepted.status, accepted.kind) == (VIDEO_ID, "ready", "live_video")
    assert accepted.stills == (STILL_ID,)
    assert store.read(blob_path(T, VIDEO_ID)) == VIDEO
    (found,) = await library.videos(T, STILL_ID)
    assert (found.mime, found.size, found.duration_s) == ("video/quicktime", len(VIDEO), 2.5)
    assert found.stored


async def test_the_video_first_then_the_still(library, ingestor):
    accepted = await library.accept(T, VIDEO, "IMG_1.MOV")
    assert (accepted.status, accepted.stills) == ("queued", ())
    assert await library.depth() == 0, "no worker has anything to do with it"
    await library.accept(T, STILL, "IMG_1.JPG")
    assert not await joined(library)
    assert ingestor.step() and await joined(library)
    assert (await library.accept(T, VIDEO, "again.mov")).status == "ready"


async def test_the_video_while_its_still_waits_to_be_processed(library, ingestor):
    await library.accept(T, STILL, "")
    assert (await library.accept(T, VIDEO, "")).status == "queued"
    assert ingestor.step() and await joined(library)


async def test_the_video_uploaded_and_the_still_ingested(library, catalog, store, config, tmp_path):
    await library.accept(T, VIDEO, "")
    bulk(catalog, store, config, tmp_path, still=STILL)
    assert await joined(library)


async def test_the_still_ingested_and_the_video_uploaded(library, catalog, store, config, tmp_path):
    bulk(catalog, store, config, tmp_path, still=STILL)
    assert (await library.accept(T, VIDEO, "")).status == "ready"
    assert await joined(library)


async def test_the_video_ingested_and_uploaded_too_and_the_still_uploaded(
    library, ingestor, catalog, store, config, tmp_path
):
    bulk(catalog, store, config, tmp_path, video=VIDEO)
    assert (await library.accept(T, VIDEO, "")).status == "queued"
    await library.accept(T, STILL, "")
    assert ingestor.step() and await joined(library)


async def test_what_waits_survives_a_restart(library, catalog, store, ingestor):
    await library.accept(T, VIDEO, "")
    library.close()
    later = Library(catalog, store)
    await later.accept(T, STILL, "")
    assert ingestor.step() and await joined(later)
    later.close()


async def test_a_crash_between_blob_and_row_loses_nothing_that_was_promised(library, store):
    store.write(blob_path(T, VIDEO_ID), VIDEO)
    with pytest.raises(NotFoundError, match="no photo"):
        await library.get(T, VIDEO_ID)
    assert (await library.accept(T, VIDEO, "")).photo_id == VIDEO_ID
    assert store.read(blob_path(T, VIDEO_ID)) == VIDEO


@pytest.mark.parametrize(
    "data", [plain_video(), VIDEO[:5_000], video("")], ids=["plain", "cut", "empty identifier"]
)
async def test_a_video_without_identifier_is_refused_and_leaves_nothing(library, store, data):
    with pytest.raises(UnsupportedMediaError, match="identifier") as caught:
        await library.accept(T, data, "a.mov")
    assert caught.value.fix and list(store.list("")) == []


async def test_a_long_video_is_refused(catalog, store):
    library = Library(catalog, store, imaging=ImagingConfig(live_video_seconds=5))
    with pytest.raises(UnsupportedMediaError, match=r"60\.0 s long; at most 5 s"):
        await library.accept(T, video("ONE", 60.0), "a.mov")
    assert (await library.accept(T, video("ONE", 5.0), "a.mov")).status == "queued"
    library.close()


async def test_another_tenants_still_is_not_joined(library, ingestor):
    await library.accept("other", STILL, "")
    assert ingestor.step()
    assert (await library.accept(T, VIDEO, "")).status == "queued"


async def test_a_videos_id_tells_where_to_look(library, ingestor):
    await library.accept(T, VIDEO, "")
    with pytest.raises(NotFoundError, match="waits for its still"):
        await library.get(T, VIDEO_ID)
    assert await library.pairs(T, VIDEO_ID) == []
    await library.accept(T, STILL, "")
    ingestor.step()
    with pytest.raises(NotFoundError) as caught:
        await library.get(T, VIDEO_ID)
    assert STILL_ID in caught.value.fix
    assert [p.first_id for p in await library.pairs(T, VIDEO_ID)] == [STILL_ID]


async def test_a_video_can_be_deleted_alone_and_with_its_still(library, ingestor, store, catalog):
    await library.accept(T, STILL, "")
    ingestor.step()
    for gone in (VIDEO_ID, STILL_ID):
        await library.accept(T, VIDEO, "")
        await library.delete(T, gone)
        assert not store.exists(blob_path(T, VIDEO_ID))
        with catalog.tenant(T) as tx:
            assert not companions.exists(tx, VIDEO_ID)
    assert list(store.list(f"{T}/blobs")) == []
    with pytest.raises(NotFoundError):
        await library.delete(T, VIDEO_ID)


@pytest.fixture
async def client(library):
    world = World()
    world.fetcher.pages["https://example.org/IMG_1.MOV"] = VIDEO
    world.fetcher.pages["https://example.org/holiday.mp4"] = plain_video()
    search = SearchConfig()
    app = create_app(
        SearchService(world.embedder, world.slots, world.photos, search),
        library,
        library,
        world.fetcher,
        world.health,
        tenant_of=fixed_tenant(T),
        serve=ServeConfig(max_upload_bytes=100_000),
        search=search,
    )
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


async def test_over_http_a_video_waits_joins_and_shows_at_its_still(client, ingestor):
    first = await client.post("/v1/photos", files={"file": ("IMG_1.MOV", VIDEO)})
    assert first.status_code == 202
    assert first.json() == {
        "photo_id": VIDEO_ID,
        "status": "queued",
        "kind": "live_video",
        "stills": [],
    }
    await client.post("/v1/photos", files={"file": ("IMG_1.JPG", STILL)})
    ingestor.step()
    again = await client.post("/v1/photos", json={"url": "https://example.org/IMG_1.MOV"})
    assert (again.status_code, again.json()["stills"]) == (200, [STILL_ID])
    (shown,) = (await client.get(f"/v1/photos/{STILL_ID}")).json()["videos"]
    assert shown == {
        "video_id": VIDEO_ID,
        "mime": "video/quicktime",
        "size": len(VIDEO),
        "duration_s": 2.5,
        "stored": True,
    }
    missing = await client.get(f"/v1/photos/{VIDEO_ID}")
    assert missing.status_code == 404 and STILL_ID in missing.json()["fix"]


async def test_over_http_a_plain_video_is_refused_in_words(client, store):
    for request in (
        {"files": {"file": ("holiday.mp4", plain_video())}},
        {"json": {"url": "https://example.org/holiday.mp4"}},
    ):
        answer = await client.post("/v1/photos", **request)
        assert answer.status_code == 415
        assert answer.headers["content-type"] == "application/problem+json"
        assert "identifier" in answer.json()["detail"] and answer.json()["fix"]
    large = await client.post("/v1/photos", files={"file": ("a.mov", VIDEO + bytes(2_000_000))})
    assert large.status_code == 413
    assert list(store.list("")) == []
