from __future__ import annotations

import asyncio
import json
import logging

import pytest

from photoorg.config import ServeConfig
from serve.middleware import JsonLines
from serve.ports import Check
from tests.fakes.http import NAMES, World, every_router
from tests.fakes.search import photo_id

ONE = photo_id(NAMES[0])


async def test_a_request_id_is_given_back_also_on_errors(client):
    headers = {"X-Request-ID": "abc-123"}
    good = await client.get("/v1/health/live", headers=headers)
    bad = await client.get("/v1/photos/nonsense", headers=headers)
    assert good.headers["x-request-id"] == bad.headers["x-request-id"] == "abc-123"
    assert bad.json()["request_id"] == "abc-123"


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, 'a"b'])
async def test_a_request_id_that_could_do_harm_is_replaced(client, given):
    answer = await client.get("/v1/health/live", headers={"X-Request-ID": given})
    assert answer.headers["x-request-id"] not in ("", given)


async def test_unknown_paths_and_methods_are_problems(client):
    lost = await client.get("/v1/nothing")
    wrong = await client.put("/v1/photos")
    assert (lost.status_code, lost.json()["code"]) == (404, "not-found")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method-not-allowed")
    assert "GET" in wrong.headers["allow"] or "POST" in wrong.headers["allow"]
    assert lost.headers["content-type"] == wrong.headers["content-type"]


async def test_a_bug_is_a_problem_with_an_id_and_without_its_insides(client, world, caplog):
    world.library.broken = ZeroDivisionError("secret detail")
    answer = await client.get(f"/v1/photos/{ONE}")
    assert answer.status_code == 500 and answer.json()["code"] == "internal"
    assert "secret detail" not in answer.text
    assert answer.json()["request_id"] in answer.json()["fix"]
    assert "secret detail" in caplog.text


async def test_readiness_names_the_part_that_does_not_work(client, world):
    assert (await client.get("/v1/health/ready")).json()["status"] == "ready"
    world.health.parts["database"] = Check(False, "Connection refused. Start PostgreSQL.")
    answer = await client.get("/v1/health/ready")
    assert answer.status_code == 503
    assert answer.json()["checks"]["database"] == {
        "ok": False,
        "detail": "Connection refused. Start PostgreSQL.",
    }
    assert (await client.get("/v1/health/live")).status_code == 200


async def test_metrics_count_by_route_not_by_id(client):
    await client.get(f"/v1/photos/{ONE}/similar")
    text = (await client.get("/v1/metrics")).text
    route = 'method="GET",route="/v1/photos/{photo_id}/similar",status="200"'
    assert f"photoorg_http_requests_total{{{route}}} 1.0" in text
    assert 'photoorg_search_seconds_count{kind="similar"} 1.0' in text
    assert "photoorg_upload_queue_depth 0.0" in text and ONE not in text


async def test_every_request_is_one_json_line_with_id_and_tenant(client, caplog):
    with caplog.at_level(logging.INFO, "serve.access"):
        await client.get(f"/v1/photos/{ONE}", headers={"X-Request-ID": "abc"})
    (record,) = [r for r in caplog.records if r.name == "serve.access"]
    line = json.loads(JsonLines().format(record))
    assert line["request_id"] == "abc" and line["tenant"] == "default" and line["status"] == 200
    assert line["route"] == "/v1/photos/{photo_id}" and line["ms"] > 0


async def test_more_requests_than_there_is_room_for_are_sent_away():
    world = World(serve=ServeConfig(ingress_ongoing=1))
    for slot in world.slots:
        slot.delay_s = 0.1
    async with world.client() as client:
        answers = await asyncio.gather(
            *(client.get("/v1/search", params={"q": "sea"}) for _ in range(3))
        )
    assert sorted(a.status_code for a in answers) == [200, 503, 503]
    away = next(a for a in answers if a.status_code == 503)
    assert away.headers["retry-after"] and away.json()["code"] == "overloaded"


def operations(app):
    for path, methods in app.openapi()["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def test_openapi_lists_every_promised_operation(world):
    assert {name for name, _ in operations(world.app)} == {
        "POST /v1/photos",
        "GET /v1/photos",
        "GET /v1/photos/{photo_id}",
        "DELETE /v1/photos/{photo_id}",
        "GET /v1/photos/{photo_id}/thumbnail",
        "GET /v1/photos/{photo_id}/similar",
        "GET /v1/photos/{photo_id}/pairs",
        "POST /v1/photos/{photo_id}/trash",
        "POST /v1/photos/{photo_id}/restore",
        "GET /v1/search",
        "POST /v1/search",
        "POST /v1/search/batch",
        "GET /v1/health/live",
        "GET /v1/health/ready",
        "GET /v1/metrics",
    }


@pytest.fixture(scope="module")
def whole():
    """The whole interface."""
    return World(routers=every_router).app


def test_the_whole_interface_has_every_area(whole):
    areas = {path.split("/")[2] for path in whole.openapi()["paths"]}
    assert areas == {
        *("photos", "search", "health", "metrics", "admin", "dedup", "events", "people", "faces"),
        *("clusters", "albums", "tags", "anomalies", "rules", "feedback", "clicks", "calibration"),
    }


def test_openapi_is_complete_for_every_operation(whole):
    for name, operation in operations(whole):
        assert operation["summary"] and operation["description"], name
        good = [s for s in operation["responses"] if s.startswith("2")]
        assert good, name
        for status in good:
            if status != "204":
                (content, *_) = operation["responses"][status]["content"].values()
                assert content["schema"], (name, status)
        errors = {s for s in operation["responses"] if s[0] in "45"}
        assert "500" in errors, name
        if operation.get("parameters"):
            assert "422" in errors, name
        for status in errors:
            entry = operation["responses"][status]
            (content, *_) = entry["content"].values()
            assert entry["description"] and "$ref" in content["schema"], (name, status)
        for media, content in operation.get("requestBody", {"content": {}})["content"].items():
            schema = content["schema"]
            schema = next((one for one in schema.get("anyOf", ()) if "$ref" in one), schema)
            named = schema.get("$ref", "").rpartition("/")[2]
            schema = whole.openapi()["components"]["schemas"][named] if named else schema
            assert schema["properties"], (name, media)
        for parameter in operation.get("parameters", ()):
            assert parameter["schema"], (name, parameter["name"])


def test_openapi_references_resolve(whole):
    schema = whole.openapi()
    text = json.dumps(schema)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}
    assert names <= set(schema["components"]["schemas"]) and "Problem" in names
    assert "HTTPValidationError" not in names
