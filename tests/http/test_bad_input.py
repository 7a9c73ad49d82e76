"""What is wrong with a request is said in words, briefly, and with what to do."""

from __future__ import annotations

import json

import pytest
from psycopg.types.json import Jsonb

from photoorg.config import DatabaseConfig
from photoorg.errors import InputError
from photoorg.store.catalog import Catalog
from tests.fakes.search import jpeg

NESTED = "[" * 100_000
IMAGE = {"image": ("a.jpg", jpeg("a"))}


def problem(answer, status: int = 422) -> dict:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.json()


@pytest.mark.parametrize("value", ['"1"', "true", "null", '"x"', "[1]"])
async def test_a_vector_holds_numbers_and_the_answer_stays_short(client, value):
    body = '{"vector": [' + ",".join([value] * 512) + "]}"
    headers = {"content-type": "application/json"}
    told = problem(await client.post("/v1/search", content=body, headers=headers))
    assert told["detail"].startswith("vector.0: ") and told["fix"]
    assert told["detail"].endswith("and 507 more") and len(told["detail"]) < 500


async def test_whole_numbers_are_numbers_too(client, world):
    dim = world.embedder.space.dim
    answer = await client.post("/v1/search", json={"vector": [1] * dim})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e300", "0"])
async def test_vectors_that_have_no_direction_are_refused(client, world, value):
    dim = world.embedder.space.dim
    body = '{"vector": [' + ",".join([value] * dim) + "]}"
    headers = {"content-type": "application/json"}
    told = problem(await client.post("/v1/search", content=body, headers=headers))
    assert "finite" in told["detail"]


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ([1, 2], "bbox: Input should be an object"),
        ("x", "bbox: Input should be an object"),
        (NESTED, "bbox is not valid JSON"),
        ({"x": 0}, "y: Field required"),
        ({"x": -5, "y": 0, "width": 5, "height": 5}, "x: Input should be greater"),
        ({"x": 0, "y": 0, "width": 0, "height": 5}, "width: Input should be greater"),
    ],
)
async def test_boxes_that_are_none_are_explained(client, box, said):
    data = {"bbox": box if box == NESTED else json.dumps(box)}
    told = problem(await client.post("/v1/search", files=IMAGE, data=data))
    assert said in told["detail"] and told["fix"]


async def test_a_number_that_is_none_says_where_to_look(client):
    told = problem(await client.post("/v1/search", files=IMAGE, data={"top_k": "x"}))
    assert "whole number" in told["detail"] and told["fix"]


async def test_a_file_without_a_name_is_told_from_none(client):
    told = problem(await client.post("/v1/photos", data={"file": "text"}, files={}), 415)
    assert "multipart/form-data" in told["fix"]
    body = b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\ntext\r\n--x--\r\n'
    headers = {"content-type": "multipart/form-data; boundary=x"}
    told = problem(await client.post("/v1/photos", content=body, headers=headers))
    assert "is no file" in told["detail"] and "name" in told["fix"]


async def test_an_id_that_is_none_says_what_one_is(client):
    told = problem(await client.get("/v1/photos/" + "A" * 64))
    assert told["detail"] == "photo_id: An id is 64 lower-case hexadecimal digits"


@pytest.mark.postgres
@pytest.mark.parametrize(("text", "said"), [("a\0b", "NUL"), ("a\ud800b", "surrogates")])
@pytest.mark.parametrize("held", [str, lambda text: Jsonb({"name": text})])
def test_text_that_the_database_cannot_hold_is_bad_input(catalog_url, text, said, held):
    with (
        Catalog(catalog_url, DatabaseConfig()) as catalog,
        pytest.raises(InputError, match=said) as caught,
        catalog.tenant("a") as tx,
    ):
        tx.conn.execute("SELECT %s::text", [held(text)])
    assert caught.value.fix
