"""/v1/tags and the tags of photos over a real PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

import pytest

from photoorg.models import PhotoTag
from photoorg.store.catalog import photos, tags
from serve.api.tags import tags_router
from serve.auth import fixed_tenant
from serve.tags import TagLibrary
from tests.catalog import rows
from tests.fakes.http import NAMES, World
from tests.fakes.search import photo_id

T = "default"
ONE, TWO = rows.photo_id("1"), rows.photo_id("2")


@pytest.fixture
async def tagging(catalog):
    with catalog.tenant(T) as tx:
        made = rows.photos(rows.photo("1"), rows.photo("2"))
        photos.copy_part(tx, "run", 0, made, rows.rejects())
        tags.replace(tx, {ONE: [PhotoTag("beach", "setting", 0.75)]})
    library = TagLibrary(catalog)
    router = tags_router(library, fixed_tenant(T))
    async with World(routers=lambda: [router]).client() as client:
        yield client
    library.close()


@pytest.mark.postgres
async def test_a_tag_is_put_on_shown_and_taken_off(tagging):
    url = f"/v1/photos/{ONE}/tags"
    beach = {"label": "beach", "category": "setting", "score": 0.75, "source": "zero-shot"}
    assert (await tagging.get(url)).json() == {"tags": [beach]}
    answer = await tagging.post(url, json={"label": "Dog", "category": "pets"})
    dog = {"label": "dog", "category": "pets", "score": None, "source": "user"}
    assert (answer.status_code, answer.json()) == (200, {"tags": [dog, beach]})
    assert (await tagging.get(url)).json() == {"tags": [dog, beach]}
    answer = await tagging.delete(url, params={"label": "beach"})
    assert (answer.status_code, answer.json()) == (200, {"tags": [dog]})


@pytest.mark.postgres
async def test_tags_are_paged_and_chosen_by_category(tagging):
    for label in ("ant", "bee"):
        for one in (ONE, TWO):
            await tagging.post(f"/v1/photos/{one}/tags", json={"label": label})
    first = (await tagging.get("/v1/tags", params={"limit": 2})).json()
    assert [(t["label"], t["photos"], t["given"]) for t in first["tags"]] == [
        ("ant", 2, 2),
        ("beach", 1, 0),
    ]
    last = (await tagging.get("/v1/tags", params={"cursor": first["next_cursor"]})).json()
    assert [t["label"] for t in last["tags"]] == ["bee"] and last["next_cursor"] is None
    found = (await tagging.get("/v1/tags", params={"category": "setting"})).json()
    assert [t["label"] for t in found["tags"]] == ["beach"]


@pytest.mark.postgres
async def test_a_mapping_says_what_it_was_before_and_is_taken_back(tagging, catalog):
    for before, category in (("setting", "sea"), ("sea", "sand")):
        body = {"label": "beach", "category": category}
        answer = await tagging.put("/v1/tags/mapping", json=body)
        assert answer.json() == {"label": "beach", "before": before, "category": category}
    shown = (await tagging.get(f"/v1/photos/{ONE}/tags")).json()["tags"]
    assert shown[0]["category"] == "sand"
    answer = await tagging.delete("/v1/tags/mapping", params={"label": "beach"})
    assert answer.json() == {"label": "beach", "before": "sand", "category": "setting"}
    with catalog.tenant(T) as tx:
        log = tx.conn.execute("SELECT actor, action FROM audit_log ORDER BY audit_id").fetchall()
    assert log == [("api", "tag.map"), ("api", "tag.map"), ("api", "tag.unmap")]


@pytest.mark.postgres
@pytest.mark.parametrize(
    ("method", "url", "more", "status"),
    [
        ("GET", f"/v1/photos/{'0' * 64}/tags", {}, 404),
        ("POST", f"/v1/photos/{'0' * 64}/tags", {"json": {"label": "a"}}, 404),
        ("DELETE", f"/v1/photos/{'0' * 64}/tags", {"params": {"label": "a"}}, 404),
        ("POST", f"/v1/photos/{ONE}/tags", {"json": {"label": ""}}, 422),
        ("POST", f"/v1/photos/{ONE}/tags", {"json": {"label": "  "}}, 422),
        ("POST", f"/v1/photos/{ONE}/tags", {"json": {"tag": "a"}}, 422),
        ("POST", f"/v1/photos/{ONE}/tags", {"json": {"label": "x" * 101}}, 422),
        ("DELETE", f"/v1/photos/{ONE}/tags", {}, 422),
        ("PUT", "/v1/tags/mapping", {"json": {"label": "unknown", "category": "a"}}, 404),
        ("DELETE", "/v1/tags/mapping", {"params": {"label": "unknown"}}, 404),
        ("PUT", "/v1/tags/mapping", {"json": {"label": "a"}}, 422),
        ("GET", "/v1/tags?limit=0", {}, 422),
    ],
)
async def test_wrong_requests_are_explained(tagging, method, url, more, status):
    answer = await tagging.request(method, url, **more)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_photo_shows_its_text_and_score(client, world):
    one, known = photo_id(NAMES[0]), world.photos.known
    known[one] = replace(known[one], ocr_text="Exit", nsfw=0.125)
    body = (await client.get(f"/v1/photos/{one}")).json()
    assert (body["ocr_text"], body["nsfw"]) == ("Exit", 0.125)
