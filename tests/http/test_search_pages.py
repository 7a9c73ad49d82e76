"""Filters, modes and cursors over HTTP."""

from __future__ import annotations

import json

import pytest

from photoorg.config import SearchConfig
from photoorg.search.catalog import CatalogQueries
from photoorg.search.service import SearchService
from tests.catalog.library import T, fill
from tests.fakes.http import NAMES
from tests.fakes.search import DIM, FakeEmbedder, FakePhotos, FakeSlot, photo, photo_id, unit

VECTOR = [float(v) for v in unit("q")]


async def test_pages_of_a_vector_give_every_photo_once(client):
    seen, body = [], {"vector": VECTOR, "top_k": 5}
    for _ in range(10):
        answer = (await client.post("/v1/search", json=body)).json()
        seen += [hit["photo_id"] for hit in answer["results"]]
        if answer["next_cursor"] is None:
            break
        body["cursor"] = answer["next_cursor"]
    assert sorted(seen) == sorted(photo_id(n) for n in NAMES)


async def test_pages_of_a_photo_are_asked_for_in_the_url(client):
    url = f"/v1/photos/{photo_id(NAMES[0])}/similar"
    first = (await client.get(url, params={"top_k": 6})).json()
    second = await client.get(url, params={"top_k": 6, "cursor": first["next_cursor"]})
    ids = [[h["photo_id"] for h in a["results"]] for a in (first, second.json())]
    assert (len(ids[0]), len(ids[1])) == (6, 5) and not set(ids[0]) & set(ids[1])
    assert second.json()["next_cursor"] is None


@pytest.mark.parametrize("cursor", ["x", "AAAA", "%00", "a" * 5000])
async def test_a_cursor_that_is_none_is_refused(client, cursor):
    answer = await client.post("/v1/search", json={"vector": VECTOR, "cursor": cursor})
    assert answer.status_code == 422 and answer.json()["code"] == "input-invalid"


@pytest.mark.parametrize(
    "chosen",
    [
        {"unknown": 1},
        {"near": {"lat": 91, "lon": 0, "km": 1}},
        {"near": {"lat": 1, "lon": 0, "km": 0}},
        {"box": {"south": 2, "west": 0, "north": 1, "east": 1}},
        {"taken": {}},
        {"taken": {"after": "never"}},
        {"tags": {"any": []}},
        {"quality": {"min": 2}},
        {"album": 2**70},
        {"and": []},
    ],
)
async def test_a_filter_that_means_nothing_is_refused_and_named(client, chosen):
    answers = [
        await client.post("/v1/search", json={"vector": VECTOR, "filter": chosen}),
        await client.get("/v1/search", params={"q": "sea", "filter": json.dumps(chosen)}),
    ]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert next(iter(chosen)) in answer.json()["detail"]


async def test_a_filter_nested_without_end_is_refused(client):
    deep = '{"not":' * 500 + "{}" + "}" * 500
    body = '{"vector": ' + json.dumps(VECTOR) + ', "filter": ' + deep + "}"
    answer = await client.post(
        "/v1/search", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 422
    assert (await client.get("/v1/search", params={"q": "a", "filter": deep})).status_code == 422


async def test_an_unknown_mode_is_refused(client):
    assert (await client.get("/v1/search", params={"q": "a", "mode": "magic"})).status_code == 422


async def test_two_questions_at_once_are_refused(client):
    body = {"vector": [1.0] * DIM, "text": "sea"}
    assert (await client.post("/v1/search", json=body)).status_code == 422


@pytest.mark.postgres
async def test_filters_words_and_dates_against_a_real_catalog(catalog):
    known = fill(catalog, 60, seed=5)
    queries = CatalogQueries(catalog)
    names = [f"photo-{i}" for i in range(60)]
    slot = FakeSlot({photo_id(n): unit(n) for n in names})
    photos = FakePhotos([photo(n) for n in names])
    service = SearchService(FakeEmbedder(), [slot], photos, SearchConfig(), queries)
    live = [k for k in known if k.ready and not k.trashed]
    tagged = {k.photo_id for k in live if "dog" in k.tags}
    answer = await service.by_text(T, "dogs", 60, mode="keyword")
    assert {h.photo_id for h in answer.hits} == tagged
    year = {k.photo_id for k in live if k.taken and k.taken.year == 2020 and "dog" in k.tags}
    answer = await service.by_text(T, "dog 2020", 60, mode="keyword")
    found = {h.photo_id for h in answer.hits}
    assert len(found ^ year) <= 2 and answer.notes  # New Year's Eve depends on the wall clock
    queries.close()
