"""/v1/admin over a real catalog and real index files."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from photoorg.config import SearchConfig, ServeConfig, StorageConfig, parse
from photoorg.models import IndexVersion
from photoorg.search.service import SearchService
from photoorg.store.catalog import indexes, photos, spaces, thresholds
from photoorg.store.objects import ObjectStore
from serve.administration import Administration
from serve.api.app import create_app
from serve.api.indexes import indexes_router
from serve.auth import fixed_tenant
from tests.catalog import rows
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
            # On a busy machine one version may be many times slower than the other, by chance.
            "migration": {"preload_timeout_s": 0.2, "gates": {"max_latency_ratio": 1_000.0}},
        }
    )
    store = ObjectStore(config.storage)
    build(catalog, store, NAMES, "v1", add(catalog, *NAMES))
    shadow(catalog, store, "m1", space=MUTE)
    with catalog.tenant(T) as tx:
        spaces.set_default(tx, SPACE.id, "image")
    administration = Administration(config, catalog, store)
    fakes = FakePhotos()
    app = create_app(
        SearchService(FakeEmbedder(), [], fakes, SearchConfig()),
        FakeLibrary(fakes, []),
        FakeLibrary(fakes, []),
        FakeFetcher(),
        FakeHealth(),
        tenant_of=fixed_tenant(T),
        serve=ServeConfig(),
        search=SearchConfig(),
        routers=[indexes_router(administration, fixed_tenant(T))],
    )
    headers = {"X-User-ID": "ann"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://localhost", headers=headers
    ) as client:
        yield client
    administration.close()


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
    store = ObjectStore(StorageConfig(root=str(tmp_path / "store")))
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
    with catalog.tenant(T) as tx:
        fitted = thresholds.fitted_to(tx, SPACE.id)
    assert done["refitted"] and fitted["search.image"] == 59, "as the job does"
    again = (await client.post("/v1/admin/indexes/compact", json={})).json()
    assert not again["refitted"]


async def test_a_shadow_nobody_wants_is_retired_and_that_is_noted(client, catalog):
    gone = await client.post("/v1/admin/indexes/m1/retire")
    assert (gone.status_code, gone.json()["status"]) == (200, "deleted")
    for what in ("retire", "activate", "compare"):
        told = await client.post(f"/v1/admin/indexes/m1/{what}", json={})
        assert (told.status_code, told.json()["code"]) == (409, "conflict"), what
    refused = await client.post("/v1/admin/indexes/v1/retire")
    assert refused.status_code == 409 and "index activate" in refused.json()["fix"]
    with catalog.tenant(T) as tx:
        noted = tx.conn.execute("SELECT actor, action, entity_id FROM audit_log").fetchall()
    assert noted == [("ann", "index.retire", "m1")]


async def test_what_a_canary_uses_is_not_retired(client):
    await client.put("/v1/admin/indexes/m1/canary", json={"share": 0.25})
    refused = await client.post("/v1/admin/indexes/m1/retire")
    assert refused.status_code == 409 and "index canary m1 0" in refused.json()["fix"]
    await client.put("/v1/admin/indexes/m1/canary", json={"share": 0})
    assert (await client.post("/v1/admin/indexes/m1/retire")).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/v1/admin/indexes/nothing/activate", {}, 404),
        ("POST", "/v1/admin/indexes/m1/activate", {"wrong": 1}, 422),
        ("POST", "/v1/admin/indexes/rollback", {}, 409),
        ("PUT", "/v1/admin/indexes/m1/canary", {"share": 2}, 422),
        ("POST", "/v1/admin/indexes/compact", {"shards": 0}, 422),
        ("GET", "/v1/admin/indexes/m1/comparison.png", None, 404),
        ("POST", "/v1/admin/indexes/v1/compare", {}, 409),
        ("POST", "/v1/admin/indexes/v1/activate", {}, 409),
        ("POST", "/v1/admin/indexes/m1/activate", {"force": True, "wait_s": -1}, 422),
        ("POST", "/v1/admin/indexes/m1/activate", {"force": True, "wait_s": "long"}, 422),
        ("POST", "/v1/admin/indexes/half/activate", {"force": True}, 409),
        ("POST", "/v1/admin/indexes/half/compare", {}, 409),
        ("PUT", "/v1/admin/indexes/half/canary", {"share": 0.5}, 409),
        ("PUT", "/v1/admin/indexes/v1/canary", {"share": 0.5}, 409),
        ("PUT", "/v1/admin/indexes/nothing/canary", {"share": 0.5}, 404),
        ("POST", "/v1/admin/indexes/nothing/compare", {}, 404),
        ("POST", "/v1/admin/indexes/theirs/activate", {"force": True}, 404),
        ("POST", "/v1/admin/indexes/theirs/compare", {}, 404),
        ("GET", "/v1/admin/indexes/theirs/comparison.png", None, 404),
        ("POST", f"/v1/admin/indexes/{'x' * 101}/activate", {}, 422),
        ("GET", "/v1/admin/indexes/rollback", None, 405),
        ("POST", "/v1/admin/indexes/nothing/retire", None, 404),
        ("POST", "/v1/admin/indexes/theirs/retire", None, 404),
    ],
)
async def test_what_cannot_be_is_a_problem(client, catalog, method, path, body, status):
    """`half` is being built; `theirs` is another tenant's."""
    when = datetime.now(UTC)
    with catalog.tenant(T) as tx:
        half = IndexVersion(T, MUTE.id, "half", "building", "nowhere", 0, 0, when)
        indexes.create(tx, half, 0)
    with catalog.tenant("other") as tx:
        spaces.register(tx, SPACE)
        theirs = IndexVersion("other", SPACE.id, "theirs", "shadow", "elsewhere", 1, 1, when)
        indexes.create(tx, theirs, 0)
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"]
    listed = (await client.get("/v1/admin/indexes")).json()
    assert listed["default_space"] == SPACE.id and listed["last_switch"] is None
    assert "theirs" not in {v["version"] for v in listed["indexes"]}


