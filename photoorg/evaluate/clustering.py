"""How well groups that were found match groups that are known: NMI, ARI, purity, pairs."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import InputError

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class ClusterScores:
    """Agreement of a clustering with the truth, each 0..1 (ARI may be below 0); 1 is perfect.

    `clusters` counts the predicted ones among the items that have a truth, `n` those items.
    """

    nmi: float
    ari: float
    purity: float
    pairwise_precision: float
    pairwise_recall: float
    pairwise_f1: float
    clusters: int
    n: int


def scores(truth: Sequence[Hashable | None], predicted: Sequence[Hashable | None]) -> ClusterScores:
    """Compare two labellings of the same items.

    Items whose truth is None are left out; a predicted None is a cluster of its own. NMI is
    normalised by the arithmetic mean and ARI adjusted for chance, as scikit-learn has them.
    InputError if the lengths differ or no item has a truth.
    """
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    true_n, found_n = _codes(truth, predicted)
    table = _contingency(true_n, found_n)
    precision, recall, f1 = pairwise(table)
    return ClusterScores(
        nmi=float(normalized_mutual_info_score(true_n, found_n)),
        ari=float(adjusted_rand_score(true_n, found_n)),
        purity=float(_largest(table) / len(true_n)),
        pairwise_precision=precision,
        pairwise_recall=recall,
        pairwise_f1=f1,
        clusters=len(table.found),
        n=len(true_n),
    )


@dataclass(frozen=True, slots=True)
class Contingency:
    """How many items are in each pair of groups that meet, and in each group of either side."""

    cells: Codes
    found_of_cell: Codes
    true: Codes
    found: Codes


def pairwise(table: Contingency) -> tuple[float, float, float]:
    """Precision, recall and F1 over pairs of items that are in one group.

    Manning, Raghavan, Schuetze, "Introduction to Information Retrieval" (2008), 16.3. Where no
    pair was found, precision is 1; where none is true, recall is 1.
    """
    both, found, true = (_pairs(counts) for counts in (table.cells, table.found, table.true))
    precision = both / found if found else 1.0
    recall = both / true if true else 1.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return precision, recall, f1


def _codes(
    truth: Sequence[Hashable | None], predicted: Sequence[Hashable | None]
) -> tuple[Codes, Codes]:
    if len(truth) != len(predicted):
        raise InputError(f"There are {len(truth)} true labels and {len(predicted)} predicted ones.")
    true: dict[Hashable, int] = {}
    found: dict[Hashable, int] = {}
    true_n, found_n = [], []
    for number, (known, label) in enumerate(zip(truth, predicted, strict=True)):
        if known is None:
            continue
        true_n.append(true.setdefault(known, len(true)))
        key = ("alone", number) if label is None else ("in", label)
        found_n.append(found.setdefault(key, len(found)))
    if not true_n:
        raise InputError(
            "No item has a true label, so there is nothing to compare.",
            fix="Label at least some of the items.",
        )
    return np.array(true_n, np.int64), np.array(found_n, np.int64)


def _contingency(true_n: Codes, found_n: Codes) -> Contingency:
    groups = int(found_n.max()) + 1
    keys, cells = np.unique(true_n * groups + found_n, return_counts=True)
    return Contingency(cells, keys % groups, np.bincount(true_n), np.bincount(found_n))


def _pairs(counts: Codes) -> int:
    return int((counts * (counts - 1) // 2).sum())


def _largest(table: Contingency) -> int:
    """Items that share the most frequent true label of their predicted group."""
    best = np.zeros(len(table.found), np.int64)
    np.maximum.at(best, table.found_of_cell, table.cells)
    return int(best.sum())
