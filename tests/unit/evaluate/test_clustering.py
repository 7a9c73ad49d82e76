from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.errors import InputError
from photoorg.evaluate.clustering import scores

LABELS = st.lists(
    st.tuples(st.sampled_from([None, "a", "b", "c"]), st.sampled_from([None, 1, 2, 3])),
    min_size=1,
    max_size=12,
)


def test_the_same_groups_under_other_names_are_perfect():
    found = scores(["a", "a", "b", "b", "c"], [7, 7, 3, 3, 9])
    assert (found.nmi, found.ari, found.purity, found.pairwise_f1) == (1.0, 1.0, 1.0, 1.0)
    assert (found.clusters, found.n) == (3, 5)


def test_one_group_for_all_finds_every_pair_and_many_wrong_ones():
    found = scores(["a", "a", "b", "b"], [0, 0, 0, 0])
    assert (found.pairwise_recall, found.pairwise_precision) == (1.0, pytest.approx(2 / 6))
    assert (found.purity, found.clusters, found.ari) == (0.5, 1, 0.0)


def test_items_without_a_truth_do_not_count():
    whole = scores(["a", None, "a", None, "b"], [1, 1, 1, 2, 2])
    assert whole == scores(["a", "a", "b"], [1, 1, 2])


def test_items_in_no_group_are_each_alone():
    found = scores(["a", "a", "a"], [None, None, None])
    assert (found.clusters, found.pairwise_recall, found.pairwise_precision) == (3, 0.0, 1.0)
    assert found.purity == 1.0


@pytest.mark.parametrize(("truth", "predicted"), [([], []), ([None], [1]), (["a"], [])])
def test_nothing_to_compare_is_an_error(truth, predicted):
    with pytest.raises(InputError):
        scores(truth, predicted)


@settings(max_examples=60, deadline=None)
@given(LABELS)
def test_pairs_are_counted_as_by_hand(items):
    kept = [(t, ("alone", i) if p is None else p) for i, (t, p) in enumerate(items) if t]
    if not kept:
        return
    found = scores(*zip(*items, strict=True))
    pairs = list(itertools.combinations(kept, 2))
    together = sum(a[1] == b[1] for a, b in pairs)
    true = sum(a[0] == b[0] for a, b in pairs)
    both = sum(a == b for a, b in pairs)
    assert found.pairwise_precision == pytest.approx(both / together if together else 1.0)
    assert found.pairwise_recall == pytest.approx(both / true if true else 1.0)
    assert 0.0 <= found.nmi <= 1.0 + 1e-9 and 0 < found.purity <= 1.0
