from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from photoorg.config import SearchConfig
from photoorg.search.rerank import fold, rank, spread
from photoorg.search.signals import Pool, QueryFacts
from tests.fakes.search import flip, hashes, photo, unit

CONFIG = SearchConfig()
NOON = datetime(2024, 6, 1, 12, tzinfo=UTC)


def pool(names, query="query", photos=None) -> Pool:
    x_nd = np.array([unit(n) for n in names]).reshape(len(names), 16)
    cosines = np.array([unit(n) @ unit(query) for n in names], np.float32)
    return Pool(photos or [photo(n) for n in names], cosines, x_nd)


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
    scores, alike = np.array([0.9, 0.89, 0.8]), x_nd @ x_nd.T
    assert spread([0, 1, 2], scores, alike, 3, SearchConfig(mmr_lambda=0.5)) == [0, 2, 1]
    assert spread([0, 1, 2], scores, alike, 3, SearchConfig(candidates=2)) == [0, 1, 2]
    assert spread([2, 1], scores, alike, 3, SearchConfig(mmr_lambda=0.5)) == [1, 2]


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
