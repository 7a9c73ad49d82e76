"""/v1/calibration over a real PostgreSQL."""

from __future__ import annotations

import pytest

from photoorg.store.catalog import spaces
from serve.auth import fixed_tenant
from serve.curation import curation_routers
from serve.threads import CatalogThreads
from tests.fakes.http import World
from tests.fakes.search import SPACE

pytestmark = pytest.mark.postgres
T = "default"


@pytest.fixture
async def client(catalog):
    threads = CatalogThreads(catalog)
    world = World(routers=lambda: curation_routers(threads, fixed_tenant(T)))
    async with world.client() as client:
        yield client
    threads.close()


@pytest.fixture
def library(catalog):
    with catalog.tenant(T) as tx:
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, SPACE.kind)
    return catalog


async def in_force(client) -> dict[str, float]:
    body = (await client.get("/v1/calibration")).json()
    assert body["space"] == SPACE.id
    return body["thresholds"]


async def test_cutoffs_are_set_noted_and_taken_back(library, client):
    assert await in_force(client) == {}
    body = {"cutoffs": {"search.image": 0.4, "search.text": 0.2}}
    done = (await client.put("/v1/calibration/search", json=body)).json()
    assert done["changes"]["search.image"] == {"before": None, "after": 0.4}
    more = {"cutoffs": {"search.image": None}}
    assert (await client.put("/v1/calibration/search", json=more)).status_code == 200
    assert await in_force(client) == {"search.text": 0.2}
    undone = (await client.post("/v1/calibration/undo")).json()
    assert undone["changes"] == {"search.image": {"before": None, "after": 0.4}}
    assert await in_force(client) == {"search.image": 0.4, "search.text": 0.2}
    with library.tenant(T) as tx:
        told = tx.conn.execute("SELECT actor, count(*) FROM audit_log GROUP BY actor").fetchall()
    assert told == [("api", 4)]


async def test_a_change_is_taken_back_by_its_token_unless_it_was_changed_again(library, client):
    first = {"cutoffs": {"search.image": 0.4}}
    token = (await client.put("/v1/calibration/search", json=first)).json()["undo_token"]
    other = {"cutoffs": {"search.text": 0.2}}
    await client.put("/v1/calibration/search", json=other, headers={"X-User-ID": "ann"})
    undone = await client.post("/v1/calibration/undo", json={"undo_token": token})
    assert undone.json()["changes"] == {"search.image": {"before": 0.4, "after": None}}
    assert await in_force(client) == {"search.text": 0.2}
    again = (await client.put("/v1/calibration/search", json=first)).json()["undo_token"]
    await client.put("/v1/calibration/search", json={"cutoffs": {"search.image": 0.5}})
    refused = await client.post("/v1/calibration/undo", json={"undo_token": again})
    assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
    unknown = await client.post("/v1/calibration/undo", json={"undo_token": "made up"})
    assert unknown.status_code == 404
    with library.tenant(T) as tx:
        told = tx.conn.execute("SELECT DISTINCT actor FROM audit_log ORDER BY actor").fetchall()
    assert told == [("ann",), ("api",)]


@pytest.mark.parametrize(
    "body",
    [{}, {"cutoffs": {}}, {"cutoffs": {"search.image": 2}}, {"cutoffs": {"duplicate.accept": 0}}],
)
async def test_values_that_are_no_cutoffs_are_refused(library, client, body):
    assert (await client.put("/v1/calibration/search", json=body)).status_code == 422
    assert await in_force(client) == {}


async def test_a_library_without_a_space_has_nothing_to_look_at(client):
    for answer in (
        await client.get("/v1/calibration"),
        await client.post("/v1/calibration/undo"),
        await client.put("/v1/calibration/search", json={"cutoffs": {"search.image": 0.4}}),
    ):
        assert answer.status_code == 404 and answer.json()["fix"]
