from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoorg.config import SearchConfig
from photoorg.search.rerank import (
    Pool,
    QueryFacts,
    Signals,
    combine,
    fold,
    measure,
    rank,
    spread,
)
from tests.fakes.search import hashes, photo, unit

CONFIG = SearchConfig()
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def flip(pdq: bytes, bits: int) -> bytes:
    value = int.from_bytes(pdq, "big")
    for bit in range(bits):
        value ^= 1 << bit
    return value.to_bytes(32, "big")


def pool(names, query="query", photos=None) -> Pool:
    x_nd = np.array([unit(n) for n in names]).reshape(len(names), 16)
    cosines = np.array([unit(n) @ unit(query) for n in names], np.float32)
    return Pool(photos or [photo(n) for n in names], cosines, x_nd)


def measured(query: QueryFacts, candidate, cosine: float = 0.5) -> dict[str, float]:
    other = photo("another", captured_at=NOON, latitude=1.0, longitude=1.0)
    both = Pool([other, candidate], np.array([0.1, cosine]), np.zeros((2, 16), np.float32))
    return measure(query, both).of([1])[0]


def test_measures_only_what_both_sides_know():
    bare = replace(photo("a"), hashes=None, quality=None)
    assert measured(QueryFacts.of(photo("q")), bare) == {"cosine": 0.5}


def test_hashes_are_compared_bit_by_bit():
    ours = hashes("q")
    other = replace(photo("p"), hashes=replace(ours, pdq=flip(ours.pdq, 64)))
    signals = measured(QueryFacts(hashes=ours), other)
    assert (signals["pdq"], signals["phash"]) == (0.75, 1.0)


def test_time_and_place_are_measured_in_minutes_and_meters():
    query = QueryFacts.of(photo("q", captured_at=NOON, latitude=48.0, longitude=11.0))
    near = photo("p", captured_at=NOON + timedelta(minutes=3), latitude=48.0001, longitude=11.0)
    signals = measured(query, near)
    assert signals["minutes_apart"] == 3.0
    assert signals["meters_apart"] == pytest.approx(11.1, abs=0.1)


def test_a_file_time_is_no_evidence_of_when_a_photo_was_taken():
    copied = photo("p", captured_at=NOON)
    copied = replace(copied, exif=replace(copied.exif, captured_source="file"))
    assert "minutes_apart" not in measured(QueryFacts.of(photo("q", captured_at=NOON)), copied)


def test_hashes_of_featureless_images_are_not_trusted():
    blank = replace(photo("p"), hashes=hashes("q", quality=49))
    assert "pdq" not in measured(QueryFacts(hashes=hashes("q")), blank)


def test_near_duplicates_of_a_hit_are_folded_under_it_up_to_31_bits():
    base = photo("a")
    assert base.hashes is not None
    copy = replace(photo("b"), hashes=replace(base.hashes, pdq=flip(base.hashes.pdq, 31)))
    far = replace(photo("c"), hashes=replace(base.hashes, pdq=flip(base.hashes.pdq, 32)))
    x_nd = np.array([unit("a")] * 3)
    cosines = np.array([0.99, 0.97, 0.98], np.float32)
    hits = rank(QueryFacts(), Pool([base, copy, far], cosines, x_nd), 10, CONFIG)
    folded = {h.photo_id: h.folded for h in hits}
    assert folded == {base.photo_id: (copy.photo_id,), far.photo_id: ()}


def test_equal_hashes_do_not_fold_photos_whose_vectors_disagree():
    twin = replace(photo("b"), hashes=photo("a").hashes)
    hits = rank(QueryFacts(), pool(["a", "b"], photos=[photo("a"), twin]), 10, CONFIG)
    assert len(hits) == 2


def test_every_hit_says_why_in_words():
    query = QueryFacts.of(photo("a", captured_at=NOON, latitude=48.0, longitude=11.0))
    same = photo("a", captured_at=NOON + timedelta(minutes=3), latitude=48.00001, longitude=11.0)
    (hit,) = rank(query, Pool([same], np.array([0.99]), unit("a")[None]), 1, CONFIG)
    assert hit.reasons == ("near-identical", "same place within 20 m", "taken 3 minutes apart")


