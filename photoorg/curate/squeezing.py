"""By how much one picture was squeezed against another: scaled by other factors across and down.

Features of both are sought once more after each was made square, so that a picture and its squeezed
copy look the same again. The affine map that most matches vote for tells the two factors; what
shears as well, as a thing seen from aside does, is no squeezing.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.local_features import (
    LEAST,
    SIDE,
    WITHIN,
    LocalFeatures,
    describe,
    matched,
    roots,
)

LEAST_STRETCH, MOST_STRETCH = 1.04, 2.3
SHEAR = 0.06
"""Shear of the map, a share of its scale: more is no squeezing, nor a turn before one."""


def squared(gray: NDArray[np.uint8]) -> LocalFeatures:
    """Features of a picture [height, width] made square, its places those of the square."""
    import cv2

    side = min(SIDE, max(gray.shape))
    square = cv2.resize(gray, (side, side), interpolation=cv2.INTER_AREA)
    return describe(np.asarray(square, np.uint8))


def shapes_differ(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    """Whether pictures (height, width) may have been squeezed: neither upright nor after a quarter
    turn of one shape.
    """
    one, other = (math.log(width / height) for height, width in (a, b))
    return min(abs(one - other), abs(one + other)) > math.log(LEAST_STRETCH)


def stretch(
    a: LocalFeatures, b: LocalFeatures, a_shape: tuple[int, int], b_shape: tuple[int, int]
) -> float | None:
    """How many times as wide b must be made to lie over a without squeezing.

    Features are those of squares of pictures of the two shapes (height, width). None where too few
    agree, and where the map is none of scale, turn and squeezing by LEAST_ to MOST_STRETCH.
    """
    found = [_affine(a, other) for other in (b, b.mirrored())]
    best = max((f for f in found if f is not None), key=lambda f: f[0], default=None)
    if best is None:
        return None
    (a_height, a_width), (b_height, b_width) = a_shape, b_shape
    # From squares back to the shapes that the pictures have.
    linear = best[1] * np.outer([a_width, a_height], [1 / b_width, 1 / b_height])
    across = math.hypot(linear[0, 0], linear[1, 0])
    cos, sin = linear[:, 0] / max(across, 1e-9)
    shear, down = cos * linear[0, 1] + sin * linear[1, 1], cos * linear[1, 1] - sin * linear[0, 1]
    if down <= 0 or across <= 0 or abs(shear) > SHEAR * down:
        return None
    by = across / down
    return by if LEAST_STRETCH <= max(by, 1 / by) <= MOST_STRETCH else None


def _affine(a: LocalFeatures, b: LocalFeatures) -> tuple[int, NDArray[np.float64]] | None:
    """How many matches agree on one affine map of b to a, and its linear part [2, 2]."""
    import cv2

    of_a, of_b = matched(roots(a.descriptors_nd), roots(b.descriptors_nd))
    if len(of_a) < LEAST:
        return None
    to, at = a.points_n2[of_a] * SIDE, b.points_n2[of_b] * SIDE
    matrix, agree = cast(Any, cv2).estimateAffine2D(
        at, to, method=cv2.RANSAC, ransacReprojThreshold=WITHIN, maxIters=2000
    )
    if matrix is None or int(agree.sum()) < LEAST:
        return None
    return int(agree.sum()), np.asarray(matrix[:, :2], np.float64)
