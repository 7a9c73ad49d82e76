"""Quality of found pairs against labelled groups: precision, recall, F1 and ROC-AUC over pairs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from photoorg.errors import InputError
from photoorg.evaluate.refit import Curve

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class PairScores:
    """Each 0..1, over all pairs of `n` items; `positives` pairs share a label, `found` were found.

    Nothing found counts as precision 1, nothing to find as recall 1; ROC-AUC is None where all
    pairs are of one class.
    """

    n: int
    positives: int
    found: int
    precision: float
    recall: float
    f1: float
    roc_auc: float | None


def score(
    labels: Sequence[str], found: Iterable[Pair], confidence: Mapping[Pair, float]
) -> PairScores:
    """Compare found pairs (smaller item first) with the labels; a blank label is in no group.

    `confidence` holds the pairs that were scored at all; every other pair ranks below them, all
    alike. InputError for fewer than two items.
    """
    if len(labels) < 2:
        raise InputError("There are fewer than two labelled files, so there are no pairs.")
    truth = same_label(labels)
    chosen = set(found)
    right = len(chosen & truth)
    precision = right / len(chosen) if chosen else 1.0
    recall = right / len(truth) if truth else 1.0
    total = precision + recall
    return PairScores(
        n=len(labels),
        positives=len(truth),
        found=len(chosen),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / total if total else 0.0,
        roc_auc=roc_auc(len(labels), truth, confidence),
    )


def same_label(labels: Sequence[str]) -> set[Pair]:
    """All pairs of items that share a label that is not blank."""
    groups: dict[str, list[int]] = defaultdict(list)
    for item, label in enumerate(labels):
        if label.strip():
            groups[label.strip()].append(item)
    return {pair for items in groups.values() for pair in combinations(items, 2)}


def roc_auc(n: int, truth: set[Pair], confidence: Mapping[Pair, float]) -> float | None:
    """The chance that a pair of one label outranks one of two labels, ties counting half.

    Mann and Whitney (1947): from ranks, over all n (n - 1) / 2 pairs, without listing them.
    """
    everything = n * (n - 1) // 2
    negatives = everything - len(truth)
    if not truth or not negatives:
        return None
    by_value: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    for pair, value in confidence.items():
        by_value[value][pair in truth] += 1
    unscored = [
        negatives - sum(c[0] for c in by_value.values()),
        len(truth) - sum(c[1] for c in by_value.values()),
    ]
    won, below = 0.0, 0
    for strangers, same in [unscored, *(by_value[v] for v in sorted(by_value))]:
        won += same * (below + strangers / 2)
        below += strangers
    return won / (len(truth) * negatives)


def pair_curve(n: int, truth: set[Pair], confidence: Mapping[Pair, float]) -> tuple[Curve, float]:
    """Precision and recall of pairs from each confidence on, and the area under them (PR-AUC).

    Pairs that were never scored count as missed at every confidence: recall may end below 1, and
    what lies beyond adds nothing to the area (average precision).
    """
    values = np.asarray(list(confidence.values()), np.float64)
    right = np.asarray([pair in truth for pair in confidence], np.bool_)
    order = np.argsort(-values, kind="stable")
    ordered, hits = values[order], np.cumsum(right[order])
    last = np.append(np.diff(ordered) != 0, True) if len(ordered) else np.zeros(0, np.bool_)
    precision = (hits / np.arange(1, len(hits) + 1))[last]
    recall = (hits / max(1, len(truth)))[last]
    area = float((np.diff(recall, prepend=0.0) * precision).sum())
    curve = Curve(
        np.round(ordered[last], 6).tolist(),
        np.round(precision, 4).tolist(),
        np.round(recall, 4).tolist(),
        round(roc_auc(n, truth, confidence) or 0.0, 4),
    )
    return curve, area
