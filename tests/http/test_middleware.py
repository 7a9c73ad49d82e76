"""Bodies that are too large, too slow or never come, and requests without one."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence
from typing import Any

import pytest

from photoorg.config import ServeConfig
from serve.middleware import MAX_JSON
from tests.fakes.http import NAMES, World, every_router
from tests.fakes.search import jpeg, photo_id

ONE = photo_id(NAMES[0])
FORM = "multipart/form-data; boundary=x"
GONE = {"type": "http.disconnect"}


def part(body: bytes) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": True}


async def exchange(
    world: World, path: str, content_type: str, messages: Sequence[dict[str, Any]]
) -> tuple[int | None, dict[str, Any]]:
    """Status and problem of a POST whose client sends the messages and then waits for ever."""
    waiting, sent = list(messages), []

    async def receive() -> dict[str, Any]:
        if waiting:
            return waiting.pop(0)
        await asyncio.Event().wait()
        raise AssertionError("never")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "headers": [(b"host", b"localhost"), (b"content-type", content_type.encode())],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }
    async with asyncio.timeout(20):
        await world.app(scope, receive, send)
    status = sent[0]["status"] if sent else None
    body = b"".join(m.get("body", b"") for m in sent)
    return status, json.loads(body) if body else {}


@pytest.mark.parametrize(
    ("path", "content_type"),
    [("/v1/photos", FORM), ("/v1/search", "application/json"), ("/v1/albums", "application/json")],
)
async def test_a_body_that_stops_coming_is_given_up(path, content_type):
    world = World(serve=ServeConfig(body_timeout_s=0.1), routers=every_router)
    status, told = await exchange(world, path, content_type, [part(b"--x")])
    assert (status, told["code"]) == (408, "request-timeout") and told["fix"]
    assert "3 bytes" in told["detail"]


async def test_slow_uploads_do_not_keep_others_out_for_ever():
    world = World(serve=ServeConfig(body_timeout_s=0.2, max_uploads_at_once=1))
    slow = asyncio.create_task(exchange(world, "/v1/photos", FORM, [part(b"--x")]))
    await asyncio.sleep(0.05)
    async with world.client() as client:
        files = {"file": ("a.jpg", jpeg("a"))}
        assert (await client.post("/v1/photos", files=files)).status_code == 503
        assert (await slow)[0] == 408
        assert (await client.post("/v1/photos", files=files)).status_code == 202


@pytest.mark.parametrize(
    ("path", "content_type"), [("/v1/photos", FORM), ("/v1/search", "application/json")]
)
async def test_a_client_that_hangs_up_is_no_fault_of_ours(path, content_type, caplog):
    world = World()
    with caplog.at_level(logging.INFO, "serve"):
        status, _ = await exchange(world, path, content_type, [part(b"--x"), GONE])
    assert status is None
    assert not [r for r in caplog.records if r.levelno >= logging.ERROR]
    async with world.client() as client:
        text = (await client.get("/v1/metrics")).text
    assert f'method="POST",route="{path}",status="499"' in text and 'status="500"' not in text


@pytest.mark.parametrize("path", ["/v1/search", "/v1/albums", "/v1/photos"])
async def test_json_is_not_taken_in_the_size_of_photos(path):
    world = World(routers=every_router)
    big = b'{"text": "' + b"a" * MAX_JSON + b'"}'
    async with world.client() as client:
        headers = {"content-type": "application/json"}
        answer = await client.post(path, content=big, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")

        async def pieces():
            for at in range(0, len(big), 1_000_000):
                yield big[at : at + 1_000_000]

        answer = await client.post(path, content=pieces(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
        large = b"\xff\xd8" + bytes(MAX_JSON)
        answer = await client.post("/v1/photos", files={"file": ("a.jpg", large)})
        assert answer.status_code == 202


async def test_head_is_get_without_its_body(client, world):
    world.library.thumbnails[ONE] = b"RIFFwebp"
    for path in (f"/v1/photos/{ONE}/thumbnail", f"/v1/photos/{ONE}", "/v1/health/live"):
        got, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(got.content))
        assert head.headers["content-type"] == got.headers["content-type"]
    assert (await client.head("/v1/search")).status_code == 422
    assert (await client.head("/v1/nothing")).status_code == 404
    text = (await client.get("/v1/metrics")).text
    assert 'method="HEAD",route="/v1/photos/{photo_id}",status="200"' in text
