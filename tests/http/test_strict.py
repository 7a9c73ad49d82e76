"""Names that nobody reads are told, never ignored."""

from __future__ import annotations

import pytest

from tests.fakes.http import NAMES
from tests.fakes.search import jpeg, photo_id

ONE = photo_id(NAMES[0])


@pytest.mark.parametrize(
    "path, known",
    [
        (f"/v1/photos/{ONE}/similar?top_k=3&fliter={{}}", "cursor, cutoff, filter, top_k"),
        ("/v1/search?q=sea&k=0", "cursor, cutoff, filter, mode, q, top_k"),
        ("/v1/photos?page=2", "cursor, limit"),
    ],
)
async def test_a_parameter_that_is_not_there_is_told_with_those_that_are(client, path, known):
    answer = await client.get(path)
    assert answer.status_code == 422 and answer.json()["code"] == "input-invalid"
    assert answer.json()["fix"] == f"Choose from {known}."


async def test_an_operation_without_parameters_says_so(client):
    answer = await client.get(f"/v1/photos/{ONE}?full=1")
    assert answer.status_code == 422 and "'full'" in answer.json()["detail"]
    assert answer.json()["fix"] == "Leave it out: there is no parameter here."


async def test_a_form_field_that_is_not_there_is_told(client):
    image = ("q.jpg", jpeg("query", (64, 48)))
    asked = await client.post("/v1/search", files={"image": image}, data={"k": "3"})
    sent = await client.post("/v1/photos", files={"file": image}, data={"album": "Summer"})
    assert asked.status_code == sent.status_code == 422
    assert "form field 'k'" in asked.json()["detail"] and "top_k" in asked.json()["fix"]
    assert "form field 'album'" in sent.json()["detail"]


async def test_what_asks_for_health_may_add_to_its_address(client):
    assert (await client.get("/v1/health/live?probe=1")).status_code == 200
    assert (await client.get("/v1/metrics?match=all")).status_code == 200
