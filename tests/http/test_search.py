from __future__ import annotations

import json

import pytest

from tests.fakes.http import NAMES, World
from tests.fakes.search import DIM, MUTE, FakeEmbedder, jpeg, photo_id, unit

ONE = photo_id(NAMES[0])
IMAGE = {"image": ("q.jpg", jpeg("query", (64, 48)))}


async def test_similar_photos_come_with_score_signals_and_explanations(client):
    answer = await client.get(f"/v1/photos/{ONE}/similar", params={"top_k": 5})
    body = answer.json()
    assert answer.status_code == 200 and len(body["results"]) == 5
    assert body["query_photo_id"] == ONE and body["top_k"] == 5 and body["latency_ms"] > 0
    assert (body["partial"], body["shards_answered"], body["shards_total"]) == (False, 4, 4)
    for hit in body["results"]:
        assert hit["photo_id"] != ONE and hit["uri"].startswith("file:///")
        assert -1 <= hit["score"] <= 1 and "cosine" in hit["signals"] and hit["explanations"]


async def test_text_finds_what_it_names(client):
    body = (await client.get("/v1/search", params={"q": NAMES[3], "top_k": 1})).json()
    assert body["query"] == NAMES[3] and body["results"][0]["photo_id"] == photo_id(NAMES[3])


async def test_a_vector_finds_its_photo(client):
    vector = [float(v) for v in unit(NAMES[2])]
    body = (await client.post("/v1/search", json={"vector": vector, "top_k": 1})).json()
    assert body["results"][0]["photo_id"] == photo_id(NAMES[2])


async def test_an_image_can_be_searched_whole_or_by_a_box(client):
    whole = await client.post("/v1/search", files=IMAGE, data={"top_k": "3"})
    assert whole.status_code == 200 and len(whole.json()["results"]) == 3
    box = json.dumps({"x": 0, "y": 0, "width": 64, "height": 48})
    assert (await client.post("/v1/search", files=IMAGE, data={"bbox": box})).status_code == 200


async def test_a_box_of_a_library_photo_can_be_searched(client, world):
    world.photos.originals[ONE] = jpeg("one")
    body = {"photo_id": ONE, "bbox": {"x": 0, "y": 0, "width": 9, "height": 9}}
    answer = await client.post("/v1/search", json=body)
    assert answer.status_code == 200
    assert ONE not in {hit["photo_id"] for hit in answer.json()["results"]}


@pytest.mark.parametrize("k", [0, -3, 10_000, "x"])
async def test_a_top_k_that_cannot_be_is_refused_everywhere(client, k):
    answers = [
        await client.get(f"/v1/photos/{ONE}/similar", params={"top_k": k}),
        await client.get("/v1/search", params={"q": "sea", "top_k": k}),
        await client.post("/v1/search", json={"vector": [1.0] * DIM, "top_k": k}),
        await client.post("/v1/search", files=IMAGE, data={"top_k": str(k)}),
    ]
    for answer in answers:
        assert answer.status_code == 422, answer.text
        assert answer.json()["code"] == "input-invalid" and answer.json()["detail"]


@pytest.mark.parametrize(
    "box",
    [
        {"x": 60, "y": 0, "width": 10, "height": 10},
        {"x": -1, "y": 0, "width": 10, "height": 10},
        {"x": 0, "y": 0, "width": 0, "height": 10},
        {"x": 0, "y": 0, "width": 1e9, "height": 1e9},
        {"x": 0, "y": 0, "width": 10},
    ],
)
async def test_a_box_outside_the_image_is_refused(client, box):
    answer = await client.post("/v1/search", files=IMAGE, data={"bbox": json.dumps(box)})
    assert answer.status_code == 422 and answer.json()["code"] == "input-invalid"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"photo_id": ONE, "vector": [1.0] * DIM},
        {"vector": [1.0] * DIM, "bbox": {"x": 0, "y": 0, "width": 1, "height": 1}},
        {"vector": [1.0] * (DIM + 1)},
        {"vector": [0.0] * DIM},
        {"vector": ["a"] * DIM},
        {"vector": []},
        {"photo_id": "nonsense"},
        {"photo_id": ONE, "extra": 1},
        [],
    ],
)
async def test_queries_that_mean_nothing_are_refused(client, body):
    answer = await client.post("/v1/search", json=body)
    assert answer.status_code == 422 and answer.json()["detail"], answer.text


async def test_vectors_with_nan_are_refused(client):
    body = '{"vector": [NaN' + ", 1.0" * (DIM - 1) + "]}"
    headers = {"content-type": "application/json"}
    assert (await client.post("/v1/search", content=body, headers=headers)).status_code == 422


async def test_a_file_that_is_no_image_is_refused(client):
    answer = await client.post("/v1/search", files={"image": ("a.jpg", b"hello")})
    assert answer.status_code == 422 and answer.json()["code"] == "decode-failed"


@pytest.mark.parametrize("params", [{}, {"q": ""}, {"q": "   "}, {"q": "x" * 3000}])
async def test_text_of_no_or_absurd_length_is_refused(client, params):
    assert (await client.get("/v1/search", params=params)).status_code == 422


async def test_text_on_a_space_without_text_says_so():
    async with World(embedder=FakeEmbedder(MUTE)).client() as client:
        answer = await client.get("/v1/search", params={"q": "sea"})
    assert answer.status_code == 422 and answer.json()["code"] == "no-text-search"
    assert answer.json()["fix"]


async def test_a_lost_shard_gives_a_partial_answer_that_says_so(client, world):
    world.slots[0].error = RuntimeError("replica died")
    answer = await client.get("/v1/search", params={"q": "sea"})
    assert answer.status_code == 200
    assert answer.json()["partial"] and answer.json()["shards_answered"] == 3


async def test_no_shard_at_all_is_a_timeout_that_may_be_retried(client, world):
    for slot in world.slots:
        slot.delay_s = 60
    answer = await client.get("/v1/search", params={"q": "sea"})
    assert answer.status_code == 504 and answer.json()["code"] == "deadline-exceeded"
    assert answer.headers["retry-after"]


async def test_a_batch_answers_every_query_in_order_and_faults_stay_with_their_query(client):
    queries = [
        {"photo_id": ONE, "top_k": 2},
        {"photo_id": photo_id("none")},
        {"vector": [float(v) for v in unit(NAMES[2])], "top_k": 1},
        {"vector": [1.0], "top_k": 1},
    ]
    answer = await client.post("/v1/search/batch", json={"queries": queries})
    first, unknown, vector, short = answer.json()["answers"]
    assert answer.status_code == 200
    assert len(first["results"]["results"]) == 2 and first["problem"] is None
    assert unknown["results"] is None and unknown["problem"]["status"] == 404
    assert vector["results"]["results"][0]["photo_id"] == photo_id(NAMES[2])
    assert short["problem"]["code"] == "input-invalid"


@pytest.mark.parametrize("queries", [[], [{"vector": [0.5]}] * 65, [{"nonsense": 1}]])
async def test_a_batch_of_no_queries_too_many_or_made_up_ones_is_refused(client, queries):
    answer = await client.post("/v1/search/batch", json={"queries": queries})
    assert answer.status_code == 422
