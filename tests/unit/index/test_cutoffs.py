"""Cutoffs from a library's own scores: nonsense stays below, real queries above."""

from __future__ import annotations

import numpy as np
import pytest

from photoorg.index.cutoffs import (
    ALIKE,
    LEAST_PHOTOS,
    Cutoffs,
    best_neighbours,
    fit_images,
    fit_texts,
    unrelated,
)

DIM = 128


def library(rng, subjects=40, each=25, noise=0.06, base=0.0):
    """Unit vectors of subjects; `base` is what all have in common, as in real spaces."""
    centres = rng.standard_normal((subjects, DIM)) / DIM**0.5
    common = rng.standard_normal(DIM) / DIM**0.5 * base
    x = np.repeat(centres, each, axis=0) + common
    x = x + noise * rng.standard_normal(x.shape)
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32), centres + common


def fitted(x):
    scores = x @ x.T
    np.fill_diagonal(scores, -np.inf)
    best = best_neighbours(-np.sort(-scores, axis=1)[:, :10])
    return fit_images(x, best, len(x))


@pytest.mark.parametrize("base", [0.0, 1.0])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_random_vectors_stay_below_and_new_photos_of_known_subjects_above(base, seed):
    rng = np.random.default_rng(seed)
    x, centres = library(rng, base=base)
    found = fitted(x)
    nonsense = rng.standard_normal((300, DIM))
    nonsense /= np.linalg.norm(nonsense, axis=1, keepdims=True)
    assert np.mean((nonsense @ x.T).max(axis=1) < found.best) > 0.95
    new = np.repeat(centres, 5, axis=0)
    new = new + 0.06 * rng.standard_normal(new.shape)
    new /= np.linalg.norm(new, axis=1, keepdims=True)
    assert np.mean((new @ x.T).max(axis=1) >= found.best) > 0.95


def test_a_library_of_near_duplicates_does_not_ask_for_near_duplicates():
    rng = np.random.default_rng(4)
    x, _ = library(rng, subjects=30, each=20)
    copies = np.concatenate([x, x + 1e-4 * rng.standard_normal(x.shape).astype(np.float32)])
    copies /= np.linalg.norm(copies, axis=1, keepdims=True)
    assert fitted(copies).best < 0.8


def test_equal_photos_leave_room_for_what_is_all_but_equal():
    x = np.tile(np.eye(1, DIM, dtype=np.float32), (100, 1))
    found = fitted(x)
    assert found.best <= ALIKE and found.floor <= found.best


def test_a_small_library_has_no_cutoff():
    x, _ = library(np.random.default_rng(5), subjects=3, each=13)
    assert len(x) < LEAST_PHOTOS and fitted(x) is None


def test_made_up_nonsense_raises_the_cutoff_as_far_as_few_real_queries_are_lost():
    x, _ = library(np.random.default_rng(6))
    best = np.linspace(0.5, 0.9, 400)
    plain = fit_images(x, best, len(x))
    wary = fit_images(x, best, len(x), np.full(50, plain.best + 0.02))
    assert plain.best < wary.best < np.quantile(best, 0.06)
    near = fit_images(x, best, len(x), np.full(50, 0.89))
    assert near.best == pytest.approx(np.quantile(best, 0.05))


def test_texts_are_measured_on_their_own_scale():
    rng = np.random.default_rng(7)
    scores = rng.normal(0.18, 0.02, (80, 500))
    found = fit_texts(scores, rng.normal(0.30, 0.02, 80), rng.normal(0.23, 0.01, 100))
    assert 0.22 < found.best < 0.28 and found.floor < found.best


def test_neighbours_are_others_and_no_near_duplicates_where_there_are_others():
    none = -np.inf
    scores = np.array([[none, 0.95, 0.6, 0.5], [none, 0.99, 0.95, none], [none] * 4])
    found = best_neighbours(scores)
    assert found.tolist() == [0.6, 0.95]


def test_related_pairs_do_not_move_what_unrelated_ones_look_like():
    rng = np.random.default_rng(8)
    scores = np.concatenate([rng.normal(0.2, 0.05, 9_500), rng.normal(0.8, 0.05, 500)])
    mean, spread = unrelated(scores)
    assert mean == pytest.approx(0.2, abs=0.01) and spread == pytest.approx(0.05, abs=0.005)


def test_chance_falls_as_scores_rise_and_cutoffs_survive_being_kept():
    found = Cutoffs(0.5, 0.3, 0.2, 0.1)
    assert found.chance(0.2) == pytest.approx(0.5) and found.chance(0.4) < 0.03 < found.chance(0.3)
    assert Cutoffs.of(found.to_thresholds("image"), "image") == found
    assert Cutoffs.of(found.to_thresholds("image"), "text") is None
    assert Cutoffs.of({"search.image": 0.4}, "image") == Cutoffs(0.4, 0.4, 0.0, 0.0)
    assert Cutoffs(0.5, 0.5, 0.9, 0.0).chance(0.95) == 0.0


def test_parts_of_photos_are_near_by_chance_more_often():
    x = np.random.default_rng(4).standard_normal((240, 64)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    best = np.full(60, 0.8)
    wholes, parts = fit_images(x[::4], best, 60), fit_images(x, best, 60, views=4)
    assert parts.mean > wholes.mean + 0.1
