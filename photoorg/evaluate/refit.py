"""Thresholds and re-rank weights fitted to what people accepted and rejected."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST = 20
LEAST_EACH = 5
POINTS = 101
RIDGE = 1.0
STEPS = 50
WEIGHTS = ("quality", "hash", "time", "place", "event", "people")
HIGHEST_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class Curve:
    """Precision and recall of accepting scores of at least each threshold; ROC-AUC of the score."""

    thresholds: list[float]
    precision: list[float]
    recall: list[float]
    roc_auc: float


@dataclass(frozen=True, slots=True)
class Refit:
    """What verdicts of one kind say. `values` are thresholds and weights by name, if any changed.

    `before` is the score as it was shown, `after` that with the fitted weights; F1 is at the
    threshold in force before (all that was shown, where there was none) and at the fitted one.
    """

    kind: str
    verdicts: int
    accepted: int
    before: Curve
    after: Curve
    f1_before: float
    f1_after: float
    values: dict[str, float]


def refit(
    kind: str,
    scores_n: Sequence[float],
    accepted_n: Sequence[bool],
    signals_n: Sequence[Mapping[str, float]],
    in_force: Mapping[str, float],
    *,
    given: Mapping[str, float] | None = None,
) -> Refit | None:
    """Fit one kind of verdict; None where fewer than 20, or 5 of either answer, were given.

    The threshold is the one of best F1. Weights (of `search` and `similar`) come from a ridge
    logistic regression, relative to the cosine's; they are kept only if they order unseen verdicts
    better in cross-validation, and only those of evidence that some answer had: the others keep
    their value. With weights `given`, by name, none are fitted: the threshold is for these.
    """
    scores = np.asarray(scores_n, np.float64)
    accepted = np.asarray(accepted_n, bool)
    good = np.isfinite(scores)
    scores, accepted = scores[good], accepted[good]
    signals = [s for s, g in zip(signals_n, good.tolist(), strict=True) if g]
    right = int(accepted.sum())
    if len(scores) < LEAST or min(right, len(scores) - right) < LEAST_EACH:
        return None
    values: dict[str, float] = {}
    fitted = scores
    if kind in ("search", "similar") and all("cosine" in known for known in signals):
        x = _evidence(signals)
        weights = _weights(x, accepted, scores) if given is None else _in_order(given)
        if weights is not None:
            fitted = _combined(x, weights)
        if weights is not None and given is None:
            seen: list[bool] = np.any(x[:, 1:] > 0, axis=0).tolist()
            named = zip(WEIGHTS, weights.tolist(), seen, strict=True)
            values |= {f"rerank.{n}": round(w, 4) for n, w, there in named if there}
    threshold = best_threshold(fitted, accepted)
    values[f"{kind}.accept"] = round(threshold, 6)
    old = in_force.get(f"{kind}.accept", float(scores.min()))
    return Refit(
        kind=kind,
        verdicts=len(scores),
        accepted=right,
        before=curve(scores, accepted),
        after=curve(fitted, accepted),
        f1_before=f1(scores >= old, accepted),
        f1_after=f1(fitted >= threshold, accepted),
        values=values,
    )


def curve(scores: Floats, accepted: Mask) -> Curve:
    """Precision and recall at a hundred thresholds over the range of scores."""
    thresholds = np.linspace(float(scores.min()), float(scores.max()), POINTS)
    chosen = scores[None, :] >= thresholds[:, None]
    hits = (chosen & accepted).sum(axis=1)
    precision = hits / np.maximum(chosen.sum(axis=1), 1)
    return Curve(
        np.round(thresholds, 6).tolist(),
        np.round(precision, 4).tolist(),
        np.round(hits / max(1, int(accepted.sum())), 4).tolist(),
        round(roc_auc(scores, accepted), 4),
    )


def best_threshold(scores: Floats, accepted: Mask) -> float:
    """The score to accept from, midway to the next lower one, with the best F1."""
    order = np.argsort(-scores, kind="stable")
    ordered, hits = scores[order], np.cumsum(accepted[order])
    last = np.append(np.diff(ordered) != 0, True)
    value = 2 * hits / (np.arange(1, len(scores) + 1) + accepted.sum())
    at = int(np.argmax(np.where(last, value, -1.0)))
    if at + 1 == len(ordered):
        return float(ordered[at])
    return float((ordered[at] + ordered[at + 1]) / 2)


def f1(chosen: Mask, accepted: Mask) -> float:
    """F1 of accepting `chosen`."""
    both = int((chosen & accepted).sum())
    return round(2 * both / max(1, int(chosen.sum()) + int(accepted.sum())), 4)


def roc_auc(scores: Floats, accepted: Mask) -> float:
    """The chance that an accepted answer scores above a rejected one, ties counting half."""
    from scipy.stats import rankdata

    right = int(accepted.sum())
    wrong = len(accepted) - right
    ranks = rankdata(scores)
    return float((ranks[accepted].sum() - right * (right + 1) / 2) / (right * wrong))


def _evidence(signals: Sequence[Mapping[str, float]]) -> Floats:
    """Cosine and the room that each kind of evidence could fill [n, 7], as the re-ranker scales it.

    The re-ranker's score is cosine + (1 - cosine) * weighted evidence: linear in these columns.
    """
    rows = []
    for known in signals:
        looks = max(0.0, 2 * known.get("phash", 0.0) - 1) / 2
        if "pdq" in known:
            looks = max(0.0, 2 * known["pdq"] - 1)
        apart, metres = known.get("minutes_apart"), known.get("meters_apart")
        near = 0.0 if apart is None else float(np.exp(-apart / 60))
        here = 0.0 if metres is None else float(np.exp(-metres / 200))
        cosine = known.get("cosine", 0.0)
        bonds = (known.get("same_event", 0.0), known.get("people", 0.0))
        evidence = (known.get("quality", 0.0), looks, near, here, *bonds)
        rows.append((cosine, *((1 - cosine) * e for e in evidence)))
    return np.asarray(rows, np.float64).reshape(len(signals), 1 + len(WEIGHTS))


def _combined(x: Floats, weights: Floats) -> Floats:
    """The re-ranker's score: evidence fills at most all the room above the cosine."""
    return np.asarray(x[:, 0] + np.minimum(1 - x[:, 0], x[:, 1:] @ weights))


