"""Whether one picture can be laid over another: shifted, scaled (a crop, a frame) or turned.

Local features say where one lies in the other; where a picture is too plain to have them, its
middle is sought by correlation. There the two are compared tile by tile, so that text or a changed
corner spoils a tile and not the whole. What is compared is local, so brightness, contrast and tint
do not matter. Edits move all parts as one plane; where they scatter, the camera or the scene moved,
and it is another shot.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.local_features import LocalFeatures, Registration, describe, register
from photoorg.curate.sampling import Gray, centre, fitted, grid, integral, sampled, spread, turned
from photoorg.curate.template_search import COARSE, MIDDLE, PLACES, PLAIN, Searchable
from photoorg.curate.turns import TURNS, compose, turned_pixels

FINE = 160
TILES, TILE, REACH = 5, 19, 6
SLOW, LOUD = 6.0, 40.0
SAME_SHAPE = 0.06
SURE = 0.85
LEAST_TILES = 6
AGREEING = 0.5
STEADY, SCATTERED = 0.7, 1.0
"""Pixels of FINE that tiles may scatter by: half a pixel is rounding."""
STILL, MOVED = 0.5, 0.35
"""The same for local features, in pixels of the coarser picture of the two."""
BEST_PART = 0.7
"""Share of the tiles that is counted, the best ones: the others may be covered by something."""
STEPS = 33
OVERLAP = 0.6
"""Share of the smaller of two pictures that the other must show too: of two crops of one photo that
each show mostly what the other does not, nobody wants to lose one."""
TELLING = 60
"""Two pictures with so many local features each that do not agree are two pictures."""
COVERED = 0.25
"""Share of a tile that may lie outside the other picture."""
SIDE = TILES * TILE


class Alignment(NamedTuple):
    """How well two pictures agree where they overlap, 0..1, NaN if there is too little texture.

    Strangers reach about 0.4, the same picture 0.7 to 1. `steady` is 1 where all parts lie as one
    plane and goes to 0 as they moved against each other. `turn` (a place in TURNS) makes the second
    like the first.
    """

    agreement: float
    steady: float
    turn: int


UNKNOWN = Alignment(math.nan, math.nan, 0)


class Prepared:
    """A gray picture [height, width], 0..255, made ready; some 0.15 MB, 1 MB more once searched."""

    def __init__(self, gray: NDArray[np.uint8]) -> None:
        self.features: LocalFeatures = describe(gray)
        self.fine = _flattened(fitted(gray, FINE))
        self._coarse = fitted(gray, COARSE)

    @cached_property
    def searchable(self) -> Searchable:
        """What is sought of it, and what others are sought in."""
        return Searchable(self._coarse)

    def turned(self, turn: int) -> Prepared:
        """The same after a turn, a place in TURNS; without local features."""
        if turn == 0:
            return self
        other = object.__new__(Prepared)
        other.features = self.features
        other.fine = np.ascontiguousarray(turned_pixels(self.fine, TURNS[turn]))
        other._coarse = np.ascontiguousarray(turned_pixels(self._coarse, TURNS[turn]))
        return other


@dataclass(frozen=True, slots=True)
class _Place:
    """A part of `other` (its middle and size, y and x) scaled and turned by `angle` degrees has its
    middle at `to` in `field`; all pixels of FINE.
    """

    field: Gray
    other: Gray
    middle: tuple[float, float]
    size: tuple[float, float]
    to: tuple[float, float]
    scale: float
    angle: float


def aligned(a: Prepared, b: Prepared, turn: int = 0) -> Alignment:
    """How the second picture is best laid over the first; `turn` is what the second is turned by
    where features do not tell.
    """
    found = register(a.features, b.features)
    place = None if found is None else _registered(found, a.fine, b.fine)
    if found is not None and place is not None:
        agreement, _ = _agreement(place)
        if agreement == agreement:
            steady = math.exp(-((max(0.0, found.off - STILL) / MOVED) ** 2))
            return Alignment(agreement, steady, _turn(found))
    elif min(len(a.features), len(b.features)) >= TELLING:
        return Alignment(0.0, 1.0, turn)
    agreement, steady = _searched(a, b.turned(turn))
    return Alignment(agreement, steady, turn)


def _registered(found: Registration, field: Gray, other: Gray) -> _Place | None:
    """The part of `other` that `field` shows too, by registration; None if it is a small one of
    both.
    """
    if found.mirrored:
        other = np.ascontiguousarray(other[:, ::-1])
    height, width = (s / max(other.shape) for s in other.shape)
    columns_x, rows_y = np.linspace(0, width, STEPS), np.linspace(0, height, STEPS)
    x, y = np.meshgrid(columns_x, rows_y)
    matrix = found.matrix_23
    to_x, to_y = np.einsum("ij,jnm->inm", matrix, np.stack([x, y, np.ones_like(x)]))
    shown = (s / max(field.shape) for s in field.shape)
    inside = (to_y >= 0) & (to_x >= 0) & (to_y <= next(shown)) & (to_x <= next(shown))
    share = float(inside.mean())
    if share * max(1.0, found.scale**2 * other.size / field.size) < OVERLAP:
        return None
    top, bottom = rows_y[inside.any(axis=1)][[0, -1]].tolist()
    left, right = columns_x[inside.any(axis=0)][[0, -1]].tolist()
    middle = (left + right) / 2, (top + bottom) / 2
    to = matrix @ (*middle, 1.0)
    return _Place(
        field,
        other,
        (middle[1] * FINE - 0.5, middle[0] * FINE - 0.5),
        ((bottom - top) * FINE, (right - left) * FINE),
        (to[1] * FINE - 0.5, to[0] * FINE - 0.5),
        found.scale,
        -found.angle,
    )


def _turn(found: Registration) -> int:
    """The nearest of TURNS."""
    quarters = round(-found.angle / 90) % 4
    upright = TURNS.index(("upright", "rot90", "rot180", "rot270")[quarters])
    return compose(upright, TURNS.index("mirror")) if found.mirrored else upright


def _searched(a: Prepared, b: Prepared) -> tuple[float, float]:
    """Agreement and steadiness at the best place that is found without features."""
    ratio = FINE / COARSE
    places = _same_frame(a.fine, b.fine)
    found = [
        (f.score, field.fine, other.fine, f)
        for field, other in ((a, b), (b, a))
        for f in field.searchable.seek(other.searchable)
    ]
    found.sort(key=lambda item: -item[0])
    for _, field, other, f in found[:PLACES]:
        to = (f.y + 0.5) * ratio - 0.5, (f.x + 0.5) * ratio - 0.5
        places.append(_Place(field, other, centre(other), _middle(other), to, f.scale, -f.angle))
    best = math.nan, 1.0
    for place in places:
        agreement, scatter = _agreement(place)
        steady = math.exp(-((max(0.0, scatter - STEADY) / SCATTERED) ** 2))
        if not agreement * steady <= best[0] * best[1] and agreement == agreement:
            best = agreement, steady
        if best[0] * best[1] >= SURE:
            break
    return best


def _same_frame(field: Gray, other: Gray) -> list[_Place]:
    """Both whole, one over the other, if they are of one shape."""
    (height, width), (their_height, their_width) = field.shape, other.shape
    if abs(math.log(height * their_width / (width * their_height))) > SAME_SHAPE:
        return []
    scale = height / their_height
    return [_Place(field, other, centre(other), _middle(other), centre(field), scale, 0.0)]


def _middle(image: Gray) -> tuple[float, float]:
    return MIDDLE * image.shape[0], MIDDLE * image.shape[1]


def _agreement(place: _Place) -> tuple[float, float]:
    """Mean correlation of the best tiles of a part of `other` with the field around them, NaN if
    there are too few, and by how many pixels of FINE the tiles scatter.
    """
    stretch = np.reshape([s / SIDE for s in place.size], (2, 1, 1)).astype(np.float32)
    inner = grid(SIDE, SIDE, 1.0, 0.0, (0.0, 0.0)) * stretch
    outer = grid(SIDE + 2 * REACH, SIDE + 2 * REACH, 1.0, 0.0, (0.0, 0.0)) * stretch
    at = turned(outer * np.float32(place.scale), place.angle, place.to)
    tiles = _cut(sampled(place.other, inner + np.reshape(place.middle, (2, 1, 1))), TILE)
    edges = np.reshape(place.field.shape, (2, 1, 1)) - 0.5
    outside = np.asarray(((at < -0.5) | (at > edges)).any(axis=0), np.float32)
    shown = _cut(outside[REACH:-REACH, REACH:-REACH], TILE).mean(axis=(1, 2)) <= COVERED
    textured = (tiles.std(axis=(1, 2)) >= PLAIN) & shown
    if textured.sum() < LEAST_TILES:
        return math.nan, 0.0
    around = _cut(sampled(place.field, at), TILE + 2 * REACH)
    values, moves = _best_matches(tiles[textured], around[textured])
    kept = np.sort(values)[-max(LEAST_TILES, round(BEST_PART * len(values))) :]
    places = np.argwhere(textured.reshape(TILES, TILES)) - (TILES - 1) / 2
    scatter = _scatter(places * TILE * stretch[:, 0, 0], moves * stretch[:, 0, 0], values)
    return min(1.0, max(0.0, float(kept.mean()))), scatter


def _scatter(
    places_n2: NDArray[Any], moves_n2: NDArray[Any], values_n: NDArray[np.float64]
) -> float:
    """Median distance in pixels of tiles' moves from the shift, scale and turn that fits them.

    Twice fitted, the second time without the worst quarter; 0 where too few tiles agree at all.
    """
    good = values_n >= AGREEING
    if good.sum() < LEAST_TILES:
        return 0.0
    (y, x), moves = places_n2[good].T, moves_n2[good]
    one, none = np.ones_like(y), np.zeros_like(y)
    # A similarity: (dy, dx) = (ty + a y - b x, tx + b y + a x).
    rows = np.concatenate([np.stack([one, none, y, -x], 1), np.stack([none, one, x, y], 1)])
    target = np.concatenate([moves[:, 0], moves[:, 1]])
    used = np.ones(len(moves), np.bool_)
    for _ in range(2):
        both = np.tile(used, 2)
        solution = np.linalg.lstsq(rows[both], target[both], rcond=None)[0]
        off = np.hypot(*(target - rows @ solution).reshape(2, -1))
        used = off <= np.quantile(off, 0.75)
    return float(np.median(off))


def _cut(image: Gray, size: int) -> Gray:
    """TILES x TILES squares of `size`, TILE apart."""
    windows = np.lib.stride_tricks.sliding_window_view(image, (size, size))
    return windows[::TILE, ::TILE].reshape(-1, size, size)


def _best_matches(tiles: Gray, around: Gray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The highest correlation of each tile [n, t, t] with any window of its surroundings, and how
    far that window is from the middle, [n, 2] pixels down and right.
    """
    from scipy.fft import irfft2, rfft2

    side = around.shape[1]
    reach = side - tiles.shape[1] + 1
    padded = np.zeros_like(around)
    centred = tiles - tiles.mean(axis=(1, 2), keepdims=True)
    norms = np.linalg.norm(centred, axis=(1, 2), keepdims=True)
    padded[:, : tiles.shape[1], : tiles.shape[2]] = centred / norms
    products = irfft2(np.conj(rfft2(padded)) * rfft2(around), s=(side, side))
    sums = integral(around), integral(around.astype(np.float64) ** 2)
    least = PLAIN / 2 * tiles.shape[1]
    scores = products[:, :reach, :reach] / np.maximum(spread(sums, *tiles.shape[1:]), least)
    scores = scores.reshape(len(tiles), -1)
    best = scores.argmax(axis=1)
    moves = np.stack(np.divmod(best, reach), axis=1) - (reach - 1) / 2
    return scores[np.arange(len(tiles)), best].astype(np.float64), moves


def _flattened(fine: Gray) -> Gray:
    """Slow changes of light correlate between any two pictures; letters must not drown the rest."""
    from scipy.ndimage import gaussian_filter

    flat: Gray = np.clip(fine - gaussian_filter(fine, SLOW), -LOUD, LOUD)
    return flat
