"""Training must find what makes views of one photo alike, and never make things worse."""

from __future__ import annotations

import numpy as np
import pytest

from photoorg.curation_config import TrainConfig
from photoorg.encoders.head import ProjectionHead
from photoorg.errors import EncoderUnavailableError, InputError
from photoorg.learn.contrastive import score_views, train_head

pytest.importorskip("torch", reason="torch is not installed (extra clip)")
DIM, N = 24, 400
QUICK = TrainConfig(epochs=40, batch=64, hidden=32)


def unit(x_nd):
    return (x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)).astype(np.float32)


def views(seed: int = 0, n: int = N):
    """Identity in the first half of the dimensions, loud noise that differs by view in the rest."""
    rng = np.random.default_rng(seed)
    who = rng.standard_normal((n, DIM // 2))

    def view():
        return unit(np.hstack([who, 3 * rng.standard_normal((n, DIM // 2))]))

    return view(), view()


def test_what_differs_between_views_is_learnt_to_be_ignored() -> None:
    trained = train_head(*views(), "base-1", QUICK)
    assert trained.after.ndcg_at_k > trained.before.ndcg_at_k + 0.2
    fresh_a, fresh_b = views(seed=1)
    plain = score_views(fresh_a, fresh_b).ndcg_at_k
    assert score_views(trained.head(fresh_a), trained.head(fresh_b)).ndcg_at_k > plain + 0.2
    assert trained.losses[-1] < trained.losses[0] and trained.epochs >= 1


def test_nothing_to_learn_leaves_the_vectors_as_they_are() -> None:
    rng = np.random.default_rng(2)
    x_nd = unit(rng.standard_normal((N, DIM)))
    trained = train_head(x_nd, x_nd, "base-1", QUICK)
    assert trained.after == trained.before and trained.epochs == 0
    np.testing.assert_allclose(trained.head(x_nd), x_nd, atol=1e-6)


def test_pairs_that_people_made_are_learnt_from() -> None:
    """Views tell nothing here: the photo's kind is known from accepted pairs alone."""
    rng = np.random.default_rng(3)
    a_nd = unit(rng.standard_normal((N, DIM)))
    first, second = views(seed=4)
    trained = train_head(a_nd, a_nd, "base-1", QUICK, pairs_a=first, pairs_b=second)
    x_nd, y_nd = views(seed=5)
    module = train_head(*views(seed=4), "base-1", QUICK)
    assert trained.losses != train_head(a_nd, a_nd, "base-1", QUICK).losses
    assert score_views(module.head(x_nd), module.head(y_nd)).n == N


def test_one_seed_gives_one_head() -> None:
    first, second = (train_head(*views(), "base-1", QUICK) for _ in range(2))
    assert first.head.to_bytes() == second.head.to_bytes()


def test_too_few_photos_are_refused() -> None:
    a_nd, b_nd = views(n=20)
    with pytest.raises(InputError, match="too few"):
        train_head(a_nd, b_nd, "base-1", QUICK)


def test_a_head_that_maps_all_to_one_point_finds_nothing() -> None:
    one = np.ones((50, 4), np.float32) / 2
    assert score_views(one, one).map_at_k == 0.0


def test_a_head_travels_in_a_file_and_a_damaged_one_is_told(tmp_path) -> None:
    head = train_head(*views(), "base-1", QUICK.model_copy(update={"dim": 8})).head
    file = tmp_path / "head.npz"
    file.write_bytes(head.to_bytes())
    x_nd, _ = views(seed=9)
    again = ProjectionHead.from_file(file)
    np.testing.assert_array_equal(again(x_nd), head(x_nd))
    assert (again.base, again.dim) == ("base-1", 8)
    file.write_bytes(head.to_bytes()[:-200])
    with pytest.raises(EncoderUnavailableError, match="no projection head"):
        ProjectionHead.from_file(file)
