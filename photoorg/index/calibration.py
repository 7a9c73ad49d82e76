"""How many lists to scan: measured on held-out photos against exact search, not guessed."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, PhotoKeys
from photoorg.index.photo_ids import comparable
from photoorg.index.planning import IndexPlan
from photoorg.index.views import best_views

log = logging.getLogger(__name__)
K = 10
WIDER = (0.25, 0.5, 1, 2, 4)
"""Candidate lists are tried at these multiples of the configured width."""
MAX_SHARE = 8
"""No more than one list in eight is scanned, where there are many."""

Names = NDArray[np.bytes_]
Setting = tuple[int, int]
"""(rescore_factor, effort)"""


@dataclass(frozen=True, slots=True)
class Best:
    """The best rows of m probes, in descending order: scores and ids, both [m, K + 1]."""

    scores: FloatMatrix
    names: Names


@dataclass(frozen=True, slots=True)
class ShardProbe:
    """What one shard found for the probes, exactly and at every setting tried."""

    exact: Best
    found: Mapping[Setting, Best]


@dataclass(frozen=True, slots=True)
class Calibration:
    """The cheapest setting that reaches the target, and the recall@10 it reached."""

    effort: int
    rescore_factor: int
    recall_at_10: float
    curve: Mapping[Setting, float]


class ExactProbe:
    """The true neighbours of the probes, gathered while a shard's vectors stream by.

    A photo has `views` vectors, one after the other, and is as near as the best of them.
    """

    def __init__(self, probes_md: FloatMatrix, keys: PhotoKeys, *, views: int = 1) -> None:
        self._views = views
        self._probes_md = np.ascontiguousarray(probes_md)
        self._names = comparable(keys)
        self._best = nothing(len(probes_md))
        self._row = 0

    def offer(self, x_nd: FloatMatrix) -> None:
        """The next rows of the shard, in the order of its keys, all of a photo's together."""
        faiss = faiss_io.library()

        if len(self._probes_md) and len(x_nd):
            # Among so many rows there are K + 1 different photos for sure.
            k = min(K * self._views + 1, len(x_nd))
            scores, rows = faiss.knn(self._probes_md, x_nd, k, metric=faiss.METRIC_INNER_PRODUCT)
            photos = (self._row + rows) // self._views
            if self._views > 1:
                scores, photos, _ = best_views(scores, photos, min(K + 1, k))
            self._best = combine([self._best, Best(scores, self._names[photos])])
        self._row += len(x_nd)

    def best(self) -> Best:
        """What was found so far."""
        return self._best


def settings(plan: IndexPlan) -> list[Setting]:
    """What is tried, cheapest first by what scanning a list and re-scoring a candidate take."""
    if plan.kind == "flat":
        return [(plan.rescore_factor, 1)]
    limit = min(plan.nlist, max(64, plan.nlist // MAX_SHARE))
    efforts = [1]
    while efforts[-1] < limit:
        efforts.append(min(limit, max(efforts[-1] + 1, round(1.3 * efforts[-1]))))
    # Microseconds, measured: only their ratio matters, and it is much the same on any machine.
    scan = 5e-5 * plan.pq * plan.vectors / plan.nlist
    look = K * (0.15 + 1.1e-3 * plan.dim)
    factors = {max(2, round(plan.rescore_factor * wider)) for wider in WIDER}
    tried = [(factor, effort) for factor in factors for effort in efforts]
    return sorted(tried, key=lambda s: (look * s[0] + scan * s[1], s))


def calibrate(parts: Sequence[ShardProbe], trained_keys: PhotoKeys, plan: IndexPlan) -> Calibration:
    """Merge what the shards found and take the first setting that reaches plan.recall_target.

    "Reaches" means that its mean recall is over the target by twice its standard error. If none
    does, the best one is taken and a warning says what it reached.
    """
    own = comparable(trained_keys)
    truth = _without(combine([p.exact for p in parts]), own)
    curve: dict[Setting, float] = {}
    chosen: Setting | None = None
    for setting in settings(plan):
        recall_m = _recall(truth, _without(combine([p.found[setting] for p in parts]), own))
        if not len(recall_m):
            return Calibration(setting[1], setting[0], 1.0, {})
        curve[setting] = mean = float(recall_m.mean())
        margin = 2 * float(recall_m.std()) / np.sqrt(len(recall_m))
        if mean - margin >= plan.recall_target or mean == 1.0:
            chosen = setting
            break
    if chosen is None:
        chosen = max(curve, key=lambda s: (curve[s], -s[1]))
        if plan.kind != "flat" and curve[chosen] < plan.recall_target:
            log.warning(
                "the index reaches recall@10 %.3f at best, less than the %.3f asked for: "
                "use longer codes in index.factory or a larger index.rescore_factor",
                curve[chosen],
                plan.recall_target,
            )
    return Calibration(chosen[1], chosen[0], round(curve[chosen], 4), curve)


def nothing(m: int) -> Best:
    """No neighbours yet."""
    return Best(np.full((m, K + 1), -np.inf, np.float32), np.zeros((m, K + 1), "S32"))


def combine(parts: Sequence[Best]) -> Best:
    """The K + 1 best of several."""
    scores = np.concatenate([p.scores for p in parts], axis=1)
    names = np.concatenate([p.names for p in parts], axis=1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, : K + 1]
    return Best(np.take_along_axis(scores, order, 1), np.take_along_axis(names, order, 1))


def _without(best: Best, own_m: Names) -> Names:
    """The K best names of each probe, itself left out; b"" where there are fewer."""
    names = np.where(np.isfinite(best.scores), best.names, b"")
    itself = names == own_m[:, None]
    order = np.argsort(itself, axis=1, kind="stable")
    ordered = np.take_along_axis(np.where(itself, b"", names), order, 1)
    return np.asarray(ordered[:, :K])


def _recall(truth: Names, found: Names) -> NDArray[np.float64]:
    """Share of each probe's true neighbours that were found; probes without any are left out."""
    real = truth != b""
    hits: NDArray[Any] = ((truth[:, :, None] == found[:, None, :]).any(axis=2)) & real
    counted = real.sum(axis=1)
    some = counted > 0
    return np.asarray(hits.sum(axis=1)[some] / counted[some], np.float64)
