"""Local features of a picture, and the shift, scale, turn and mirroring that lays one over another.

SIFT (Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", 2004) with the square-root
norm of Arandjelović and Zisserman ("Three things everyone should know to improve object retrieval",
2012). Features are taken from every cell of a grid, so that letters or a bar laid over a picture do
not crowd out the rest of it. Matches that pass Lowe's ratio test vote by RANSAC for one similarity;
edits move a picture as one plane, so what is left over tells an edit from another shot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
SIDE = 288
"""Pixels of the long side in which features are sought."""
CELLS, PER_CELL = 6, 10
CONTRAST = 0.01
"""Least contrast of a feature: a quarter of what is usual, as edits leave pictures dull or soft."""
RATIO = 0.85
LEAST = 8
"""Matches that agree on one place; strangers reach 8 in a thousand tries."""
LEAST_SHARE = 0.15
"""Share of the features of what both show that must agree. Letters, a watermark or a logo alone
fill few cells of the grid and do not reach it.
"""
WITHIN = 4.0
REFITS = 4
LOOSE = 0.04
"""Share of the long side that a match may lie off: the same thing seen from aside."""
SCALES = (0.15, 6.5)


@dataclass(frozen=True, slots=True)
class LocalFeatures:
    """Features of a picture of `height` and `width`, both shares of its long side.

    That was sought through at `pixels` of it. `points_n2` are (x, y) in the same unit, from the
    upper left corner; `descriptors_nd` [n, 128] 0..255. The strongest of every cell of a grid come
    first, then the second strongest, and so on.
    """

    height: float
    width: float
    pixels: int
    points_n2: Floats
    descriptors_nd: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.points_n2)

    def mirrored(self) -> LocalFeatures:
        """The features of the picture with left and right exchanged."""
        points = self.points_n2.copy()
        points[:, 0] = self.width - points[:, 0]
        return replace(self, points_n2=points, descriptors_nd=mirrored(self.descriptors_nd))

    def stretched(self, by: float) -> LocalFeatures:
        """The same places after the picture was made `by` times as wide; descriptors stay."""
        longest = max(self.height, self.width * by)
        points = self.points_n2 * np.asarray([by / longest, 1 / longest], np.float32)
        return replace(
            self,
            height=self.height / longest,
            width=self.width * by / longest,
            pixels=max(1, round(self.pixels * longest)),
            points_n2=points,
        )


@dataclass(frozen=True, slots=True)
class Registration:
    """Where one picture lies in another: place_in_a = matrix_23 . (x, y, 1) of place_in_b.

    Places in shares of the long sides; b is mirrored first where `mirrored`. `matches` agree with
    the matrix, that `share` of the features of what both show; those that agree at least roughly
    are `off` by so many pixels of the coarser picture (median) from the similarity that fits them
    best.
    """

    matrix_23: NDArray[np.float64]
    mirrored: bool
    matches: int
    share: float
    off: float

    @property
    def scale(self) -> float:
        """Length in a of the unit of b."""
        return math.hypot(self.matrix_23[0, 0], self.matrix_23[1, 0])

    @property
    def angle(self) -> float:
        """Degrees by which b is turned, clockwise as seen on a screen."""
        return math.degrees(math.atan2(self.matrix_23[1, 0], self.matrix_23[0, 0]))


def small(gray: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The picture [height, width] no larger than features are sought in."""
    import cv2

    longest = max(gray.shape)
    if longest <= SIDE:
        return gray
    height, width = (max(1, round(side * SIDE / longest)) for side in gray.shape)
    return np.asarray(cv2.resize(gray, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def describe(gray: NDArray[np.uint8]) -> LocalFeatures:
    """Features of a picture [height, width], 0..255; none where all is plain."""
    import cv2

    seen = small(gray)
    height, width = seen.shape
    longest = max(height, width)
    # The stubs of OpenCV lack it.
    detector = cast(Any, cv2).SIFT_create(0, contrastThreshold=CONTRAST)
    points = _spread(detector.detect(seen, None), height, width)
    if points:
        points, counts = detector.compute(seen, points)
    places, descriptors = np.zeros((0, 2), np.float32), np.zeros((0, 128), np.uint8)
    if points:
        places = np.asarray([p.pt for p in points], np.float32) + np.float32(0.5)
        descriptors = counts.astype(np.uint8)
    return LocalFeatures(
        height / longest, width / longest, longest, places / np.float32(longest), descriptors
    )


def mirrored(descriptors_nd: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The descriptors [n, 128] that the mirrored picture has: rows of cells and turns reversed."""
    cells = descriptors_nd.reshape(-1, 4, 4, 8)
    turned = np.roll(cells[:, ::-1, :, ::-1], 1, axis=3)
    return np.ascontiguousarray(turned.reshape(len(descriptors_nd), 128))


def roots(descriptors_nd: NDArray[np.uint8]) -> Floats:
    """Square roots of the shares, of unit length."""
    counts = descriptors_nd.astype(np.float32)
    shares: Floats = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return np.sqrt(shares)


def register(a: LocalFeatures, b: LocalFeatures) -> Registration | None:
    """Where b lies in a, or None where too few features agree."""
    found = [_register(a, b, False), _register(a, b.mirrored(), True)]
    return max((f for f in found if f is not None), key=lambda f: f.matches, default=None)


def _register(a: LocalFeatures, b: LocalFeatures, is_mirrored: bool) -> Registration | None:
    import cv2

    of_a, of_b = matched(roots(a.descriptors_nd), roots(b.descriptors_nd))
    if len(of_a) < LEAST:
        return None
    to, at = a.points_n2[of_a] * SIDE, b.points_n2[of_b] * SIDE
    matrix: NDArray[np.float64] | None = cast(Any, cv2).estimateAffinePartial2D(
        at, to, method=cv2.RANSAC, ransacReprojThreshold=WITHIN, maxIters=1000
    )[0]
    if matrix is None:
        return None
    off = _off(matrix, at, to)
    scale = math.hypot(matrix[0, 0], matrix[1, 0])
    matches = int((off <= WITHIN).sum())
    if matches < LEAST or not SCALES[0] < scale < SCALES[1]:
        return None
    share = matches / max(1, _shown(matrix * [[1, 1, 1 / SIDE]], a, b))
    if share < LEAST_SHARE:
        return None
    rest = _rest(at[off <= LOOSE * SIDE], to[off <= LOOSE * SIDE])
    pixel = SIDE * max(1 / a.pixels, scale / b.pixels)
    return Registration(matrix * [[1, 1, 1 / SIDE]], is_mirrored, matches, share, rest / pixel)


def _shown(matrix_23: NDArray[np.float64], a: LocalFeatures, b: LocalFeatures) -> int:
    """How many features of either lie in what both show, the fewer."""
    there = b.points_n2 @ matrix_23[:, :2].T + matrix_23[:, 2]
    here = (a.points_n2 - matrix_23[:, 2]) @ np.linalg.inv(matrix_23[:, :2]).T
    return int(
        min(
            ((there >= 0) & (there <= [a.width, a.height])).all(axis=1).sum(),
            ((here >= 0) & (here <= [b.width, b.height])).all(axis=1).sum(),
        )
    )


def _rest(at_n2: Floats, to_n2: Floats) -> float:
    """Median distance of matches from the similarity that fits three quarters of them best."""
    used = np.ones(len(at_n2), np.bool_)
    for _ in range(REFITS):
        off = _off(_similarity(at_n2[used], to_n2[used]), at_n2, to_n2)
        used = off <= np.quantile(off, 0.75)
    return float(np.median(off))


def _off(matrix_23: NDArray[np.float64], at_n2: Floats, to_n2: Floats) -> NDArray[np.float64]:
    """How far from `to` the matrix takes each place."""
    gone: NDArray[np.float64] = at_n2 @ matrix_23[:, :2].T + matrix_23[:, 2] - to_n2
    far: NDArray[np.float64] = np.hypot(*gone.T)
    return far


def _similarity(at_n2: Floats, to_n2: Floats) -> NDArray[np.float64]:
    """The similarity nearest to the matches, by least squares."""
    (x, y), one, none = at_n2.T, np.ones(len(at_n2)), np.zeros(len(at_n2))
    rows = np.concatenate([np.stack([x, -y, one, none], 1), np.stack([y, x, none, one], 1)])
    a, b, right, down = np.linalg.lstsq(rows, to_n2.T.reshape(-1), rcond=None)[0]
    return np.asarray([[a, -b, right], [b, a, down]])


def matched(a_nd: Floats, b_nd: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Features of a and those of b that are clearly the nearest to them."""
    if not len(a_nd) or len(b_nd) < 2:
        none = np.zeros(0, np.int64)
        return none, none
    cosines = a_nd @ b_nd.T
    rows = np.arange(len(a_nd))
    nearest = cosines.argmax(axis=1)
    best = cosines[rows, nearest]
    cosines[rows, nearest] = -1.0
    clear = 1 - best < RATIO**2 * (1 - cosines.max(axis=1))
    return rows[clear], nearest[clear]


def _spread(points: Sequence[Any], height: int, width: int) -> list[Any]:
    """The strongest points of every cell of a grid, the strongest of each cell first."""
    if not points:
        return []
    places = np.asarray([p.pt for p in points]) / [width, height]
    strength = np.asarray([p.response for p in points])
    column, row = np.clip((places * CELLS).astype(np.int64), 0, CELLS - 1).T
    cell = row * CELLS + column
    order = np.lexsort((-strength, cell))
    rank = np.arange(len(order)) - np.searchsorted(cell[order], cell[order])
    kept = np.argsort(rank, kind="stable")[: int((rank < PER_CELL).sum())]
    return [points[i] for i in order[kept]]
