"""Rows of each group, found in one sweep instead of one for each group."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def rows_by_label(labels_n: Ints, k: int) -> list[Ints]:
    """The rows of each label 0..k-1, ascending; rows of other labels are in none."""
    order = np.argsort(labels_n, kind="stable")
    edges = np.searchsorted(labels_n[order], np.arange(k + 1))
    return [order[first:last] for first, last in pairwise(edges)]
