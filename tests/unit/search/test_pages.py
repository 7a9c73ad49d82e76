"""Pages of a search neither repeat nor lose hits, whatever comes and goes between them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.config import SearchConfig
from photoorg.errors import InputError, NoTextSearchError
from photoorg.search.cursor import Position, decode, mark, marks, question_of
from photoorg.search.filters import Filter
from photoorg.search.questions import Terms
from photoorg.search.service import SearchService
from photoorg.search.text import Words
from photoorg.store.catalog.bonds import Bonds
from tests.fakes.search import (
    MUTE,
    FakeEmbedder,
    FakePhotos,
    photo,
    photo_id,
    spread_over,
    unit,
)

NAMES = [f"photo-{i}" for i in range(230)]
T = "default"


class FakeQueries:
    """Words from a dict, and a filter that allows a set of names."""

    def __init__(self, said=(), allowed=(), share=0.1) -> None:
        self.said = dict(said)
        self.ok = {photo_id(n) for n in allowed}
        self.part = share
        self.filters: list[Filter | None] = []
        self.fitted: dict[str, float] = {}
        self.tied: dict[str, Bonds] = {}

    async def revision(self, tenant: str) -> int:
        return 7

    async def share(self, tenant: str, chosen: Filter) -> float:
        return self.part

    async def thresholds(self, tenant: str, space_id: str) -> dict[str, float]:
        return self.fitted

    async def bonds(self, tenant, ids) -> dict[str, Bonds]:
        return {i: b for i, b in self.tied.items() if i in ids}

    async def allowed(self, tenant, chosen, ids) -> set[str]:
        return self.ok & set(ids)

    async def words(self, tenant, text, limit, chosen) -> Words:
        self.filters.append(chosen)
        found = [photo_id(n) for n, words in self.said.items() if set(text.split()) & set(words)]
        ids = tuple(found[:limit])
        scores = tuple(1.0 - i / 1000 for i in range(len(ids)))
        matched = {i: tuple(text.split()) for i in ids}
        return Words(ids, scores, matched, (), len(found) < limit)


def build(names=NAMES, queries=None, embedder=None, slots=4, **config) -> SearchService:
    old = datetime(2020, 1, 1, tzinfo=UTC)
    photos = FakePhotos([photo(n, created_at=old) for n in names])
    if embedder is not None:
        photos.tenant_space = embedder.space
    shards, settings = spread_over(slots, names), SearchConfig(**config)
    service = SearchService(embedder or FakeEmbedder(), shards, photos, settings, queries)
    service.photos, service.shards = photos, shards
    return service


def add(service, name: str) -> None:
    service.photos.known[photo_id(name)] = photo(
        name, created_at=datetime.now(UTC) + timedelta(seconds=1)
    )
    service.shards[0].vectors[photo_id(name)] = unit(name)


def remove(service, key: str) -> None:
    service.photos.known.pop(key, None)
    for shard in service.shards:
        shard.vectors.pop(key, None)


async def walk(ask, between=lambda: None, most=100) -> list[str]:
    seen, cursor = [], None
    for _ in range(most):
        answer = await ask(cursor)
        seen += [i for h in answer.hits for i in (h.photo_id, *h.folded)]
        cursor = answer.next_cursor
        if cursor is None:
            return seen
        assert answer.hits, "a page that has a next one has hits"
        between()
    raise AssertionError("the pages never end")


@pytest.mark.parametrize("k", [1, 7, 20, 100, 229, 230, 500])
async def test_pages_together_give_every_photo_once(k):
    service = build()
    vector = [float(v) for v in unit("q")]
    seen = await walk(lambda c: service.by_vector(T, vector, k, Terms(cursor=c)), most=400)
    assert sorted(seen) == sorted(photo_id(n) for n in NAMES)


async def test_all_pages_but_the_last_are_full():
    service, cursor, sizes = build(), None, []
    for _ in range(20):
        answer = await service.by_vector(T, [float(v) for v in unit("q")], 20, Terms(cursor=cursor))
        sizes.append(len(answer.hits))
        cursor = answer.next_cursor
        if cursor is None:
            break
    assert sizes == [20] * 11 + [10]


@pytest.mark.parametrize("seed", range(6))
async def test_photos_that_come_and_go_neither_repeat_nor_hide_others(seed):
    service, rng, gone = build(), Random(seed), set()
    count = 0

    def change() -> None:
        nonlocal count
        for _ in range(5):
            count += 1
            add(service, f"new-{seed}-{count}")
            key = rng.choice([photo_id(n) for n in NAMES])
            gone.add(key)
            remove(service, key)

    vector = [float(v) for v in unit("q")]
    seen = await walk(lambda c: service.by_vector(T, vector, 13, Terms(cursor=c)), change)
    assert len(seen) == len(set(seen))
    there = {photo_id(n) for n in NAMES}
    assert there - gone <= set(seen) <= there


async def test_near_duplicates_fold_and_still_come_once():
    service = build()
    for i in range(60):
        twin = replace(photo(f"twin-{i}"), hashes=photo("twin").hashes)
        service.photos.known[twin.photo_id] = replace(
            twin, created_at=datetime(2020, 1, 1, tzinfo=UTC)
        )
        service.shards[0].vectors[twin.photo_id] = unit("q")
    vector = [float(v) for v in unit("q")]
    seen = await walk(lambda c: service.by_vector(T, vector, 10, Terms(cursor=c)))
    assert len(seen) == len(set(seen)) == len(NAMES) + 60


async def test_a_cursor_of_another_question_or_a_made_up_one_is_refused():
    service = build()
    vector, other = [float(v) for v in unit("q")], [float(v) for v in unit("r")]
    cursor = (await service.by_vector(T, vector, 5)).next_cursor
    with pytest.raises(InputError, match="another search"):
        await service.by_vector(T, other, 5, Terms(cursor=cursor))
    for wrong in ("", "x", cursor[:-3], "AAAA", cursor + "*", "\u00e9"):
        with pytest.raises(InputError):
            await service.by_vector(T, vector, 5, Terms(cursor=wrong))


async def test_a_broad_filter_checks_what_was_found_and_a_narrow_one_goes_to_the_shards():
    some = NAMES[::2]
    vector = [float(v) for v in unit("q")]
    for share, narrow in ((0.5, False), (0.05, True)):
        service = build(queries=FakeQueries(allowed=some, share=share))
        for shard in service.shards:
            shard.allowed = {photo_id(n) for n in some}
        ask = lambda c, s=service: s.by_vector(  # noqa: E731
            T, vector, 20, Terms(where=Filter(favourite=True), cursor=c)
        )
        assert sorted(await walk(ask)) == sorted(photo_id(n) for n in some)
        assert any(s.filter for s in service.shards[0].scopes) is narrow


async def test_a_broad_filter_that_is_narrow_near_the_query_still_fills_the_page():
    far = sorted(NAMES, key=lambda n: float(unit(n) @ unit("q")))[:30]
    service = build(queries=FakeQueries(allowed=far, share=0.9))
    for shard in service.shards:
        shard.allowed = {photo_id(n) for n in far}
    answer = await service.by_vector(
        T, [float(v) for v in unit("q")], 20, Terms(where=Filter(favourite=True))
    )
    assert len(answer.hits) == 20
    assert {h.photo_id for h in answer.hits} <= {photo_id(n) for n in far}


@pytest.mark.parametrize("mode", ["hybrid", "keyword"])
async def test_pages_of_words_give_every_match_once_while_photos_go(mode):
    said = {n: ("sea",) for n in NAMES[:90]}
    service = build(queries=FakeQueries(said))
    gone = [photo_id(n) for n in NAMES[200:]]
    seen = await walk(
        lambda c: service.by_text(T, "sea", 12, Terms(cursor=c), mode=mode),
        lambda: remove(service, gone.pop()),
    )
    assert len(seen) == len(set(seen))
    assert {photo_id(n) for n in said} <= set(seen)
    assert mode == "hybrid" or len(seen) == 90


async def test_hybrid_puts_first_what_words_and_vectors_both_find():
    service = build(queries=FakeQueries({"photo-9": ("sea",)}))
    service.shards[0].vectors[photo_id("photo-9")] = unit("sea")
    hit = (await service.by_text(T, "sea", 5)).hits[0]
    assert hit.photo_id == photo_id("photo-9")
    assert hit.reasons[0] == 'has "sea"' and {"text", "cosine"} <= set(hit.signals)


async def test_hybrid_without_a_text_encoder_searches_words_and_says_so():
    service = build(queries=FakeQueries({"photo-9": ("sea",)}), embedder=FakeEmbedder(MUTE))
    answer = await service.by_text(T, "sea", 5, mode="hybrid")
    assert [h.photo_id for h in answer.hits] == [photo_id("photo-9")]
    assert answer.mode == "keyword" and "no text encoder" in answer.notes[0]


async def test_a_date_in_the_text_becomes_a_filter_with_a_reason():
    queries = FakeQueries({"photo-9": ("sea",)})
    answer = await build(queries=queries).by_text(T, "sea summer 2019", 5, mode="keyword")
    (chosen,) = queries.filters
    assert chosen.taken.after == datetime(2019, 6, 1) and answer.hits
    assert answer.notes[0].startswith('"summer 2019" was read as from 2019-06-01 to 2019-08-31')


async def test_a_date_alone_that_no_photo_has_finds_nothing_also_without_text_encoder():
    service = build(queries=FakeQueries(), embedder=FakeEmbedder(MUTE))
    answer = await service.by_text(T, "summer 2019", 5)
    assert answer.hits == () and "2019-06-01" in answer.notes[0]
    with pytest.raises(NoTextSearchError):
        await service.by_text(T, "dog summer 2019", 5)


positions = st.builds(
    Position,
    question=st.just(b"12345678"),
    at=st.datetimes(datetime(2000, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)),
    given=st.frozensets(st.binary(min_size=8, max_size=8), max_size=20),
    ceiling=st.none() | st.floats(-1, 1),
    floor=st.none() | st.floats(-2, 1),
    above=st.integers(0, 2**31),
)


@settings(deadline=None)
@given(positions)
def test_a_cursor_holds_its_position(position):
    assert decode(position.encode(), b"12345678") == position


def test_marks_and_names_of_questions():
    assert mark(photo_id("a")) in marks([photo_id("a"), photo_id("b")])
    assert question_of("a", b"b") == question_of("a", b"b") != question_of("ab")
