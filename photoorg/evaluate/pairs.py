"""Quality of found pairs against labelled groups: precision, recall, F1 and ROC-AUC over pairs."""

from __future__ import annotations

from collections import Counter, defaultdict
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


class Labelled:
    """Items with a label each (blank: in no group), `counts` of them alike.

    A pair of items (a, b) stands for count(a) count(b) pairs, (a, a) for those among the equal
    ones, so that ten thousand copies of a file are one item and not fifty million pairs.
    """

    def __init__(self, labels: Sequence[str], counts: Sequence[int] | None = None) -> None:
        self._labels = [label.strip() for label in labels]
        self._counts = [1] * len(labels) if counts is None else list(counts)
        sizes: Counter[str] = Counter()
        for label, count in zip(self._labels, self._counts, strict=True):
            sizes[label] += count if label else 0
        self.n = sum(self._counts)
        self.pairs = _pairs(self.n)
        self.positives = sum(_pairs(size) for size in sizes.values())

    def same(self, pair: Pair) -> bool:
        """Whether both have one label that is not blank."""
        return self._labels[pair[0]] == self._labels[pair[1]] != ""

    def weight(self, pair: Pair) -> int:
        """How many pairs it stands for."""
        a, b = self._counts[pair[0]], self._counts[pair[1]]
        return _pairs(a) if pair[0] == pair[1] else a * b


def score(
    labels: Sequence[str],
    found: Iterable[Pair],
    confidence: Mapping[Pair, float],
    counts: Sequence[int] | None = None,
) -> PairScores:
    """Compare found pairs (smaller item first) with the labels; a blank label is in no group.

    `confidence` holds the pairs that were scored at all; every other pair ranks below them, all
    alike. `counts` as in Labelled. InputError for fewer than two items.
    """
    truth = Labelled(labels, counts)
    if truth.n < 2:
        raise InputError("There are fewer than two labelled files, so there are no pairs.")
    chosen, right = 0, 0
    for pair in set(found):
        weight = truth.weight(pair)
        chosen += weight
        right += weight if truth.same(pair) else 0
    precision = right / chosen if chosen else 1.0
    recall = right / truth.positives if truth.positives else 1.0
    total = precision + recall
    return PairScores(
        n=truth.n,
        positives=truth.positives,
        found=chosen,
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / total if total else 0.0,
        roc_auc=roc_auc(truth, confidence),
    )


def same_label(labels: Sequence[str]) -> set[Pair]:
    """All pairs of items that share a label that is not blank."""
    groups: dict[str, list[int]] = defaultdict(list)
    for item, label in enumerate(labels):
        if label.strip():
            groups[label.strip()].append(item)
    return {pair for items in groups.values() for pair in combinations(items, 2)}


def roc_auc(truth: Labelled, confidence: Mapping[Pair, float]) -> float | None:
    """The chance that a pair of one label outranks one of two labels, ties counting half.

    Mann and Whitney (1947): from ranks, over all n (n - 1) / 2 pairs, without listing them.
    """
    positives, negatives = truth.positives, truth.pairs - truth.positives
    if not positives or not negatives:
        return None
    by_value: dict[float, list[int]] = defaultdict(lambda: [0, 0])
    for pair, value in confidence.items():
        by_value[value][truth.same(pair)] += truth.weight(pair)
    unscored = [
        negatives - sum(c[0] for c in by_value.values()),
        positives - sum(c[1] for c in by_value.values()),
    ]
    won, below = 0.0, 0
    for strangers, same in [unscored, *(by_value[v] for v in sorted(by_value))]:
        won += same * (below + strangers / 2)
        below += strangers
    return won / (positives * negatives)


def pair_curve(
    labels: Sequence[str],
    confidence: Mapping[Pair, float],
    counts: Sequence[int] | None = None,
) -> tuple[Curve, float]:
    """Precision and recall of pairs from each confidence on, and the area under them (PR-AUC).

    Pairs that were never scored count as missed at every confidence: recall may end below 1, and
    what lies beyond adds nothing to the area (average precision).
    """
    truth = Labelled(labels, counts)
    values = np.asarray(list(confidence.values()), np.float64)
    weights = np.asarray([truth.weight(pair) for pair in confidence], np.float64)
    right = np.asarray([truth.same(pair) for pair in confidence], np.bool_)
    order = np.argsort(-values, kind="stable")
    ordered, taken = values[order], np.cumsum(weights[order])
    hits = np.cumsum((weights * right)[order])
    last = np.append(np.diff(ordered) != 0, True) if len(ordered) else np.zeros(0, np.bool_)
    precision = (hits / np.maximum(taken, 1))[last]
    recall = (hits / max(1, truth.positives))[last]
    area = float((np.diff(recall, prepend=0.0) * precision).sum())
    curve = Curve(
        np.round(ordered[last], 6).tolist(),
        np.round(precision, 4).tolist(),
        np.round(recall, 4).tolist(),
        round(roc_auc(truth, confidence) or 0.0, 4),
    )
    return curve, area


def _pairs(n: int) -> int:
    return n * (n - 1) // 2
