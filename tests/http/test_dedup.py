"""/v1/dedup over a real catalog."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from photoorg.curate.sweep import sweep
from photoorg.curation_config import DedupConfig
from photoorg.store.catalog import Catalog, trash
from serve.api.dedup import dedup_router
from serve.auth import fixed_tenant
from serve.dedup import CatalogDedup
from tests.catalog import rows
from tests.catalog.test_duplicates import copies, load
from tests.fakes.http import World

pytestmark = pytest.mark.postgres
CONFIG = DedupConfig(neighbours=0, looks=0)


@pytest.fixture
async def api(catalog: Catalog) -> AsyncIterator[httpx.AsyncClient]:
    load(catalog, "r", *copies("x", 3), *copies("y", 2), rows.photo("z"))
    sweep(catalog, "a", CONFIG)
    dedup = CatalogDedup(catalog, CONFIG)
    world = World(tenant="a", routers=lambda: [dedup_router(dedup, fixed_tenant("a"))])
    async with world.client() as client:
        yield client
    dedup.close()


async def test_suggestions_are_paged_and_say_what_to_keep(api: httpx.AsyncClient) -> None:
    first = (await api.get("/v1/dedup/suggestions", params={"limit": 1})).json()
    rest = (
        await api.get("/v1/dedup/suggestions", params={"limit": 1, "cursor": first["next_cursor"]})
    ).json()
    assert rest["next_cursor"] is None
    both = first["suggestions"] + rest["suggestions"]
    assert sorted(len(g["members"]) for g in both) == [2, 3]
    assert all(g["reason"].startswith("highest resolution") for g in both)
    assert all(m["evidence"] for g in both for m in g["members"])
    one = await api.get(f"/v1/dedup/suggestions/{both[0]['duplicateset_id']}")
    assert one.json() == both[0]


async def test_resolve_and_undo(api: httpx.AsyncClient, catalog: Catalog) -> None:
    group = (await api.get("/v1/dedup/suggestions")).json()["suggestions"][0]
    keep = group["members"][-1]["photo_id"]
    body = {
        "duplicateset_id": group["duplicateset_id"],
        "action": "merge",
        "keep_photo_id": keep,
    }
    done = (await api.post("/v1/dedup/resolve", json=body)).json()
    assert (done["status"], done["kept"]) == ("ok", keep)
    with catalog.tenant("a") as tx:
        assert sorted(done["removed"]) == trash.ids(tx)
    again = await api.post("/v1/dedup/resolve", json=body)
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    undone = (await api.post("/v1/dedup/undo", json={"undo_token": done["undo_token"]})).json()
    assert sorted(undone["restored"]) == sorted(done["removed"])
    twice = await api.post("/v1/dedup/undo", json={"undo_token": done["undo_token"]})
    assert (twice.status_code, twice.json()["code"]) == (409, "conflict")
    other = {**body, "keep_photo_id": rows.photo_id("z")}
    assert (await api.post("/v1/dedup/resolve", json=other)).status_code == 422
    stats = (await api.get("/v1/dedup/stats")).json()
    assert stats["groups"]["open"]["groups"] == 2


async def test_preview_counts_by_threshold(api: httpx.AsyncClient) -> None:
    answer = await api.get("/v1/dedup/preview", params={"confidence": [0.8, 1.0]})
    low, high = answer.json()["thresholds"]
    assert (low["groups"], low["photos"]) == (2, 3)
    assert high["groups"] == 0
    assert answer.json()["in_force"] == CONFIG.confidence


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/dedup/suggestions/99999", None, 404),
        ("GET", "/v1/dedup/suggestions?cursor=x!", None, 422),
        ("GET", "/v1/dedup/suggestions?confidence_min=2", None, 422),
        ("GET", "/v1/dedup/preview", None, 422),
        ("GET", "/v1/dedup/preview?confidence=7", None, 422),
        ("POST", "/v1/dedup/resolve", {"duplicateset_id": 99999, "action": "merge"}, 404),
        ("POST", "/v1/dedup/resolve", {"duplicateset_id": 1, "action": "shred"}, 422),
        ("POST", "/v1/dedup/undo", {"undo_token": "made-up"}, 404),
    ],
)
async def test_wrong_requests_are_problems(
    api: httpx.AsyncClient, method: str, path: str, body: object, status: int
) -> None:
    answer = await api.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
