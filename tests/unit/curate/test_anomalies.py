from __future__ import annotations

import numpy as np
import pytest

from photoorg.curate.anomalies import measure, neighbours, queue, tail_share
from photoorg.curate.anomaly_review import findings


def clustered(n: int, dim: int = 32, seed: int = 0, noise: float = 0.3) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((5, dim))
    x = centres[np.arange(n) % 5] + noise * rng.standard_normal((n, dim))
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def test_photos_of_another_world_come_first():
    x = clustered(300)
    strangers = np.eye(32, dtype=np.float32)[:3] * np.array([[1], [-1], [1]], np.float32)
    found = measure(*neighbours(np.concatenate([x, strangers]), 10))
    assert set(queue(found, 3).tolist()) == {300, 301, 302}
    assert (found.density_n[300:] > 1.5).all() and (found.score_n[300:] > 0.5).all()


def test_a_library_of_equals_has_no_strangers():
    assert len(queue(measure(*neighbours(clustered(500), 10)), 100)) <= 5
    same = np.repeat(clustered(1), 400, axis=0)
    found = measure(*neighbours(same, 10))
    assert len(queue(found, 100)) == 0 and np.isfinite(found.density_n).all()


def test_a_pair_of_copies_far_from_all_is_not_dense_enough_to_hide():
    x = np.concatenate([clustered(200), np.eye(32, dtype=np.float32)[[0]]])
    assert 200 in queue(measure(*neighbours(x, 10)), 5)


@pytest.mark.parametrize("n", [0, 1, 2, 19])
def test_a_handful_of_photos_says_nothing(n):
    assert findings([bytes(32)] * n, clustered(n)) == []


def test_photos_without_a_vector_take_no_part():
    x = np.concatenate([clustered(60), np.zeros((5, 32), np.float32)])
    assert all(
        int.from_bytes(f.photo_id) < 60 for f in findings([i.to_bytes(4) for i in range(65)], x)
    )


def test_neighbours_are_the_nearest_others():
    x = clustered(100)
    distance, rows = neighbours(x, 5)
    cosine = x @ x.T
    np.fill_diagonal(cosine, -2)
    expected = np.sort(1 - cosine, axis=1)[:, :5]
    assert np.allclose(distance, expected, atol=1e-5)
    assert (rows != np.arange(100)[:, None]).all()


def test_half_a_library_of_black_photos_hides_no_stranger_and_makes_none():
    black = np.repeat(clustered(1, seed=9), 300, axis=0)
    x = np.concatenate([black, clustered(300), np.eye(32, dtype=np.float32)[[0]]])
    found = queue(measure(*neighbours(x, 10)), 20)
    assert 600 in found and not (found < 300).any()


def planted(n: int, strangers: int, seed: int, noise: float) -> np.ndarray:
    """A library of groups, and photos that are each of a world of their own, at the end."""
    rng = np.random.default_rng([seed, 1])
    away = rng.standard_normal((strangers, 64))
    x = np.concatenate([clustered(n, 64, seed, noise), away.astype(np.float32)])
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("noise", [0.1, 0.3, 0.6])
@pytest.mark.parametrize(("n", "strangers"), [(40, 1), (280, 6), (1500, 30)])
def test_planted_strangers_are_shown_and_hardly_anything_else(n, strangers, noise):
    shown, right = 0, 0
    for seed in range(4):
        found = queue(measure(*neighbours(planted(n, strangers, seed, noise), 10)), n)
        shown, right = shown + len(found), right + int((found >= n).sum())
    assert right >= 0.9 * 4 * strangers and right >= 0.8 * shown


@pytest.mark.parametrize("n", [25, 60, 280, 1500])
@pytest.mark.parametrize("noise", [0.05, 0.3, 1.0])
def test_of_a_library_without_strangers_one_photo_in_a_hundred_is_shown_at_most(n, noise):
    shown = [
        len(queue(measure(*neighbours(clustered(n, 64, seed, noise), 10)), n)) for seed in range(8)
    ]
    assert sum(shown) <= max(2, 0.01 * 8 * n)


def test_events_of_few_photos_are_no_strangers_to_a_library_of_such():
    """Their tenth neighbour is of another event: density alone would show every second photo."""
    rng = np.random.default_rng(4)
    events = np.repeat(rng.standard_normal((60, 64)), rng.integers(3, 8, 60), axis=0)
    x = events + 0.3 * rng.standard_normal(events.shape)
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    assert len(queue(measure(*neighbours(x, 10)), 1000)) <= 0.01 * len(x)


def test_the_tail_is_told_from_the_values_themselves():
    rng = np.random.default_rng(0)
    share = tail_share(rng.standard_normal(20_000))
    assert (share <= 0.1).mean() == pytest.approx(0.1, rel=0.15)
    assert 0.0 < (share <= 0.01).mean() <= 0.01  # a normal tail falls off faster: on the safe side
    heavy = tail_share(rng.exponential(size=20_000))
    assert (heavy <= 0.001).mean() == pytest.approx(0.001, rel=0.6)
    assert (tail_share(np.full(50, 3.0)) > 0.1).all()
