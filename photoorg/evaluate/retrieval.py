"""Retrieval quality on labelled photos: mAP@k, recall@k and nDCG@k, leave-one-out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import InputError

FloatMatrix = NDArray[np.float32]
BoolMatrix = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class RetrievalScores:
    """Means over `queries` queries, each 0..1; `n` photos took part.

    `by_k` are precision, recall and nDCG at 1, 2, ... k. Recall and mAP are relative to what k hits
    can hold, precision to k itself.
    Photos that share their label with no other photo have nothing to find: they are searched among,
    but are no queries.
    """

    k: int
    n: int
    queries: int
    map_at_k: float
    precision_at_k: float
    recall_at_k: float
    ndcg_at_k: float
    by_k: Mapping[str, Sequence[float]] = field(default_factory=dict)


def score(
    x_nw: FloatMatrix, labels_n: Sequence[str], k: int = 10, *, views: int = 1
) -> RetrievalScores:
    """Search every row among all the others; a hit is relevant if it carries the query's label.

    `x_nw` are unit-norm vectors, `views` of them side by side for each photo: the first of the
    query's against the best of another photo's. Raises InputError if no label occurs twice.
    """
    if k < 1:
        raise InputError(f"k must be 1 or more, not {k}.")
    _, codes_n = np.unique(np.asarray(labels_n, dtype=str), return_inverse=True)
    relevant_n = np.bincount(codes_n)[codes_n] - 1 if len(codes_n) else np.zeros(0, np.int64)
    queries = relevant_n > 0
    if not queries.any():
        raise InputError(
            "No two photos share a label, so there is nothing to find.",
            fix="Give a folder with one folder per class and at least two photos in one of them.",
        )
    nearest_nk = neighbours(x_nw, k, views=views)
    hits_nk = (codes_n[nearest_nk] == codes_n[:, None])[queries]
    relevant = relevant_n[queries]
    return RetrievalScores(
        k=k,
        n=len(codes_n),
        queries=int(queries.sum()),
        map_at_k=float(average_precision(hits_nk, relevant, k).mean()),
        precision_at_k=float(precision(hits_nk, k).mean()),
        recall_at_k=float(recall(hits_nk, relevant, k).mean()),
        ndcg_at_k=float(ndcg(hits_nk, relevant, k).mean()),
        by_k={
            "precision": [float(precision(hits_nk, i).mean()) for i in range(1, k + 1)],
            "recall": [float(recall(hits_nk, relevant, i).mean()) for i in range(1, k + 1)],
            "nDCG": [float(ndcg(hits_nk, relevant, i).mean()) for i in range(1, k + 1)],
        },
    )


def neighbours(
    x_nw: FloatMatrix, k: int, block: int = 1024, *, views: int = 1
) -> NDArray[np.int64]:
    """The photos nearest to each by inner product, itself left out: [n, min(k, n - 1)].

    Exact, best first; equal scores come in row order.
    """
    n, dim = len(x_nw), x_nw.shape[1] // views
    nearest = np.empty((n, min(k, max(n - 1, 0))), np.int64)
    for start in range(0, n, block):
        wholes = x_nw[start : start + block, :dim]
        scores = wholes @ x_nw[:, :dim].T
        for view in range(1, views):
            np.maximum(scores, wholes @ x_nw[:, view * dim : (view + 1) * dim].T, out=scores)
        # What is like nothing comes after everything, but is not the photo itself.
        np.nan_to_num(scores, copy=False, nan=-2.0)
        own = np.arange(len(scores))
        scores[own, start + own] = -np.inf
        order = np.argsort(-scores, axis=1, kind="stable")
        nearest[start : start + block] = order[:, : nearest.shape[1]]
    return nearest


def average_precision(
    hits_nk: BoolMatrix, relevant_n: NDArray[np.int64], k: int
) -> NDArray[np.float64]:
    """AP@k per query: the precision at each hit's rank, summed, over min(relevant, k).

    Manning, Raghavan, Schuetze, "Introduction to Information Retrieval" (2008), 8.4, cut at k and
    normalised by what k results can hold at most, so that a perfect list scores 1.
    """
    hits = hits_nk[:, :k]
    at_rank = np.cumsum(hits, axis=1) / np.arange(1, hits.shape[1] + 1)
    total: NDArray[np.float64] = (at_rank * hits).sum(axis=1)
    return total / np.minimum(relevant_n, k)


def precision(hits_nk: BoolMatrix, k: int) -> NDArray[np.float64]:
    """Precision@k per query: relevant photos among the first k over k."""
    found: NDArray[np.float64] = hits_nk[:, :k].sum(axis=1) / k
    return found


def recall(hits_nk: BoolMatrix, relevant_n: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Recall@k per query: relevant photos among the first k over min(relevant, k)."""
    found: NDArray[np.float64] = hits_nk[:, :k].sum(axis=1) / np.minimum(relevant_n, k)
    return found


def ndcg(hits_nk: BoolMatrix, relevant_n: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """nDCG@k per query with gain 1 for a relevant photo and discount 1 / log2(rank + 1).

    Jarvelin, Kekalainen, "Cumulated gain-based evaluation of IR techniques" (2002).
    """
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    gained = (hits_nk[:, :k] * discounts[: hits_nk[:, :k].shape[1]]).sum(axis=1)
    ideal = np.cumsum(discounts)[np.minimum(relevant_n, k) - 1]
    result: NDArray[np.float64] = gained / ideal
    return result
