"""One calibrated confidence from the evidence of a pair: logistic regression (Platt, 1999).

The coefficients were fitted by `python -m benchmarks.dedup_quality --fit` to edits of photographs
that scikit-image and scikit-learn ship, against other shots, other moments and unrelated
photographs. The bias is lower than fitted by 0.81: what it gave 0.9 has 0.8 now, as from there on
99 of 100 pairs of every set left out of the fit were right. A photo lost costs more than a copy
kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.evidence import SAME_SHOT_S, Evidence

Floats = NDArray[np.float64]
FEATURES = (
    "pdq",
    "phash",
    "cosine",
    "aligned",
    "not_aligned",
    "aligned_and_near",
    "changed",
    "moved",
    "unmatched",
    "shape",
    "same_shot",
    "other_shot",
)
NEWTON_STEPS = 100
AGAINST = frozenset({"not_aligned", "changed", "moved", "unmatched", "shape", "other_shot"})
MATCHED = 0.6
"""Share of the local features that agree in good copies."""
CHANGED, MOVED = 0.2, 0.03
"""Shares of a picture from which on it is no matter how much more changed or moved."""
OTHER_SHOT_S = 0.4
"""Copies may have lost the fraction of the second; two shots are further apart than that."""


@dataclass(frozen=True, slots=True)
class Model:
    """P(same picture) = 1 / (1 + exp(-(weights . features + bias)))."""

    weights: tuple[float, ...]
    bias: float

    def confidence(self, evidence: Evidence) -> Floats:
        """How likely each pair is the same picture, 0..1."""
        return self.of(features(evidence))

    def alike(self, evidence: Evidence) -> Floats:
        """The same, whatever the clocks say and whatever moved: how likely they would be taken for
        one picture.
        """
        unknown = np.full(len(evidence), np.nan)
        still = replace(evidence, steady=unknown, changed=unknown, moved=unknown, matched=unknown)
        x_nf = features(still)
        x_nf[:, [FEATURES.index("same_shot"), FEATURES.index("other_shot")]] = 0.0
        return self.of(x_nf)

    def of(self, x_nf: Floats) -> Floats:
        """Confidence of pairs whose features [n, f] are known."""
        logits = np.clip(x_nf @ np.asarray(self.weights) + self.bias, -30, 30)
        result: Floats = 1 / (1 + np.exp(-logits))
        return result


def features(evidence: Evidence) -> Floats:
    """FEATURES [n, f], each 0..1 and 0 where nothing is known."""
    pdq = _near(evidence.pdq, 40.0)
    steady = np.where(np.isnan(evidence.steady), 1.0, evidence.steady)
    aligned = np.clip((evidence.aligned * steady - 0.4) / 0.4, 0.0, 1.0)
    with np.errstate(invalid="ignore"):
        same_shot = (evidence.camera == 1) & (evidence.seconds <= SAME_SHOT_S)
        other_shot = (evidence.camera == 0) | (evidence.seconds >= OTHER_SHOT_S)
    known = np.nan_to_num(aligned)
    columns = [
        pdq,
        _near(evidence.phash, 12.0),
        np.nan_to_num(np.clip(evidence.cosine, 0.0, 1.0)),
        known,
        np.nan_to_num(1.0 - aligned),
        known * np.maximum(pdq, np.nan_to_num(np.clip(evidence.cosine, 0.0, 1.0))),
        np.nan_to_num(np.minimum(evidence.changed / CHANGED, 1.0)),
        np.nan_to_num(np.minimum(evidence.moved / MOVED, 1.0)),
        np.nan_to_num(np.clip(1.0 - evidence.matched / MATCHED, 0.0, 1.0)),
        np.minimum(evidence.shape / 0.3, 1.0) * (1.0 - known),
        same_shot.astype(np.float64),
        other_shot.astype(np.float64),
    ]
    return np.stack(columns, axis=1)


def fit(x_nf: Floats, same_n: NDArray[np.bool_], start: Model, *, strength: float = 3.0) -> Model:
    """Weights that make the labelled pairs most likely, held near `start` by L2 of `strength`.

    Newton's method with halved steps; no weight takes the sign that would make likeness speak
    against two photos or a difference for them.
    """
    x = np.concatenate([x_nf, np.ones((len(x_nf), 1))], axis=1)
    origin = np.asarray([*start.weights, start.bias])
    against = np.asarray([name in AGAINST for name in FEATURES] + [False])
    free = np.asarray([False] * len(FEATURES) + [True])
    bounds = np.where(against | free, -np.inf, 0.0), np.where(against, 0.0, np.inf)

    def loss(weights: Floats) -> float:
        logits = x @ weights
        misfit = np.logaddexp(0.0, logits) - same_n * logits
        return float(misfit.sum() + strength / 2 * ((weights - origin) ** 2).sum())

    weights, now = origin, loss(origin)
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (p - same_n) + strength * (weights - origin)
        hessian = (x * (p * (1 - p))[:, None]).T @ x + strength * np.eye(len(weights))
        step = np.linalg.solve(hessian, gradient)
        # Far from the minimum a whole step overshoots.
        size = 1.0
        while size > 1e-6 and loss(weights - size * step) > now:
            size /= 2
        weights = np.clip(weights - size * step, *bounds)
        before, now = now, loss(weights)
        if abs(before - now) < 1e-9 * max(1.0, before):
            break
    return Model(tuple(float(w) for w in weights[:-1]), float(weights[-1]))


def model_of(numbers: Sequence[float] | None) -> Model:
    """The model of a configuration: the weights of FEATURES and the bias, or the fitted ones."""
    if numbers is None:
        return FITTED
    return Model(tuple(numbers[:-1]), numbers[-1])


def _near(bits: Floats, scale: float) -> Floats:
    return np.nan_to_num(np.exp(-((bits / scale) ** 2)))


FITTED = Model(
    (5.253, 1.209, 1.139, 5.891, -4.934, 0.000, -5.397, -6.719, -4.328, -3.238, 6.878, -6.013),
    -1.660,
)