async def test_photos_that_a_version_lacks_are_counted(client, catalog, tmp_path):
    store = ObjectStore(StorageConfig(root=str(tmp_path / "store")))
    table = rows.photos(*(rows.photo(f"file:///{n}.jpg", n) for n in NAMES))
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, table, rows.rejects())
    shadow(catalog, store, "m3", NAMES[:50], space=MUTE)
    refused = await client.post("/v1/admin/indexes/m3/activate", json={"force": True})
    assert refused.status_code == 409
    assert "lacks 10 of 60 photos" in refused.json()["detail"]
    assert "photoorg reembed" in refused.json()["fix"]


async def test_of_two_cutovers_at_once_one_is_told_of_the_other(client, catalog, tmp_path):
    store = ObjectStore(StorageConfig(root=str(tmp_path / "store")))
    shadow(catalog, store, "m4", space=MUTE)
    both = await asyncio.gather(
        *(
            client.post(f"/v1/admin/indexes/{name}/activate", json={"force": True})
            for name in ("m1", "m4", "m1", "m4")
        )
    )
    codes = sorted(answer.status_code for answer in both)
    assert set(codes) <= {200, 409} and 200 in codes
    serving = (await client.get("/v1/admin/indexes")).json()
    active = [v["version"] for v in serving["indexes"] if v["status"] == "active"]
    assert active == [serving["last_switch"]["to_version"]]


async def test_a_rollback_to_what_was_removed_says_so(client, catalog):
    await client.post("/v1/admin/indexes/m1/activate", json={"force": True})
    with catalog.tenant(T) as tx:
        indexes.set_status(tx, SPACE.id, "v1", "deleted")
    answer = await client.post("/v1/admin/indexes/rollback", json={})
    assert answer.status_code == 409 and "was removed" in answer.json()["detail"]
    assert (await client.get("/v1/admin/indexes")).json()["default_space"] == MUTE.id
