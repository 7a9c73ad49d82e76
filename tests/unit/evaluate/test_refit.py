from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.errors import InputError, ResourceError
from photoorg.evaluate.curves import draw_pairs, draw_ranks, draw_refits
from photoorg.evaluate.pairs import pair_curve
from photoorg.evaluate.refit import best_threshold, curve, f1, refit, roc_auc


def test_a_threshold_lands_between_what_was_rejected_and_accepted():
    scores = [i / 100 for i in range(100)]
    fit = refit("duplicate", scores, [s >= 0.6 for s in scores], [{}] * 100, {})
    assert fit.values == {"duplicate.accept": pytest.approx(0.595)}
    assert (fit.f1_after, fit.before.roc_auc) == (1.0, 1.0) and fit.f1_before < 0.6


def test_f1_before_is_at_the_threshold_in_force():
    scores = [i / 100 for i in range(100)]
    fit = refit("person", scores, [s >= 0.6 for s in scores], [{}] * 100, {"person.accept": 0.595})
    assert fit.f1_before == fit.f1_after == 1.0


@pytest.mark.parametrize("accepted", [[True] * 19, [True] * 30, [True] * 26 + [False] * 4])
def test_too_few_verdicts_fit_nothing(accepted):
    assert refit("search", [0.5] * len(accepted), accepted, [{}] * len(accepted), {}) is None


def verdicts(n: int, *, telling: bool):
    """Answers whose rightness hangs on the cosine and, if telling, on the place."""
    rng = np.random.default_rng(1)
    cosine = rng.uniform(0.3, 0.7, n)
    metres = rng.choice([5.0, 5_000.0], n)
    worth = cosine + (0.5 * (1 - cosine) * np.exp(-metres / 200) if telling else 0)
    accepted = worth + rng.normal(0, 0.03, n) > 0.6
    signals = [{"cosine": c, "meters_apart": m} for c, m in zip(cosine, metres, strict=True)]
    return cosine.tolist(), accepted.tolist(), signals


def test_weights_follow_evidence_that_tells_right_from_wrong():
    fit = refit("search", *verdicts(400, telling=True), {})
    assert fit.values["rerank.place"] > 0.2 and "rerank.time" not in fit.values
    assert fit.after.roc_auc > fit.before.roc_auc + 0.05 and fit.f1_after > fit.f1_before


def test_weights_stay_where_evidence_tells_nothing():
    fit = refit("search", *verdicts(400, telling=False), {})
    assert set(fit.values) == {"search.accept"}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.3, 0.4]), st.booleans()), min_size=2))
def test_no_threshold_is_better_than_the_best(items):
    scores = np.array([s for s, _ in items])
    accepted = np.array([a for _, a in items])
    if not accepted.any() or accepted.all():
        return
    best = f1(scores >= best_threshold(scores, accepted), accepted)
    assert all(f1(scores >= t, accepted) <= best for t in (0.0, 0.1, 0.2, 0.3, 0.4))
    assert 0 <= roc_auc(scores, accepted) <= 1


def test_recall_falls_along_the_curve_from_one():
    scores, accepted, _ = verdicts(200, telling=True)
    found = curve(np.array(scores), np.array(accepted))
    assert found.recall[0] == 1.0 and found.recall == sorted(found.recall, reverse=True)


def test_curves_are_drawn_or_the_missing_package_is_named(tmp_path):
    fit = refit("search", *verdicts(100, telling=True), {})
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        with pytest.raises(ResourceError, match="matplotlib"):
            draw_refits([fit], tmp_path / "a.png")
        return
    draw_refits([fit], tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_evidence_that_no_answer_had_keeps_its_weight():
    fit = refit("search", *verdicts(400, telling=True), {})
    assert "rerank.place" in fit.values and "rerank.hash" not in fit.values
    assert "rerank.people" not in fit.values


def test_curves_of_pairs_and_of_ranks_are_drawn_even_where_there_is_nothing(tmp_path):
    pytest.importorskip("matplotlib")
    for number, known in enumerate(({(0, 1): 0.9, (0, 2): 0.4}, {})):
        curve, area = pair_curve(["a", "a", "b"], known)
        draw_pairs(curve, area, 0.8, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(b"\x89PNG")
    draw_ranks({"precision": [1.0, 0.5]}, tmp_path / "k.png")
    assert (tmp_path / "k.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(InputError, match="cannot be written"):
        draw_ranks({"precision": [1.0]}, tmp_path / "missing" / "k.png")
