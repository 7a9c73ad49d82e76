"""What a tenant's thresholds do to a search."""

from __future__ import annotations

import pytest

from photoorg.config import SearchConfig
from photoorg.errors import InputError
from photoorg.index.cutoffs import Cutoffs
from photoorg.search.filters import Filter
from photoorg.search.questions import Terms
from photoorg.search.tuning import LOWEST, NO_LIMITS, limits_of, tuned
from photoorg.store.catalog.bonds import Bonds
from tests.fakes.search import photo_id, unit
from tests.unit.search.test_pages import NAMES, FakeQueries, T, build, walk

CONFIG = SearchConfig()
FITTED = Cutoffs(0.6, 0.3, 0.0, 0.25).to_thresholds("image")


def vector(name: str) -> list[float]:
    return [float(v) for v in unit(name)]


def nonsense(names=NAMES) -> list[float]:
    """A vector whose nearest photo is farther than 0.7."""
    for number in range(10_000):
        x_d = unit(f"nothing-{number}")
        if max(float(unit(n) @ x_d) for n in names) < 0.7:
            return [float(v) for v in x_d]
    raise AssertionError("there is one among so many")


def test_fitted_weights_replace_the_configured_ones():
    found = tuned(CONFIG, {"rerank.place": 0.4, "rerank.people": 0.2, "search.accept": 0.3})
    assert (found.place_weight, found.people_weight) == (0.4, 0.2)
    assert found.time_weight == CONFIG.time_weight and tuned(CONFIG, {}) is CONFIG


def test_limits_are_the_calibrated_ones_unless_asked_otherwise():
    auto = limits_of(FITTED, CONFIG, "image", None)
    assert (auto.best, auto.floor) == (0.6, 0.3) and auto.fitted is not None
    assert limits_of(FITTED, CONFIG, "image", "off").best == LOWEST
    assert limits_of(FITTED, CONFIG, "image", 0.45).floor == 0.45
    assert limits_of(FITTED, CONFIG, "image", None, similar=True).best == LOWEST
    assert limits_of(FITTED, CONFIG, "image", "auto", similar=True).best == 0.6
    assert limits_of(FITTED, CONFIG, "image", None, narrowed=True).floor == LOWEST
    assert limits_of(FITTED, CONFIG.model_copy(update={"cutoff": "off"}), "image", None).best < -1
    assert limits_of(FITTED, CONFIG, "text", None) == NO_LIMITS


@pytest.mark.parametrize("cutoff", ["none", 1.5, -2.0, float("nan")])
def test_a_cutoff_that_is_none_is_refused(cutoff):
    with pytest.raises(InputError):
        limits_of(FITTED, CONFIG, "image", cutoff)


def test_an_accepted_score_leaves_out_cosines_that_no_evidence_lifts_to_it():
    found = limits_of({"search.accept": 0.8}, CONFIG, "image", None)
    most = sum(
        (
            CONFIG.quality_weight,
            CONFIG.hash_weight,
            CONFIG.time_weight,
            CONFIG.place_weight,
            CONFIG.event_weight,
            CONFIG.people_weight,
        )
    )
    assert found.score == 0.8
    assert found.floor + (1 - found.floor) * most == pytest.approx(0.8)


async def test_nonsense_finds_nothing_and_says_why_and_real_queries_find_what_is_near():
    queries = FakeQueries()
    queries.fitted = Cutoffs(0.7, 0.3, 0.0, 0.25).to_thresholds("image")
    service = build(queries=queries)
    nothing = await service.by_vector(T, nonsense(), 10)
    assert nothing.hits == () and "nearer to this than chance" in nothing.notes[0]
    assert nothing.next_cursor is None
    real = await service.by_vector(T, vector("photo-3"), 10)
    assert real.hits[0].photo_id == photo_id("photo-3") and real.hits[0].signals["chance"] < 1e-4
    assert all(h.signals["cosine"] >= 0.3 for h in real.hits)
    assert len((await service.by_vector(T, nonsense(), 10, Terms(cutoff="off"))).hits) == 10


