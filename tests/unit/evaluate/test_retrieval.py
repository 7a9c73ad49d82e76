import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from photoorg.errors import InputError
from photoorg.evaluate.retrieval import average_precision, ndcg, neighbours, recall, score


def unit(rows: list[list[float]]) -> np.ndarray:
    x = np.asarray(rows, np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def hits(*rows: list[int]) -> np.ndarray:
    return np.asarray(rows, bool)


def test_average_precision_follows_the_textbook_example():
    # Relevant at ranks 1, 3 and 5 of five relevant in all: (1/1 + 2/3 + 3/5) / 5.
    ap = average_precision(hits([1, 0, 1, 0, 1]), np.array([5]), 5)
    assert ap[0] == pytest.approx((1 + 2 / 3 + 3 / 5) / 5)


def test_average_precision_of_a_full_list_is_one_however_many_are_relevant():
    ten = hits([1] * 10)
    assert average_precision(ten, np.array([10]), 10)[0] == pytest.approx(1.0)
    assert average_precision(ten, np.array([500]), 10)[0] == pytest.approx(1.0)


def test_few_relevant_photos_on_top_score_one_in_every_measure():
    few = hits([1, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    for measure in (average_precision, recall, ndcg):
        assert measure(few, np.array([2]), 10)[0] == pytest.approx(1.0)


def test_recall_ignores_order_and_ndcg_does_not():
    first, last = hits([1, 0, 0, 0]), hits([0, 0, 0, 1])
    assert recall(first, np.array([1]), 4) == recall(last, np.array([1]), 4)
    assert ndcg(last, np.array([1]), 4)[0] == pytest.approx(1 / np.log2(5))
    assert ndcg(first, np.array([1]), 4)[0] == pytest.approx(1.0)


def test_neighbours_leave_the_query_out_and_break_ties_by_row():
    x = unit([[1, 0], [1, 0], [1, 0], [0, 1]])
    assert neighbours(x, 3).tolist() == [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]


def test_neighbours_agree_whatever_the_block_size():
    x = unit(np.random.default_rng(3).normal(size=(57, 8)).tolist())
    assert np.array_equal(neighbours(x, 10, block=7), neighbours(x, 10, block=1000))


def test_separated_classes_score_one_and_mixed_ones_do_not():
    x = unit([[1, 0], [1, 0.01], [1, 0.02], [0, 1], [0.01, 1], [0.02, 1]])
    apart = score(x, ["a", "a", "a", "b", "b", "b"])
    mixed = score(x, ["a", "b", "a", "b", "a", "b"])
    assert (apart.map_at_k, apart.recall_at_k, apart.ndcg_at_k) == pytest.approx((1, 1, 1))
    assert mixed.map_at_k < 0.7
    assert (apart.n, apart.queries, apart.k) == (6, 6, 10)


def test_a_class_of_one_is_searched_among_but_is_no_query():
    result = score(unit([[1, 0], [1, 0.1], [0, 1]]), ["a", "a", "lonely"])
    assert (result.n, result.queries, result.map_at_k) == (3, 2, pytest.approx(1.0))


@pytest.mark.parametrize("labels", [[], ["a"], ["a", "b", "c"]])
def test_nothing_to_find_is_said(labels):
    x = unit([[1.0, 0.0]] * len(labels)) if labels else np.zeros((0, 2), np.float32)
    with pytest.raises(InputError, match="nothing to find"):
        score(x, labels)


def test_k_below_one_is_refused():
    with pytest.raises(InputError, match="k must be 1 or more"):
        score(unit([[1, 0], [1, 0]]), ["a", "a"], k=0)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 30), st.integers(1, 12))
def test_measures_are_those_of_scikit_learn(seed, n, k):
    rng = np.random.default_rng(seed)
    x = unit(rng.integers(-1, 2, (n, 3)) + 0.01 * rng.standard_normal((n, 3)))
    labels = [str(v) for v in rng.integers(0, 4, n)]
    if max(map(labels.count, labels)) < 2:
        with pytest.raises(InputError):
            score(x, labels, k)
        return
    found = score(x, labels, k)
    expected = {"ndcg": [], "precision": [], "ap": []}
    for query in range(n):
        others = np.delete(np.arange(n), query)
        right = np.array([labels[i] == labels[query] for i in others])
        if not right.any():
            continue
        near = x[others] @ x[query]
        order = np.argsort(-near, kind="stable")
        ranks = np.empty(len(order))
        ranks[order] = np.arange(len(order), 0, -1)
        if len(others) > 1:
            expected["ndcg"].append(ndcg_score([right.astype(float)], [ranks], k=k))
        else:
            expected["ndcg"].append(1.0)
        expected["precision"].append(right[order][:k].sum() / k)
        if k >= len(others):
            expected["ap"].append(average_precision_score(right, ranks))
    assert found.ndcg_at_k == pytest.approx(np.mean(expected["ndcg"]))
    assert found.precision_at_k == pytest.approx(np.mean(expected["precision"]))
    if k >= n - 1:
        assert found.map_at_k == pytest.approx(np.mean(expected["ap"]))
    assert found.by_k["precision"][-1] == found.precision_at_k and len(found.by_k["nDCG"]) == k


def test_a_photo_like_nothing_is_not_its_own_neighbour():
    x = unit([[1, 0], [1, 0.1], [0, 1], [0.1, 1]])
    x[1] = np.nan
    near = neighbours(x, 3)
    assert all(row not in near[row] for row in range(4)) and near[0][-1] == 1
