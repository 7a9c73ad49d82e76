"""Groups are stars around a keeper, never chains."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.curate.grouping import layered, stars

PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 14), st.integers(0, 14)).filter(lambda p: p[0] < p[1]),
    st.floats(0.5, 1.0),
    max_size=50,
)


def grouped(pairs, apart=frozenset(), n=15):
    first = np.asarray([a for a, _ in pairs], np.int32)
    second = np.asarray([b for _, b in pairs], np.int32)
    confidence = np.asarray(list(pairs.values()), float)
    return stars(first, second, confidence, np.arange(n, dtype=np.int32), apart=apart)


@settings(max_examples=200, deadline=None)
@given(PAIRS, st.sets(st.tuples(st.integers(0, 14), st.integers(0, 14)), max_size=8))
def test_every_member_is_paired_with_the_keeper_and_in_one_group_only(pairs, forbidden):
    apart = {(min(p), max(p)) for p in forbidden if p[0] != p[1]}
    found = grouped(pairs, apart)
    names = list(pairs)
    seen: set[int] = set()
    for star in found:
        group = {star.keeper, *star.members}
        assert len(group) == len(star.members) + 1 >= 2
        assert not group & seen
        seen |= group
        for member, pair in zip(star.members, star.pairs, strict=True):
            assert names[pair] == (min(star.keeper, member), max(star.keeper, member))
        assert not any((a, b) in apart for a in group for b in group)


@settings(max_examples=50, deadline=None)
@given(PAIRS, st.randoms())
def test_the_order_of_pairs_does_not_matter(pairs, random):
    items = list(pairs.items())
    random.shuffle(items)
    one = {(s.keeper, frozenset(s.members)) for s in grouped(pairs)}
    two = {(s.keeper, frozenset(s.members)) for s in grouped(dict(items))}
    # Equal confidences are told apart by rank, so only the numbers of pairs change.
    assert one == two


def test_a_chain_is_cut():
    chain = {(n, n + 1): 0.9 for n in range(9)}
    assert all(len(star.members) <= 2 for star in grouped(chain))
    assert sum(1 + len(star.members) for star in grouped(chain)) >= 9


def test_the_best_ranked_is_kept_if_it_is_near_all_others():
    everyone = {(a, b): 0.9 for a in range(4) for b in range(a + 1, 4)}
    (star,) = grouped(everyone)
    assert star.keeper == 0
    (star,) = grouped({(0, 3): 0.9, (1, 3): 0.9, (2, 3): 0.9})
    assert (star.keeper, set(star.members)) == (3, {0, 1, 2})


def test_a_hundred_thousand_pairs_of_one_star():
    pairs = {(0, n): 0.9 for n in range(1, 100_001)}
    (star,) = grouped(pairs, n=100_001)
    assert len(star.members) == 100_000


def test_a_shot_between_two_photos_does_not_take_their_copies():
    # 0 to 2 are one picture, 3 another shot that is a burst with each of them, and 4 is with 3.
    copies = [(0, 1), (0, 2), (1, 2)]
    bursts = [(0, 3), (1, 3), (2, 3), (3, 4)]
    first, second = np.asarray(copies + bursts, np.int32).T
    burst = np.arange(len(first)) >= len(copies)
    rank = np.arange(5, dtype=np.int32)
    found = layered(first, second, np.full(len(first), 0.9), burst, rank)
    assert [(s.keeper, set(s.members)) for s in found] == [(0, {1, 2}), (3, {4})]
    assert [s.pairs for s in found] == [(0, 1), (6,)]
