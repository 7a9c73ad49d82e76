import numpy as np
import pytest

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
