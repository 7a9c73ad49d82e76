"""The calibrated cutoff over HTTP: nonsense finds nothing and says why; it can be overridden."""

from __future__ import annotations

import pytest

from photoorg.index.cutoffs import Cutoffs
from tests.fakes.http import NAMES, World
from tests.fakes.search import jpeg, photo_id, unit
from tests.unit.search.test_pages import FakeQueries

FAR = [float(v) for v in unit("nothing like it")]
IMAGE = {"image": ("q.jpg", jpeg("noise", (64, 48)))}


@pytest.fixture
async def client():
    queries = FakeQueries({NAMES[3]: ("sea",)})
    for kind in ("image", "text"):
        queries.fitted |= Cutoffs(0.95, 0.5, 0.0, 0.25).to_thresholds(kind)
    async with World(queries=queries).client() as client:
        yield client


async def asked_every_way(client, **more):
    said = {name: str(value) for name, value in more.items()}
    return [
        await client.post("/v1/search", json={"vector": FAR, **more}),
        await client.post("/v1/search", files=IMAGE, data=said),
        await client.get("/v1/search", params={"q": "gibberish", "mode": "semantic", **said}),
    ]


async def test_nonsense_finds_nothing_and_says_why(client):
    for answer in await asked_every_way(client):
        body = answer.json()
        assert answer.status_code == 200 and body["results"] == []
        assert any("than chance" in note for note in body["notes"])
        assert body["next_cursor"] is None


async def test_the_cutoff_can_be_switched_off_or_set(client):
    for answer in await asked_every_way(client, cutoff="off"):
        assert len(answer.json()["results"]) == len(NAMES)
    for answer in await asked_every_way(client, cutoff=0.2):
        found = [r["signals"]["cosine"] for r in answer.json()["results"]]
        assert len(found) < len(NAMES) and all(c >= 0.2 for c in found)


async def test_a_photo_of_the_library_finds_itself_with_the_chance_of_every_hit(client):
    body = {"vector": [float(v) for v in unit(NAMES[2])]}
    hits = (await client.post("/v1/search", json=body)).json()["results"]
    assert hits[0]["photo_id"] == photo_id(NAMES[2])
    assert all(h["signals"]["cosine"] >= 0.5 and h["signals"]["chance"] < 0.03 for h in hits)
    similar = await client.get(f"/v1/photos/{photo_id(NAMES[2])}/similar")
    assert len(similar.json()["results"]) == len(NAMES) - 1


@pytest.mark.parametrize("cutoff", ["some", 1.5, -2])
async def test_a_cutoff_that_is_none_is_refused_everywhere(client, cutoff):
    answers = await asked_every_way(client, cutoff=cutoff)
    answers.append(
        await client.get(f"/v1/photos/{photo_id(NAMES[2])}/similar", params={"cutoff": cutoff})
    )
    for answer in answers:
        assert answer.status_code == 422 and answer.json()["code"] == "input-invalid"


async def test_a_batch_takes_a_cutoff_for_each_query(client):
    queries = [{"vector": FAR}, {"vector": FAR, "cutoff": "off", "top_k": 3}]
    answer = await client.post("/v1/search/batch", json={"queries": queries})
    first, second = answer.json()["answers"]
    assert first["results"]["results"] == [] and len(second["results"]["results"]) == 3
