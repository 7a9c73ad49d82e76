"""/v1/anomalies, /v1/rules, /v1/feedback and /v1/clicks over a real PostgreSQL."""

from __future__ import annotations

import pytest

from photoorg.curate.anomaly_review import store
from photoorg.store.catalog import photos
from photoorg.store.catalog.anomalies import Found
from serve.auth import fixed_tenant
from serve.curation import curation_routers
from serve.threads import CatalogThreads
from tests.catalog import rows
from tests.fakes.http import World

pytestmark = pytest.mark.postgres
T = "default"
IDS = [rows.photo_id(f"p{n}") for n in range(5)]
POOR = {"name": "poor", "when": {"field": "quality", "below": 0.25}, "then": "archive"}


@pytest.fixture
async def client(catalog):
    made = [rows.photo(f"p{n}", quality=n / 10) for n in range(5)]
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        found = [Found(bytes.fromhex(IDS[n]), 0.6 + n / 10, 0.5, 2.0, 4.0, ["far"]) for n in (0, 1)]
        store(tx, "space", found, 5, "test")
    threads = CatalogThreads(catalog)
    world = World(routers=lambda: curation_routers(threads, fixed_tenant(T)))
    async with world.client() as client:
        yield client
    threads.close()


async def test_the_queue_is_paged_dismissed_and_reopened(client):
    first = (await client.get("/v1/anomalies", params={"limit": 1})).json()
    cursor = {"limit": 1, "cursor": first["next_cursor"]}
    rest = (await client.get("/v1/anomalies", params=cursor)).json()
    assert [a["photo_id"] for a in first["anomalies"] + rest["anomalies"]] == [IDS[1], IDS[0]]
    body = {"photo_ids": [IDS[1]]}
    assert (await client.post("/v1/anomalies/dismiss", json=body)).json() == body
    gone = (await client.get("/v1/anomalies", params={"status": "dismissed"})).json()
    assert [a["photo_id"] for a in gone["anomalies"]] == [IDS[1]]
    assert (await client.post("/v1/anomalies/reopen", json=body)).json() == body
    assert len((await client.get("/v1/anomalies")).json()["anomalies"]) == 2


async def test_rules_are_tried_unless_told_otherwise_and_taken_back(client):
    tried = (await client.post("/v1/rules/run", json={"rules": [POOR]})).json()
    assert tried["dry_run"] and tried["rules"][0]["photos"] == 3
    assert (await client.get("/v1/rules/runs")).json() == {"runs": [], "next_cursor": None}
    done = (await client.post("/v1/rules/run", json={"rules": [POOR], "dry_run": False})).json()
    run = done["rules"][0]["run_id"]
    (listed,) = (await client.get("/v1/rules/runs")).json()["runs"]
    assert (listed["run_id"], listed["photos"], listed["rule"]["then"]) == (run, 3, "archive")
    undone = await client.post(f"/v1/rules/runs/{run}/undo")
    assert undone.json() == {"undone": run, "photos": 3}
    assert (await client.post(f"/v1/rules/runs/{run}/undo")).status_code == 409


async def test_feedback_and_clicks_are_noted_and_feedback_withdrawn(client):
    answer = {"photo_id": IDS[0], "query": "beach", "score": 0.4, "signals": {"cosine": 0.4}}
    said = await client.post("/v1/feedback", json={**answer, "kind": "search", "accepted": True})
    assert said.status_code == 201
    clicked = await client.post("/v1/clicks", json={**answer, "position": 2, "shown": 10})
    assert clicked.status_code == 201
    number = said.json()["id"]
    assert (await client.delete(f"/v1/feedback/{number}")).status_code == 204
    assert (await client.delete(f"/v1/feedback/{number}")).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("anomalies/dismiss", {"photo_ids": [IDS[4]]}, 404),
        ("anomalies/dismiss", {"photo_ids": []}, 422),
        ("rules/run", {"rules": [{**POOR, "then": "burn"}]}, 422),
        ("rules/run", {"rules": []}, 422),
        ("rules/runs/999999/undo", None, 404),
        ("feedback", {"photo_id": "f" * 64, "kind": "search", "accepted": True}, 404),
        ("feedback", {"photo_id": IDS[0], "kind": "weather", "accepted": True}, 422),
        ("clicks", {"photo_id": IDS[0], "position": 3, "shown": 2}, 422),
        ("clicks", {"photo_id": IDS[0], "position": 0, "shown": 2}, 422),
    ],
)
async def test_what_cannot_be_is_a_problem(client, path, body, status):
    answer = await client.post(f"/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_every_operation_is_described(client):
    schema = (await client.get("/openapi.json")).json()
    for path, operations in schema["paths"].items():
        if path.split("/")[2] in ("events", "anomalies", "rules", "feedback", "clicks"):
            for operation in operations.values():
                assert operation["summary"] and operation["description"], path
                assert "422" in operation["responses"] and "500" in operation["responses"]
