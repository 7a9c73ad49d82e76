"""Without authentication: only this machine, and none of the pages its browsers show."""

from __future__ import annotations

import pytest

from photoorg.config import ServeConfig
from tests.fakes.http import NAMES, World
from tests.fakes.search import photo_id

ONE = photo_id(NAMES[0])


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:9000", "[::1]:8000"])
async def test_names_of_this_machine_are_answered(client, host):
    headers = {"Host": host, "Origin": f"http://{host}"}
    assert (await client.get(f"/v1/photos/{ONE}", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "host", ["rebound.example:8000", "localhost.example", "10.0.0.7", "[fe80::1]", "[bad", "@"]
)
async def test_a_name_that_was_made_to_resolve_to_this_machine_is_refused(client, host):
    answer = await client.get(f"/v1/photos/{ONE}", headers={"Host": host})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("origin", ["https://page.example", "null", "http://localhost.example"])
async def test_a_page_of_elsewhere_changes_nothing(client, world, origin):
    answer = await client.post(f"/v1/photos/{ONE}/trash", headers={"Origin": origin})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert world.photos.known[ONE].trashed_at is None


async def test_behind_something_that_keeps_strangers_out_any_name_is_answered():
    world = World(ServeConfig(host="0.0.0.0", allow_public=True))
    headers = {"Host": "photos.example", "Origin": "https://photos.example"}
    async with world.client() as client:
        assert (await client.get(f"/v1/photos/{ONE}", headers=headers)).status_code == 200
