"""How well two pictures agree where one is laid over the other, tile by tile.

Every tile is sought a little around its place. Text, a bar or a changed corner spoil some tiles and
not the whole; where tiles lie elsewhere than the plane that the others lie in, something moved.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.sampling import Gray, grid, integral, sampled, spread, turned
from photoorg.curate.template_search import PLAIN

TILES, TILE, REACH = 5, 19, 6
SIDE = TILES * TILE
LEAST_TILES = 6
AGREEING = 0.5
BEST_PART = 0.7
"""Share of the tiles that is counted, the best ones: the others may be covered by something."""
COVERED = 0.25
"""Share of a tile that may lie outside the other picture."""
LOUD = 40.0
"""Letters must not drown the rest: brighter or darker than the surroundings is as much as this."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Place:
    """A part of `other` (its middle and size, y and x) scaled and turned by `angle` degrees has its
    middle at `to` in `field`; all in pixels.
    """

    field: Gray
    other: Gray
    middle: tuple[float, float]
    size: tuple[float, float]
    to: tuple[float, float]
    scale: float
    angle: float


class Tiles(NamedTuple):
    """What the tiles of a place say.

    `agreement` is the mean correlation of the best tiles, 0..1, NaN if there are too few; `scatter`
    by how many pixels they lie off one plane (median).
    """

    agreement: float
    scatter: float


def compared(place: Place) -> Tiles:
    """Tiles of a part of `other` against the field around them."""
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
        return Tiles(np.nan, 0.0)
    around = _cut(sampled(place.field, at), TILE + 2 * REACH)
    values, moves = _best_matches(tiles[textured], around[textured])
    kept = np.sort(values)[-max(LEAST_TILES, round(BEST_PART * len(values))) :]
    numbers = np.argwhere(textured.reshape(TILES, TILES)).astype(np.float64)
    middles = numbers - (TILES - 1) / 2
    places: Floats = middles * TILE
    size = stretch[:, 0, 0].astype(np.float64)
    scatter = _scatter(places * size, moves * size, values)
    return Tiles(min(1.0, max(0.0, float(kept.mean()))), scatter)


def _similarities(places_n2: Floats) -> Floats:
    """Rows [2 n, 4] of the equations (dy, dx) = (ty + a y - b x, tx + b y + a x)."""
    y, x = places_n2.T
    one, none = np.ones_like(y), np.zeros_like(y)
    return np.concatenate([np.stack([one, none, y, -x], 1), np.stack([none, one, x, y], 1)])


def _scatter(places_n2: Floats, moves_n2: Floats, values_n: Floats) -> float:
    """Median distance in pixels of tiles' moves from the shift, scale and turn that fits them.

    Twice fitted, the second time without the worst quarter; 0 where too few tiles agree at all.
    """
    good = values_n >= AGREEING
    if good.sum() < LEAST_TILES:
        return 0.0
    moves, rows = moves_n2[good], _similarities(places_n2[good])
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