async def test_pages_of_a_search_with_a_cutoff_give_all_that_is_above_it_once():
    queries = FakeQueries()
    queries.fitted = Cutoffs(0.7, 0.1, 0.0, 0.25).to_thresholds("image")
    service = build(queries=queries)
    seen = await walk(lambda c: service.by_vector(T, vector("photo-3"), 7, Terms(cursor=c)))
    near = {photo_id(n) for n in NAMES if float(unit(n) @ unit("photo-3")) >= 0.1}
    assert sorted(seen) == sorted(near)


async def test_similar_photos_of_one_of_the_library_have_no_cutoff_unless_asked():
    queries = FakeQueries()
    queries.fitted = Cutoffs(0.9, -1.0, 0.0, 0.25).to_thresholds("image")
    service = build(queries=queries)
    assert len((await service.similar(T, photo_id("photo-3"), 20)).hits) == 20
    cut = await service.similar(T, photo_id("photo-3"), 20, Terms(cutoff="auto"))
    assert cut.hits == () and "than chance" in cut.notes[0], "the photo itself is no hit"


async def test_a_filter_that_allows_far_photos_only_does_not_make_a_query_nonsense():
    near = sorted(NAMES, key=lambda n: float(unit(n) @ unit("photo-3")))
    queries = FakeQueries(allowed=near[:40], share=0.9)
    queries.fitted = Cutoffs(0.7, 0.3, 0.0, 0.25).to_thresholds("image")
    service = build(queries=queries)
    for shard in service.shards:
        shard.allowed = {photo_id(n) for n in near[:40]}
    far = Filter(favourite=True)
    found = await service.by_vector(T, vector("photo-3"), 10, Terms(where=far))
    assert len(found.hits) == 10 and found.hits[0].signals["cosine"] < 0.3
    assert (await service.by_vector(T, nonsense(), 10, Terms(where=far))).hits == ()


async def test_a_text_that_means_nothing_here_still_finds_words():
    queries = FakeQueries({"photo-9": ("sea",)})
    queries.fitted = Cutoffs(0.99, 0.9, 0.0, 0.1).to_thresholds("text")
    found = await build(queries=queries).by_text(T, "sea", 10, mode="hybrid")
    assert [h.photo_id for h in found.hits] == [photo_id("photo-9")]
    assert any("than chance" in note for note in found.notes)


async def test_scores_below_the_accepted_one_are_not_shown():
    queries = FakeQueries()
    service = build(queries=queries, mmr_lambda=1.0)
    every = await service.by_vector(T, vector("photo-3"), 50)
    queries.fitted = {"search.accept": every.hits[9].score - 1e-6}
    some = await service.by_vector(T, vector("photo-3"), 50)
    assert [h.photo_id for h in some.hits] == [h.photo_id for h in every.hits[:10]]


async def test_fitted_weights_change_the_order():
    queries = FakeQueries()
    service = build(queries=queries, mmr_lambda=1.0)
    queries.tied = {photo_id("photo-3"): Bonds(7), photo_id("photo-200"): Bonds(7)}
    asked = photo_id("photo-3")
    before = [h.photo_id for h in (await service.similar(T, asked, 229)).hits]
    queries.fitted = {"rerank.event": 1.0}
    after = [h.photo_id for h in (await service.similar(T, asked, 229)).hits]
    assert after[0] == photo_id("photo-200") != before[0]


async def test_photos_of_the_same_event_and_people_say_so():
    queries = FakeQueries()
    people = frozenset({1, 2})
    queries.tied = {
        photo_id("photo-3"): Bonds(7, people),
        photo_id("photo-4"): Bonds(7, frozenset({2})),
        photo_id("photo-5"): Bonds(8),
    }
    hits = (await build(queries=queries).similar(T, photo_id("photo-3"), 229)).hits
    told = {h.photo_id: h for h in hits}
    both = told[photo_id("photo-4")]
    assert {"same event", "people in common"} <= set(both.reasons)
    assert both.signals["same_event"] == 1 and both.signals["people"] == 0.5
    other = told[photo_id("photo-5")]
    assert other.signals["same_event"] == 0 and "same event" not in other.reasons
    assert "same_event" not in told[photo_id("photo-6")].signals
