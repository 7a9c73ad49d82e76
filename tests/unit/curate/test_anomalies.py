from __future__ import annotations

import numpy as np
import pytest

from photoorg.curate.anomalies import measure, neighbours, queue
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
