"""People, scenes and albums over HTTP, with a real catalog behind."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest
from fastapi import FastAPI

from photoorg.config import PhotoOrgConfig, StorageConfig, parse
from photoorg.curate.scene_albums import SceneAlbums
from photoorg.store.catalog import Catalog, photos
from photoorg.store.objects import ObjectStore
from serve.api.albums import albums_router, clusters_router
from serve.api.faces import faces_router
from serve.api.people import people_router
from serve.auth import fixed_tenant
from serve.organised import Organised
from serve.problems import install
from tests.catalog import rows
from tests.catalog.portraits import T, agree, load, portraits
from tests.unit.curate.faces import made_up

pytestmark = pytest.mark.postgres
CONFIG: PhotoOrgConfig = parse({"people": {"device": "cpu"}, "scenes": {"device": "cpu"}})


@pytest.fixture
def app(catalog: Catalog, tmp_path) -> FastAPI:
    store = ObjectStore(StorageConfig(root=str(tmp_path / "store")))
    organised = Organised(catalog, store, CONFIG)
    app = FastAPI()
    install(app)
    for make in (people_router, faces_router, clusters_router, albums_router):
        app.include_router(make(organised, fixed_tenant(T)))
    return app


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        yield client


def fill(catalog: Catalog) -> None:
    agree(catalog)
    load(catalog, "run", *portraits(1, 6), *portraits(2, 4))


def faces(name: str) -> dict[str, object]:
    return {"faces": [{"photo_id": rows.photo_id(name), "face_no": 0}]}


async def test_consent_is_off_at_first_and_withdrawing_deletes(client, catalog):
    assert (await client.get("/v1/faces/consent")).json()["consents"] == []
    for user in (None, "owner"):
        answer = await client.put("/v1/faces/consent", json={"user": user, "agreed": True})
        assert answer.status_code == 200
    fill(catalog)
    await client.post("/v1/faces/cluster", json={})
    gone = (await client.put("/v1/faces/consent", json={"agreed": False})).json()
    assert (gone["deleted_faces"], gone["deleted_persons"]) == (10, 2)
    assert (await client.get("/v1/people")).json() == {"people": [], "next_cursor": None}


async def test_people_are_grouped_paged_labelled_and_hidden(client, catalog):
    fill(catalog)
    summary = (await client.post("/v1/faces/cluster", json={})).json()
    assert (summary["persons"], summary["unknown"]) == (2, 0)
    first = (await client.get("/v1/people", params={"limit": 1})).json()
    second = (
        await client.get("/v1/people", params={"limit": 1, "cursor": first["next_cursor"]})
    ).json()
    assert [p["faces"] for p in first["people"] + second["people"]] == [6, 4]
    assert second["next_cursor"] is None
    big = first["people"][0]
    assert big["thumbnail"] == f"/v1/photos/{big['cover_photo']}/thumbnail"
    label = {"person_id": big["person_id"], "name": "Ann"}
    assert (await client.post("/v1/faces/label", json=label)).json()["name"] == "Ann"
    named = (await client.get("/v1/faces/clusters", params={"labelled": True})).json()
    assert [p["name"] for p in named["people"]] == ["Ann"]
    path = f"/v1/people/{big['person_id']}"
    assert (await client.patch(path, json={"hidden": True})).json()["hidden"] is True
    assert len((await client.get("/v1/people")).json()["people"]) == 1
    listed = (await client.get(f"{path}/faces", params={"limit": 4})).json()
    assert len(listed["faces"]) == 4 and listed["next_cursor"]
    assert all("embedding" not in face for face in listed["faces"])


async def test_people_are_put_right_over_http(client, catalog):
    fill(catalog)
    await client.post("/v1/faces/cluster", json={})
    big, small = (p["person_id"] for p in (await client.get("/v1/people")).json()["people"])
    removed = await client.post(f"/v1/people/{big}/faces/remove", json=faces("p1-0-0.jpg"))
    assert removed.json() == {"removed": 1}
    unknown = (await client.get("/v1/faces/unknown")).json()["faces"]
    assert [f["photo_id"] for f in unknown] == [rows.photo_id("p1-0-0.jpg")]
    split = await client.post(
        f"/v1/people/{big}/split", json={**faces("p1-0-1.jpg"), "name": "Twin"}
    )
    assert split.status_code == 201 and split.json()["name"] == "Twin"
    merged = await client.post(f"/v1/people/{big}/merge", json={"merged_id": small})
    assert merged.json()["faces"] == 8
    again = await client.post(f"/v1/people/{big}/merge", json={"merged_id": small})
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    apart = await client.post(f"/v1/people/{small}/unmerge")
    assert apart.json()["faces"] == 4
    assert (await client.post(f"/v1/people/{small}/unmerge")).status_code == 409
    merges = (await client.get(f"/v1/people/{big}/merges")).json()["merges"]
    assert merges[0]["undone_by"] == "api"
    beyond = await client.get(f"/v1/people/{big}/merges", params={"cursor": merges[0]["merge_id"]})
    assert beyond.json() == {"merges": [], "next_cursor": None}
    made = await client.post("/v1/people", json={**faces("p1-0-2.jpg"), "name": "Cy"})
    assert made.json()["faces"] == 1
    link = {
        "first": faces("p2-0-0.jpg")["faces"][0],
        "second": faces("p2-0-1.jpg")["faces"][0],
        "same": False,
    }
    assert (await client.post("/v1/faces/links", json=link)).status_code == 204
    both = {"first": link["second"], "second": link["first"]}
    for there in (True, False):
        gone = await client.post("/v1/faces/links/remove", json=both)
        assert (gone.status_code, gone.json()) == (200, {"removed": there})
    pair = {"first_id": big, "second_id": small}
    assert (await client.post("/v1/people/suggestions/refuse", json=pair)).status_code == 204
    assert (await client.post("/v1/people/suggestions/reopen", json=pair)).status_code == 204
    alone = {"first_id": pair["first_id"], "second_id": pair["first_id"]}
    told = await client.post("/v1/people/suggestions/refuse", json=alone)
    assert told.status_code == 422 and "two persons" in told.json()["fix"]
    assert (await client.get("/v1/people/suggestions")).json()["suggestions"] == []


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/v1/people/999", None, 404),
        ("GET", "/v1/people/0", None, 422),
        ("GET", "/v1/people?cursor=x", None, 422),
        ("GET", "/v1/clusters/7", None, 404),
        ("GET", "/v1/albums/7", None, 404),
        ("POST", "/v1/albums/7/restore", None, 404),
        ("POST", "/v1/people/7/split", {"faces": []}, 422),
        ("PUT", "/v1/faces/consent", {"agreed": True, "extra": 1}, 422),
    ],
)
async def test_wrong_requests_are_problems(client, method, path, body, status):
    answer = await client.request(method, path, json=body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["detail"] and answer.json()["fix"]


async def test_scenes_become_albums_that_are_kept_refused_and_restored(client, catalog):
    x_nd, labels = made_up([12, 10], within=0.8, dim=32)
    names = [f"{label}-{i}.jpg" for i, label in enumerate(labels)]
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*map(rows.photo, names)), rows.rejects())
    ids = [rows.photo_id(name) for name in names]
    SceneAlbums(catalog, T, CONFIG.scenes, "test").cluster(ids, x_nd, "space")
    clusters = (await client.get("/v1/clusters")).json()["clusters"]
    assert [c["size"] for c in clusters] == [12, 10]
    path = f"/v1/clusters/{clusters[0]['scene_id']}"
    page = (await client.get(f"{path}/photos", params={"limit": 10})).json()
    assert len(page["photos"]) == 10 and page["next_cursor"]
    assert (await client.get("/v1/clusters/map")).content.startswith(b"\x89PNG")
    offered = (await client.post("/v1/albums/suggest")).json()["albums"]
    assert sorted(a["photos"] for a in offered) == [10, 12]
    keep, drop = offered
    kept = await client.post(f"/v1/albums/{keep['album_id']}/accept", json={"name": "Sea"})
    assert (kept.json()["kind"], kept.json()["name"]) == ("manual", "Sea")
    twice = await client.post(f"/v1/albums/{keep['album_id']}/accept", json={"name": "Sea"})
    assert (twice.status_code, twice.json()["code"]) == (409, "conflict")
    assert (await client.delete(f"/v1/albums/{drop['album_id']}")).status_code == 204
    assert (await client.post("/v1/albums/suggest")).json()["albums"] == []
    back = await client.post(f"/v1/albums/{drop['album_id']}/restore")
    assert back.status_code == 201 and back.json()["photos"] == drop["photos"]
    assert (back.json()["cover_id"], back.json()["reason"]) == (drop["cover_id"], drop["reason"])
    again = (await client.post("/v1/albums/suggest")).json()["albums"]
    assert [a["photos"] for a in again] == [drop["photos"]]


async def test_albums_are_made_filled_listed_and_renamed(client, catalog):
    names = [f"{i}.jpg" for i in range(5)]
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*map(rows.photo, names)), rows.rejects())
    ids = sorted(rows.photo_id(name) for name in names)
    made = await client.post("/v1/albums", json={"name": "One", "photo_ids": ids[:2]})
    path = f"/v1/albums/{made.json()['album_id']}"
    assert made.status_code == 201 and made.json()["photos"] == 2
    filled = await client.post(f"{path}/photos", json={"photo_ids": ids})
    assert filled.json()["photos"] == 5
    emptied = await client.post(f"{path}/photos/remove", json={"photo_ids": ids[:1]})
    assert emptied.json()["photos"] == 4
    first = (await client.get(f"{path}/photos", params={"limit": 3})).json()
    rest = (await client.get(f"{path}/photos", params={"cursor": first["next_cursor"]})).json()
    assert first["photo_ids"] + rest["photo_ids"] == ids[1:] and rest["next_cursor"] is None
    assert (await client.patch(path, json={"name": "Two"})).json()["name"] == "Two"
    unknown = await client.post(f"{path}/photos", json={"photo_ids": ["0" * 64]})
    assert unknown.status_code == 404
    await client.post("/v1/albums", json={"name": "Three"})
    pages = (await client.get("/v1/albums", params={"limit": 1})).json()
    assert pages["albums"][0]["name"] == "Three" and pages["next_cursor"]


def test_every_operation_is_described(app: FastAPI) -> None:
    found = 0
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            found += 1
            name = f"{method} {path}"
            assert operation["summary"] and operation["description"], name
            assert "500" in operation["responses"], name
            if operation.get("parameters"):
                assert "422" in operation["responses"], name
    assert found >= 30


def test_vectors_of_photos_are_not_needed_for_an_empty_map(catalog: Catalog) -> None:
    service = SceneAlbums(catalog, T, CONFIG.scenes, "test")
    assert service.cluster([], np.zeros((0, 8), np.float32), "space").scenes == 0
    assert service.suggest() == [] and service.map().startswith(b"\x89PNG")
