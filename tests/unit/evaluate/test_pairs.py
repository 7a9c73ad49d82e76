import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from photoorg.errors import InputError
from photoorg.evaluate.pairs import pair_curve, same_label, score


def test_precision_recall_and_f1_count_pairs():
    found = {(0, 1), (3, 4)}
    scores = score(["a", "a", "a", "b", ""], found, {})
    assert (scores.positives, scores.found) == (3, 2)
    assert scores.precision == pytest.approx(0.5)
    assert scores.recall == pytest.approx(1 / 3)
    assert scores.f1 == pytest.approx(0.4)


def test_blank_labels_are_in_no_group():
    assert same_label(["", " ", "x", "x "]) == {(2, 3)}


def test_nothing_found_and_nothing_to_find():
    scores = score(["", ""], set(), {})
    assert (scores.precision, scores.recall, scores.roc_auc) == (1.0, 1.0, None)
    with pytest.raises(InputError):
        score(["a"], set(), {})


@given(
    st.lists(st.sampled_from(["a", "b", "", "c"]), min_size=4, max_size=12),
    st.integers(0, 10**6),
)
def test_roc_auc_is_that_of_scikit_learn_with_unscored_pairs_last(labels, seed):
    rng = np.random.default_rng(seed)
    pairs = [(a, b) for a in range(len(labels)) for b in range(a + 1, len(labels))]
    confidence = {p: float(rng.integers(1, 5)) for p in pairs if rng.random() < 0.6}
    truth = same_label(labels)
    area = score(labels, set(), confidence).roc_auc
    if not truth or len(truth) == len(pairs):
        assert area is None
        return
    expected = roc_auc_score([p in truth for p in pairs], [confidence.get(p, 0) for p in pairs])
    assert area == pytest.approx(expected)


def test_items_that_are_alike_count_as_all_their_pairs():
    labels, counts = ["a", "a", "", "b"], [3, 2, 2, 1]
    found = {(0, 0): 1.0, (0, 1): 0.9, (1, 2): 0.4, (2, 2): 1.0}
    apart = [n for n, count in enumerate(counts) for _ in range(count)]
    listed = {
        (x, y): found[apart[x], apart[y]]
        for x in range(len(apart))
        for y in range(x + 1, len(apart))
        if (apart[x], apart[y]) in found
    }
    every = [labels[n] for n in apart]
    assert score(labels, found, found, counts) == score(every, listed, listed)
    assert pair_curve(labels, found, counts) == pair_curve(every, listed)


def test_a_file_ten_thousand_times_is_not_fifty_million_pairs():
    scores = score(["a", "b"], {(0, 0)}, {(0, 0): 1.0}, [10_000, 1])
    assert (scores.n, scores.found, scores.positives) == (10_001, 49_995_000, 49_995_000)
    assert (scores.precision, scores.recall, scores.roc_auc) == (1.0, 1.0, 1.0)


@given(
    st.lists(st.sampled_from(["a", "b", "", "c"]), min_size=3, max_size=12), st.integers(0, 10**6)
)
def test_the_area_under_the_curve_is_the_average_precision_of_scikit_learn(labels, seed):
    rng = np.random.default_rng(seed)
    pairs = [(a, b) for a in range(len(labels)) for b in range(a + 1, len(labels))]
    confidence = {p: float(rng.integers(1, 5)) / 4 for p in pairs}
    truth = same_label(labels)
    curve, area = pair_curve(labels, confidence)
    assert curve.recall == sorted(curve.recall) and len(set(curve.thresholds)) <= 4
    if not truth:
        assert area == 0.0
        return
    right = [p in truth for p in pairs]
    assert area == pytest.approx(average_precision_score(right, [confidence[p] for p in pairs]))


def test_a_curve_of_nothing_is_empty():
    curve, area = pair_curve(["a", "a", "b"], {})
    assert (curve.precision, curve.recall, area) == ([], [], 0.0)
