"""/v1/events over a real PostgreSQL."""

from __future__ import annotations

from datetime import timedelta

import httpx
import pytest

from photoorg.curate.detecting import detect_events
from photoorg.curation_config import EventsConfig
from photoorg.store.catalog import photos
from serve.auth import fixed_tenant
from serve.curation import curation_routers
from serve.threads import CatalogThreads
from tests.catalog import rows
from tests.fakes.http import World

pytestmark = pytest.mark.postgres
T = "default"


@pytest.fixture
async def client(catalog):
    made = [
        rows.photo(f"{day}-{n}", captured_at=rows.WHEN + timedelta(days=day, minutes=5 * n))
        for day in range(3)
        for n in range(4)
    ]
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
    detect_events(catalog, T, EventsConfig(), actor="test")
    threads = CatalogThreads(catalog)
    world = World(routers=lambda: curation_routers(threads, fixed_tenant(T)))
    async with world.client() as client:
        yield client
    threads.close()


async def listed(client: httpx.AsyncClient) -> list[dict]:
    return (await client.get("/v1/events")).json()["events"]


async def test_pages_of_events_follow_each_other(client):
    first = (await client.get("/v1/events", params={"limit": 2})).json()
    rest = await client.get("/v1/events", params={"limit": 2, "cursor": first["next_cursor"]})
    found = first["events"] + rest.json()["events"]
    assert rest.json()["next_cursor"] is None
    assert [e["starts_at"][:10] for e in found] == ["2024-05-03", "2024-05-02", "2024-05-01"]
    assert all(e["photos"] == 4 for e in found)


async def test_an_event_shows_its_photos_in_order(client):
    event = (await listed(client))[-1]["event_id"]
    first = (await client.get(f"/v1/events/{event}", params={"limit": 3})).json()
    cursor = {"limit": 3, "cursor": first["next_cursor"]}
    rest = (await client.get(f"/v1/events/{event}", params=cursor)).json()
    assert first["photo_ids"] + rest["photo_ids"] == [rows.photo_id(f"0-{n}") for n in range(4)]


async def test_changes_are_made_listed_and_taken_back(client):
    late, middle, early = (e["event_id"] for e in await listed(client))
    answers = [
        await client.post(f"/v1/events/{early}/split", json={"at": rows.photo_id("0-2")}),
        await client.post("/v1/events/merge", json={"event_ids": [middle, late]}),
        await client.post("/v1/events/move", json={"photo_ids": [rows.photo_id("0-0")]}),
        await client.post(f"/v1/events/{middle}/rename", json={"title": "Fair"}),
    ]
    assert [a.status_code for a in answers] == [200] * 4, [a.text for a in answers]
    assert [a.json()["event"]["photos"] for a in answers] == [2, 8, 1, 8]
    assert answers[-1].json()["event"]["title"] == "Fair"
    history = (await client.get("/v1/events/decisions")).json()["decisions"]
    assert [d["kind"] for d in history] == ["rename", "move", "merge", "split"]
    for decision in history:
        undone = await client.post(f"/v1/events/decisions/{decision['decision']}/undo")
        assert undone.status_code == 200, undone.text
        again = await client.post(f"/v1/events/decisions/{decision['decision']}/undo")
        assert (again.status_code, again.json()["code"]) == (409, "conflict")
    assert [(e["event_id"], e["photos"]) for e in await listed(client)] == [
        (late, 4),
        (middle, 4),
        (early, 4),
    ]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("999999/split", {"at": rows.photo_id("0-2")}, 404),
        ("1/split", {}, 422),
        ("1/split", {"at": "nonsense"}, 422),
        ("merge", {"event_ids": [1]}, 422),
        ("merge", {"event_ids": [999998, 999999]}, 404),
        ("move", {"photo_ids": [rows.photo_id("nobody")]}, 404),
        ("999999/rename", {"title": "x"}, 404),
        ("1/rename", {"title": "x" * 201}, 422),
        ("decisions/999999/undo", None, 404),
    ],
)
async def test_changes_that_cannot_be_are_problems(client, path, body, status):
    answer = await client.post(f"/v1/events/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_cursors_nobody_gave_are_refused(client):
    assert (await client.get("/v1/events", params={"cursor": "x"})).status_code == 422
    assert (await client.get("/v1/events/999999")).status_code == 404


async def test_trips_are_listed_and_events_by_trip(client, catalog):
    with catalog.tenant(T) as tx:
        tx.conn.execute("UPDATE events SET trip_id = event_id, trip_title = 'Trip to Rome'")
    first = (await client.get("/v1/events/trips", params={"limit": 2})).json()
    rest = await client.get("/v1/events/trips", params={"cursor": first["next_cursor"]})
    found = first["trips"] + rest.json()["trips"]
    assert [t["starts_at"][:10] for t in found] == ["2024-05-03", "2024-05-02", "2024-05-01"]
    assert [(t["events"], t["photos"]) for t in found] == [(1, 4)] * 3
    one = (await client.get("/v1/events", params={"trip": found[0]["trip_id"]})).json()["events"]
    assert [e["trip_title"] for e in one] == ["Trip to Rome"]
    none = await client.get("/v1/events", params={"trip": 999_999})
    assert none.json() == {"events": [], "next_cursor": None}
