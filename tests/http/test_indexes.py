"""/v1/admin over a real catalog and real index files."""

from __future__ import annotations

import httpx
import pytest

from photoorg.config import SearchConfig, ServeConfig, parse
from photoorg.search.service import SearchService
from photoorg.store.catalog import spaces
from photoorg.store.objects import ObjectStore
from serve.administration import Administration
from serve.api.app import create_app
from serve.api.indexes import indexes_router
from serve.auth import fixed_tenant
from tests.fakes.http import FakeFetcher, FakeHealth, FakeLibrary
from tests.fakes.search import MUTE, SPACE, FakeEmbedder, FakePhotos, photo_id
from tests.unit.search.test_slots import NAMES, T, add, build, delete
from tests.unit.stages.test_versions import shadow

pytestmark = pytest.mark.postgres


@pytest.fixture
async def client(tmp_path, catalog):
    config = parse(
        {
            "storage": {"root": str(tmp_path / "store")},
            "serve": {"cache_dir": str(tmp_path / "cache")},
            "migration": {"preload_timeout_s": 0.2},
        }
    )
    store = ObjectStore(config.storage.root, config.storage)
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    shadow(catalog, store, "m1", space=MUTE)
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    indexes = Administration(config, catalog, store)
    photos = FakePhotos()
    app = create_app(
        SearchService(FakeEmbedder(), [], photos, SearchConfig()),
        FakeLibrary(photos, []),
        FakeLibrary(photos, []),
        FakeFetcher(),
        FakeHealth(),
        tenant_of=fixed_tenant(T),
        serve=ServeConfig(),
        search=SearchConfig(),
        routers=[indexes_router(indexes, fixed_tenant(T))],
    )
    headers = {"X-User-ID": "ann"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers
    ) as client:
        yield client
    indexes.close()


async def test_versions_and_spaces_are_listed_in_pages(client):
    first = (await client.get("/v1/admin/indexes", params={"limit": 1})).json()
    second = (await client.get("/v1/admin/indexes", params={"cursor": first["next_cursor"]})).json()
    named = {v["version"]: v["status"] for v in first["indexes"] + second["indexes"]}
    assert named == {"v1": "active", "m1": "shadow"} and second["next_cursor"] is None
    assert first["default_space"] == SPACE.id and first["canary"] is None
    found = (await client.get("/v1/admin/spaces")).json()["spaces"]
    assert {s["id"] for s in found} == {SPACE.id, MUTE.id}
    lost = await client.get("/v1/admin/indexes", params={"cursor": "nonsense"})
    assert lost.status_code == 404


async def test_a_comparison_opens_the_way_to_a_cutover_and_back(client, catalog):
    refused = await client.post("/v1/admin/indexes/m1/activate", json={})
    assert refused.status_code == 409 and refused.json()["code"] == "conflict"
    report = (await client.post("/v1/admin/indexes/m1/compare", json={"queries": 30})).json()
    assert report["passed"] and report["overlap"] == 1.0 and report["queries"] == 30
    chart = await client.get("/v1/admin/indexes/m1/comparison.png")
    assert chart.content.startswith(b"\x89PNG")
    done = await client.post("/v1/admin/indexes/m1/activate", json={})
    assert done.status_code == 200 and done.json()["from_version"] == "v1"
    again = await client.post("/v1/admin/indexes/rollback", json={})
    assert (again.json()["action"], again.json()["to_version"]) == ("rollback", "v1")
    with catalog.tenant(T) as tx:
        rows = tx.conn.execute("SELECT actor, action FROM audit_log ORDER BY audit_id").fetchall()
    assert rows == [("ann", "index.cutover"), ("ann", "index.rollback")]


async def test_a_golden_set_counts_in_a_comparison(client):
    golden = {photo_id(n): str(i % 2) for i, n in enumerate(NAMES)}
    report = (await client.post("/v1/admin/indexes/m1/compare", json={"golden": golden})).json()
    assert report["maps"][0] == report["maps"][1] > 0
    assert "map_drop" in [g["name"] for g in report["gates"]]


async def test_a_shadow_that_lacks_photos_does_not_pass(client, catalog, tmp_path):
    store = ObjectStore(str(tmp_path / "store"), parse({}).storage)
    shadow(catalog, store, "m2", NAMES[:30], space=MUTE)
    report = (await client.post("/v1/admin/indexes/m2/compare", json={})).json()
    failed = [g["name"] for g in report["gates"] if not g["passed"]]
    assert report["coverage"] == 0.5 and "coverage" in failed and not report["passed"]
    refused = await client.post("/v1/admin/indexes/m2/activate", json={})
    assert refused.status_code == 409 and "coverage" in refused.json()["detail"]


async def test_a_canary_begins_and_ends(client):
    begun = await client.put("/v1/admin/indexes/m1/canary", json={"share": 0.25})
    assert begun.status_code == 200
    listed = (await client.get("/v1/admin/indexes")).json()["canary"]
    assert listed == {"space_id": MUTE.id, "share": 0.25}
    await client.put("/v1/admin/indexes/m1/canary", json={"share": 0})
    assert (await client.get("/v1/admin/indexes")).json()["canary"] is None


async def test_compaction_and_resharding_over_http(client, catalog):
    delete(catalog, NAMES[0])
    done = (await client.post("/v1/admin/indexes/compact", json={"shards": 3})).json()
    assert (done["from_version"], done["shards"], done["vectors"], done["gone"]) == ("v1", 3, 59, 1)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/admin/indexes/nothing/activate", {}, 404),
        ("POST", "/v1/admin/indexes/m1/activate", {"wrong": 1}, 422),
        ("POST", "/v1/admin/indexes/rollback", {}, 404),
        ("PUT", "/v1/admin/indexes/m1/canary", {"share": 2}, 422),
        ("POST", "/v1/admin/indexes/compact", {"shards": 0}, 422),
        ("GET", "/v1/admin/indexes/m1/comparison.png", None, 404),
        ("POST", "/v1/admin/indexes/v1/compare", {}, 422),
    ],
)
async def test_what_cannot_be_is_a_problem(client, method, path, body, status):
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