def _in_order(weights: Mapping[str, float]) -> Floats:
    return np.array([weights.get(name, 0.0) for name in WEIGHTS], np.float64)


def _weights(x: Floats, accepted: Mask, scores: Floats) -> Floats | None:
    """Weights that order verdicts better than the scores shown, on folds left out of the fit."""
    fold = np.random.default_rng(0).permutation(len(accepted)) % 5
    unseen = np.empty(len(accepted))
    for part in range(5):
        train = fold != part
        weights = _logistic(x[train], accepted[train])
        if weights is None:
            return None
        unseen[~train] = _combined(x[~train], weights)
    if roc_auc(unseen, accepted) <= roc_auc(scores, accepted) + 0.005:
        return None
    return _logistic(x, accepted)


def _logistic(x: Floats, accepted: Mask) -> Floats | None:
    """Weights relative to the cosine's by ridge logistic regression (Newton's method)."""
    if accepted.all() or not accepted.any():
        return None
    design = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    ridge = np.full(design.shape[1], RIDGE / 10)
    ridge[-1] = 1e-6
    weights = np.zeros(design.shape[1])
    for _ in range(STEPS):
        chance = 1 / (1 + np.exp(-np.clip(design @ weights, -30, 30)))
        slope = design.T @ (chance - accepted) + ridge * weights
        bend = (design * (chance * (1 - chance))[:, None]).T @ design + np.diag(ridge)
        step = np.linalg.solve(bend, slope)
        weights -= step
        if np.abs(step).max() < 1e-8:
            break
    if weights[0] <= 1e-6:
        return None
    return np.asarray(np.clip(weights[1:-1] / weights[0], 0.0, HIGHEST_WEIGHT), np.float64)
