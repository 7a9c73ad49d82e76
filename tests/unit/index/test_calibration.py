from __future__ import annotations

import logging

import numpy as np
import pytest

from photoorg.config import IndexConfig
from photoorg.index.calibration import (
    Best,
    ExactProbe,
    K,
    ShardProbe,
    calibrate,
    combine,
    settings,
)
from photoorg.index.photo_ids import comparable
from photoorg.index.planning import IndexPlan, plan
from tests.unit.index.vectors import clustered, keys

PLAN = plan(100_000, 64, IndexConfig())
FLAT = plan(100, 64, IndexConfig())
OWN, OTHERS = keys(40, "probe"), comparable(keys(K + 1, "other"))
TRUTH = Best(
    np.tile(np.linspace(0.9, 0.1, K + 1, dtype=np.float32), (40, 1)), np.tile(OTHERS, (40, 1))
)


def missing(count: int) -> Best:
    """What a search finds that overlooks the `count` best."""
    scores = TRUTH.scores.copy()
    scores[:, :count] = -np.inf
    return combine([Best(scores, TRUTH.names)])


def probe(first_good: int, made: IndexPlan = PLAN) -> ShardProbe:
    """Exact from the `first_good`-th setting on."""
    order = settings(made)
    return ShardProbe(TRUTH, {s: missing(5 * (i < first_good)) for i, s in enumerate(order)})


@pytest.mark.parametrize("first_good", [0, 3, 20])
def test_the_cheapest_setting_that_reaches_the_target_is_taken(first_good: int) -> None:
    chosen = calibrate([probe(first_good)], OWN, PLAN)
    factor, effort = settings(PLAN)[first_good]
    assert (chosen.rescore_factor, chosen.effort) == (factor, effort)
    assert chosen.recall_at_10 == 1.0


def test_settings_grow_in_cost_and_cover_both_ways_to_find_more() -> None:
    order = settings(PLAN)
    assert len(set(order)) == len(order)
    assert order[0] == (5, 1) and order[-1] == (80, max(e for _, e in order))
    for setting in order:
        dearer = [s for s in order if s != setting and s[0] >= setting[0] and s[1] >= setting[1]]
        assert all(order.index(s) > order.index(setting) for s in dearer)


def test_a_target_that_cannot_be_reached_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        chosen = calibrate([probe(10_000)], OWN, PLAN)
    assert chosen.recall_at_10 == pytest.approx(0.5)
    assert "index.factory" in caplog.text


def test_the_probe_itself_is_no_neighbour() -> None:
    scores = np.concatenate([np.ones((40, 1), np.float32), TRUTH.scores[:, :K]], axis=1)
    itself = Best(scores, np.concatenate([comparable(OWN)[:, None], TRUTH.names[:, :K]], axis=1))
    blind = Best(scores, np.where(itself.names == comparable(OWN)[:, None], itself.names, b"x"))
    found = dict.fromkeys(settings(FLAT), blind)
    assert calibrate([ShardProbe(itself, found)], OWN, FLAT).recall_at_10 == 0.0


def test_neighbours_are_those_of_all_shards_together() -> None:
    rows = np.arange(K + 1)
    halves = [
        Best(np.where(rows % 2 == part, TRUTH.scores, -np.inf), TRUTH.names) for part in (0, 1)
    ]
    parts = [ShardProbe(half, dict.fromkeys(settings(PLAN), half)) for half in halves]
    assert calibrate(parts, OWN, PLAN).recall_at_10 == 1.0
    lost = [parts[0], ShardProbe(halves[1], dict.fromkeys(settings(PLAN), missing(K + 1)))]
    assert calibrate(lost, OWN, PLAN).recall_at_10 == 0.5


def test_exact_neighbours_gathered_in_blocks_are_the_true_ones() -> None:
    x, ids = clustered(1_000, 16), keys(1_000)
    exact = ExactProbe(x[:30], ids)
    for block in np.array_split(x, 7):
        exact.offer(block)
    order = np.argsort(-(x[:30] @ x.T), axis=1)[:, : K + 1]
    np.testing.assert_array_equal(exact.best().names[:, 0], comparable(ids)[order[:, 0]])
    np.testing.assert_allclose(
        exact.best().scores, np.take_along_axis(x[:30] @ x.T, order, 1), atol=1e-5
    )
