from __future__ import annotations

import asyncio
import hashlib

import pytest

from photoorg.config import ServeConfig
from photoorg.errors import StorageError
from photoorg.store.catalog.pairs import StoredPair
from tests.fakes.http import NAMES, World
from tests.fakes.search import jpeg, photo_id

ONE = photo_id(NAMES[0])


async def test_an_upload_is_accepted_under_the_hash_of_its_bytes(client, world):
    data = jpeg("new")
    answer = await client.post("/v1/photos", files={"file": ("IMG_1.jpg", data)})
    assert answer.status_code == 202
    assert answer.json() == {
        "photo_id": hashlib.sha256(data).hexdigest(),
        "status": "queued",
        "kind": "photo",
        "stills": [],
    }
    assert world.library.accepted == [(data, "IMG_1.jpg")]


async def test_the_same_bytes_again_are_the_same_photo(client, world):
    for _ in range(2):
        answer = await client.post("/v1/photos", files={"file": ("a.jpg", jpeg("new"))})
        assert answer.status_code == 202
    assert len(world.library.accepted) == 1


async def test_a_photo_that_is_ready_answers_200(client, world):
    data = jpeg("new")
    accepted = (await client.post("/v1/photos", files={"file": ("a.jpg", data)})).json()
    world.photos.known[accepted["photo_id"]] = world.photos.known[ONE]
    answer = await client.post("/v1/photos", files={"file": ("a.jpg", data)})
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")


async def test_a_photo_can_be_fetched_from_a_url(client, world):
    world.fetcher.pages["https://example.org/a/IMG_2.jpg?x=1"] = jpeg("web")
    answer = await client.post("/v1/photos", json={"url": "https://example.org/a/IMG_2.jpg?x=1"})
    assert answer.status_code == 202
    assert world.library.accepted == [(jpeg("web"), "IMG_2.jpg")]


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        ({"files": {"file": ("a.txt", b"hello")}}, 415),
        ({"files": {"file": ("a.jpg", b"")}}, 422),
        ({"files": {"other": ("a.jpg", b"x")}}, 422),
        ({"data": {"file": "text"}, "files": {"x": ("y", b"z")}}, 422),
        ({"content": b"raw", "headers": {"content-type": "image/jpeg"}}, 415),
        ({"content": b"raw"}, 415),
        ({"json": {"url": "ftp://example.org/a"}}, 422),
        ({"json": {"url": "https://example.org/missing"}}, 404),
        ({"json": {"link": "https://example.org"}}, 422),
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 422),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data; boundary=y"}}, 422),
        ({"content": b"--x", "headers": {"content-type": "multipart/form-data"}}, 422),
    ],
)
async def test_uploads_that_cannot_be_are_problems(client, world, request_, status):
    answer = await client.post("/v1/photos", **request_)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] and not world.library.accepted


async def test_a_declared_gigabyte_is_refused_before_it_is_read():
    world = World(serve=ServeConfig(max_upload_bytes=1_000_000))
    read = 0

    async def body():
        nonlocal read
        for _ in range(1_000):
            read += 1_000_000
            yield bytes(1_000_000)

    headers = {"content-type": "multipart/form-data; boundary=x", "content-length": "1000000000"}
    async with world.client() as client:
        answer = await client.post("/v1/photos", content=body(), headers=headers)
    assert answer.status_code == 413 and answer.json()["code"] == "too-large"
    assert read == 0


async def test_an_undeclared_gigabyte_is_refused_while_it_comes_in():
    world = World(serve=ServeConfig(max_upload_bytes=1_000_000))
    read = 0

    async def body():
        nonlocal read
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
        for _ in range(1_000):
            read += 1_000_000
            yield bytes(1_000_000)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    async with world.client() as client:
        answer = await client.post("/v1/photos", content=body(), headers=headers)
    assert answer.status_code == 413
    assert read <= 3_000_000


async def test_too_many_uploads_at_once_are_sent_away():
    world = World(serve=ServeConfig(max_uploads_at_once=1))
    inside, held = asyncio.Event(), asyncio.Event()

    async def body():
        inside.set()  # a body is read by who has room for it
        yield b"--x\r\n"
        await held.wait()
        yield b"--x--\r\n"

    headers = {"content-type": "multipart/form-data; boundary=x"}
    async with world.client() as client:
        first = asyncio.create_task(client.post("/v1/photos", content=body(), headers=headers))
        async with asyncio.timeout(60):
            await inside.wait()
        second = await client.post("/v1/photos", files={"file": ("a.jpg", jpeg("a"))})
        held.set()
        await first
    assert second.status_code == 503 and second.headers["retry-after"] == "1"
    assert second.json()["code"] == "overloaded"