def test_without_diversity_the_order_is_by_score():
    config = SearchConfig(mmr_lambda=1.0)
    hits = rank(QueryFacts(), pool([f"n{i}" for i in range(30)]), 30, config)
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


def test_diversity_brings_another_kind_before_a_third_of_the_same():
    x_nd = np.array([[1, 0, 0], [0.999, 0.04, 0], [0.7, 0, 0.714]], np.float32)
    scores = np.array([0.9, 0.89, 0.8])
    assert spread([0, 1, 2], scores, x_nd, 3, SearchConfig(mmr_lambda=0.5)) == [0, 2, 1]
    assert spread([0, 1, 2], scores, x_nd, 3, SearchConfig(candidates=2)) == [0, 1, 2]


def test_folding_is_not_transitive():
    pairs = {0: {1}, 1: {0, 2}, 2: {1}}
    assert fold([0, 1, 2], pairs) == {0: [1], 2: []}
    assert fold([1, 0, 2], pairs) == {1: [0, 2]}


def test_nothing_found_is_an_empty_answer():
    assert rank(QueryFacts(), Pool([], np.zeros(0), np.zeros((0, 16))), 5, CONFIG) == ()


@given(
    names=st.lists(st.text("abcdef", min_size=1, max_size=3), unique=True, max_size=25),
    k=st.integers(1, 30),
    seed=st.randoms(use_true_random=False),
)
def test_ranking_does_not_depend_on_the_order_of_candidates(names, k, seed):
    shuffled = list(names)
    seed.shuffle(shuffled)
    facts = QueryFacts(hashes=hashes("query"))
    assert rank(facts, pool(names), k, CONFIG) == rank(facts, pool(shuffled), k, CONFIG)


@given(
    groups=st.lists(st.integers(0, 3), min_size=1, max_size=20),
    k=st.integers(1, 25),
)
def test_every_candidate_is_a_hit_or_folded_exactly_once(groups, k):
    """Photos of one group are copies of each other: one stands for all."""
    photos = [replace(photo(f"p{i}"), hashes=hashes(f"g{g}")) for i, g in enumerate(groups)]
    x_nd = np.array([unit(f"g{g}") for g in groups])
    hits = rank(QueryFacts(), Pool(photos, x_nd @ unit("q"), x_nd), k, CONFIG)
    shown = [h.photo_id for h in hits] + [f for h in hits for f in h.folded]
    assert len(shown) == len(set(shown)) and set(shown) <= {p.photo_id for p in photos}
    assert len(hits) == min(k, len(set(groups)))
    if k >= len(set(groups)):
        assert len(shown) == len(photos)


known = st.one_of(st.none(), st.floats(0, 1))
apart = st.one_of(st.none(), st.floats(0, 1e7))


@given(st.floats(-1, 1), known, known, known, apart, apart, known, known)
def test_a_score_stays_in_range_and_evidence_only_raises_it(
    cosine, pdq, phash, quality, minutes, meters, event, people
):
    values = [cosine, pdq, phash, quality, minutes, meters, event, people]
    signals = Signals(*(np.array([np.nan if v is None else v]) for v in values))
    (score,) = combine(signals, CONFIG)
    assert cosine - 1e-9 <= score <= 1 + 1e-9


def test_poor_photos_come_after_good_ones_that_are_about_as_near_but_not_after_far_ones():
    unknown = np.full(4, np.nan)
    signals = Signals(
        cosine=np.array([0.50, 0.49, 0.49, 0.20]),
        pdq=unknown,
        phash=unknown,
        quality=np.array([0.05, 0.8, np.nan, 0.9]),
        minutes_apart=unknown,
        meters_apart=unknown,
        same_event=unknown,
        people=unknown,
    )
    order = np.argsort(-combine(signals, CONFIG)).tolist()
    assert order == [1, 2, 0, 3]
