"""From the best vectors to the best photos: a photo counts by the best of its views."""

from __future__ import annotations

import numpy as np

from photoorg.index.base import FloatMatrix, Ids, Mask


def best_views(scores: FloatMatrix, photos: Ids, k: int) -> tuple[FloatMatrix, Ids, Ids]:
    """The first row of each photo, at most k: scores, photos and places, each [n, k].

    The rows [n, m] are best first, -1 where there is none. `places` are columns of the input;
    what is not filled has -inf, -1 and 0.
    """
    n, m = photos.shape
    # Stable by photo, so that the first of each run is its best row.
    order = np.argsort(photos, axis=1, kind="stable")
    ordered = np.take_along_axis(photos, order, 1)
    first = np.ones((n, m), np.bool_)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    kept = np.zeros((n, m), np.bool_)
    np.put_along_axis(kept, order, first & (ordered >= 0), 1)
    # Kept columns to the front, in their order.
    places = np.argsort(~kept, axis=1, kind="stable")[:, :k]
    there = np.take_along_axis(kept, places, 1)
    best = np.where(there, np.take_along_axis(scores, places, 1), -np.inf).astype(np.float32)
    found = np.where(there, np.take_along_axis(photos, places, 1), -1)
    if (short := k - found.shape[1]) > 0:
        best = np.pad(best, ((0, 0), (0, short)), constant_values=-np.inf)
        found = np.pad(found, ((0, 0), (0, short)), constant_values=-1)
        places = np.pad(places, ((0, 0), (0, short)))
    return best, found, np.where(found < 0, 0, places)


def nearness(x_md: FloatMatrix, y_rd: FloatMatrix, views: int) -> FloatMatrix:
    """How near queries are to photos of `views` vectors each, one after the other: [m, n]."""
    near_mn: FloatMatrix = (x_md @ y_rd.T).reshape(len(x_md), -1, views).max(axis=2)
    return near_mn


def all_rows(allowed: Mask, views: int) -> Mask:
    """A mask over photos as one over their vectors."""
    return allowed if views == 1 else np.repeat(allowed, views)