async def test_pages_cover_every_photo_once(client):
    seen, cursor = [], None
    while True:
        params = {"limit": 5} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/photos", params=params)).json()
        seen += [p["photo_id"] for p in page["photos"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(photo_id(n) for n in NAMES)


@pytest.mark.parametrize("limit", [0, -1, 501, "many"])
async def test_page_sizes_out_of_range_are_refused(client, limit):
    answer = await client.get("/v1/photos", params={"limit": limit})
    assert answer.status_code == 422 and answer.json()["detail"].startswith("limit: ")


async def test_one_photo_shows_what_is_known(client):
    body = (await client.get(f"/v1/photos/{ONE}")).json()
    assert body["photo_id"] == ONE and body["uri"] == "file:///photo-0.jpg"
    assert body["status"] == "ready" and body["quality"]["score"] == 0.5
    assert len(body["hashes"]["pdq"]) == 64
    assert body["thumbnail"] == f"/v1/photos/{ONE}/thumbnail"


async def test_a_thumbnail_may_be_cached_and_is_not_sent_twice(client, world):
    world.library.thumbnails[ONE] = b"RIFFwebp"
    first = await client.get(f"/v1/photos/{ONE}/thumbnail")
    assert first.content == b"RIFFwebp" and first.headers["content-type"] == "image/webp"
    assert "immutable" in first.headers["cache-control"]
    headers = {"If-None-Match": first.headers["etag"]}
    again = await client.get(f"/v1/photos/{ONE}/thumbnail", headers=headers)
    assert again.status_code == 304 and again.content == b""


async def test_a_deleted_photo_is_gone_from_the_next_query(client):
    assert (await client.delete(f"/v1/photos/{ONE}")).status_code == 204
    assert (await client.get(f"/v1/photos/{ONE}")).status_code == 404
    answer = await client.get("/v1/search", params={"q": NAMES[0]})
    assert ONE not in {hit["photo_id"] for hit in answer.json()["results"]}
    assert (await client.delete(f"/v1/photos/{ONE}")).status_code == 404


@pytest.mark.parametrize("path", ["", "/thumbnail", "/similar"])
async def test_unknown_photos_are_not_found(client, path):
    answer = await client.get(f"/v1/photos/{'0' * 64}{path}")
    assert answer.status_code == 404 and answer.json()["code"] == "not-found"


@pytest.mark.parametrize("path", ["", "/thumbnail", "/similar"])
async def test_ids_that_are_no_hashes_are_refused(client, path):
    answer = await client.get(f"/v1/photos/nonsense{path}")
    assert answer.status_code == 422 and "photo_id" in answer.json()["detail"]


async def test_a_failing_store_is_unavailable_and_may_be_retried(client, world):
    world.library.broken = StorageError("The bucket does not answer.", fix="Look at it.")
    answer = await client.get(f"/v1/photos/{ONE}")
    assert answer.status_code == 503 and answer.headers["retry-after"] == "1"
    assert answer.json()["fix"] == "Look at it."


async def test_a_trashed_photo_says_since_when_and_comes_back_whole(client, world):
    trashed = await client.post(f"/v1/photos/{ONE}/trash")
    assert trashed.status_code == 200 and trashed.json()["trashed_at"] is not None
    restored = await client.post(f"/v1/photos/{ONE}/restore")
    assert restored.status_code == 200 and restored.json()["trashed_at"] is None


async def test_what_belongs_together_is_listed_with_its_evidence(client, world):
    other = photo_id(NAMES[1])
    world.library.paired = [StoredPair("burst", ONE, other, 0.9, ("0.2 s apart",))]
    answer = await client.get(f"/v1/photos/{other}/pairs")
    assert answer.json() == {
        "pairs": [
            {
                "kind": "burst",
                "first_id": ONE,
                "second_id": other,
                "confidence": 0.9,
                "evidence": ["0.2 s apart"],
            }
        ]
    }


@pytest.mark.parametrize("path", ["trash", "restore"])
async def test_the_trash_takes_only_photos_there_are(client, path):
    answer = await client.post(f"/v1/photos/{photo_id('none')}/{path}")
    assert answer.status_code == 404
