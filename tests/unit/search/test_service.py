from __future__ import annotations

from dataclasses import replace

import pytest

from photoorg.config import SearchConfig
from photoorg.errors import (
    DeadlineError,
    DecodeError,
    IndexNotReadyError,
    InputError,
    NoTextSearchError,
    NotFoundError,
    SpaceMismatchError,
)
from photoorg.search.ports import Box
from photoorg.search.service import SearchService
from tests.fakes.search import (
    DIM,
    MUTE,
    SPACE,
    FakeEmbedder,
    FakePhotos,
    FakeSlot,
    jpeg,
    photo,
    photo_id,
    spread_over,
    unit,
)

NAMES = [f"photo-{i}" for i in range(40)]


def build(embedder=None, photos=None, slots=None, **config) -> SearchService:
    return SearchService(
        embedder or FakeEmbedder(),
        slots or spread_over(4, NAMES),
        photos or FakePhotos([photo(n) for n in NAMES]),
        SearchConfig(**config),
    )


async def test_similar_finds_the_nearest_and_leaves_out_the_photo_itself():
    answer = await build(mmr_lambda=1.0).similar("default", photo_id("photo-3"), 39)
    assert photo_id("photo-3") not in {h.photo_id for h in answer.hits}
    assert len(answer.hits) == 39 and not answer.partial
    best = max(NAMES, key=lambda n: (n != "photo-3") * float(unit(n) @ unit("photo-3")))
    assert answer.hits[0].photo_id == photo_id(best)
    assert answer.space == SPACE.id and answer.latency_ms > 0


async def test_hits_carry_where_the_photo_is_its_signals_and_reasons():
    hit = (await build().by_text("default", "photo-3", 1)).hits[0]
    assert hit.photo_id == photo_id("photo-3") and hit.uri == "file:///photo-3.jpg"
    assert hit.signals["cosine"] == pytest.approx(1, abs=1e-5) and hit.reasons


async def test_a_photo_the_catalog_no_longer_has_is_never_shown():
    photos = FakePhotos([photo(n) for n in NAMES if n != "photo-3"])
    answer = await build(photos=photos).by_text("default", "photo-3", 40)
    assert photo_id("photo-3") not in {h.photo_id for h in answer.hits} and len(answer.hits) == 39


async def test_slots_are_told_the_last_change_before_the_query():
    photos, slots = FakePhotos([photo(n) for n in NAMES]), spread_over(2, NAMES)
    photos.seq = 17
    await build(photos=photos, slots=slots).by_vector("default", [1.0] * DIM, 3)
    assert [s.seqs for s in slots] == [[17], [17]]


async def test_a_lost_shard_makes_the_answer_partial():
    slots = spread_over(4, NAMES)
    slots[1].error = RuntimeError("died")
    answer = await build(slots=slots).by_text("default", "sea", 5)
    assert answer.partial and (answer.shards_answered, answer.shards_total) == (3, 4)
    assert len(answer.hits) == 5


async def test_searching_by_image_uses_its_box():
    service = build()
    data = jpeg("query", (64, 48))
    assert (await service.by_image("default", data, 3, box=Box(0, 0, 64, 48))).hits
    with pytest.raises(InputError, match="64 x 48"):
        await service.by_image("default", data, 3, box=Box(1, 0, 64, 48))


async def test_a_box_of_a_library_photo_is_embedded_from_its_original():
    photos = FakePhotos([photo(n) for n in NAMES])
    photos.originals[photo_id("photo-3")] = jpeg("photo-3")
    answer = await build(photos=photos).similar(
        "default", photo_id("photo-3"), 5, box=Box(0, 0, 8, 8)
    )
    assert photo_id("photo-3") not in {h.photo_id for h in answer.hits}


@pytest.mark.parametrize("k", [0, -1, 1001, 10_000])
async def test_k_out_of_range_is_refused_by_every_query(k):
    service = build()
    for query in (
        service.similar("default", photo_id("photo-3"), k),
        service.by_image("default", jpeg("q"), k),
        service.by_text("default", "sea", k),
        service.by_vector("default", [1.0] * DIM, k),
    ):
        with pytest.raises(InputError, match="1 to 1000"):
            await query


@pytest.mark.parametrize(
    "vector",
    [[1.0] * (DIM - 1), [], [float("nan")] * DIM, [float("inf")] + [0.0] * (DIM - 1), [0.0] * DIM],
)
async def test_vectors_that_mean_nothing_are_refused(vector):
    with pytest.raises(InputError):
        await build().by_vector("default", vector, 5)


async def test_an_unknown_photo_is_not_found():
    with pytest.raises(NotFoundError):
        await build().similar("default", photo_id("nobody"), 5)


async def test_a_photo_still_queued_says_so():
    photos = FakePhotos([photo("new", status="queued")])
    with pytest.raises(IndexNotReadyError, match="queued") as error:
        await build(photos=photos).similar("default", photo_id("new"), 5)
    assert error.value.retryable


async def test_text_on_a_space_without_text_is_refused():
    service = build(FakeEmbedder(MUTE), FakePhotos(space=MUTE))
    with pytest.raises(NoTextSearchError):
        await service.by_text("default", "sea")


@pytest.mark.parametrize("text", ["", "   ", "x" * 2001])
async def test_text_of_no_or_absurd_length_is_refused(text):
    with pytest.raises(InputError):
        await build().by_text("default", text)


async def test_an_encoder_of_another_space_is_refused_but_ids_still_work():
    service = build(FakeEmbedder(MUTE))
    with pytest.raises(SpaceMismatchError):
        await service.by_image("default", jpeg("q"))
    assert (await service.similar("default", photo_id("photo-3"))).hits


async def test_bytes_that_are_no_image_are_refused():
    with pytest.raises(DecodeError):
        await build().by_image("default", b"hello")


async def test_a_tenant_without_photos_finds_nothing():
    service = build(photos=FakePhotos(space=None), slots=spread_over(2, []))
    assert (await service.by_text("default", "sea")).hits == ()


async def test_an_encoder_that_does_not_answer_is_a_deadline_error():
    service = build(FakeEmbedder(delay_s=60), embed_deadline_ms=20)
    with pytest.raises(DeadlineError, match="embedded in time"):
        await service.by_image("default", jpeg("q"))


async def test_a_burst_of_near_duplicates_does_not_leave_the_page_half_empty():
    burst = [replace(photo(f"b{i}"), hashes=photo("b0").hashes) for i in range(150)]
    others = [photo(n) for n in NAMES]
    vectors = {p.photo_id: unit("query") for p in burst} | {photo_id(n): unit(n) for n in NAMES}
    service = build(photos=FakePhotos([*burst, *others]), slots=[FakeSlot(vectors)])
    answer = await service.by_vector("default", [float(v) for v in unit("query")], 10)
    assert len(answer.hits) == 10
    assert len(answer.hits[0].folded) == 149
