"""Whether one picture can be laid over another: shifted, scaled (a crop, a frame), turned a bit.

The middle of one picture is sought in the other by normalised cross-correlation over a grid of
scales and angles (Lewis, "Fast Normalized Cross-Correlation", 1995), both ways round; the best few
places are then compared tile by tile, so that text or a changed corner spoils a tile and not the
whole. What is compared is local, so brightness, contrast and tint do not matter. Edits move all
tiles as one plane; where they scatter, the camera or the scene moved, and it is another shot.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.float32]
COARSE, FINE = 48, 160
MIDDLE = 0.8
SCALES = tuple(1.2 / 1.09**n for n in range(14))
ANGLES = (0.0, 5.0, -5.0, 10.0, -10.0, 15.0, -15.0)
TILES, TILE, REACH = 5, 19, 6
SLOW, LOUD = 6.0, 40.0
PLAIN = 2.5
"""Standard deviation (of 0..255) below which a tile is too plain to tell anything."""
PLACES = 3
SAME_SHAPE = 0.06
SURE = 0.85
LEAST_TILES = 6
AGREEING = 0.5
STEADY, SCATTERED = 0.7, 1.0
"""Pixels of FINE that tiles may scatter by: half a pixel is rounding."""
BEST_PART = 0.7
"""Share of the tiles that is counted, the best ones: the others may be covered by something."""


@dataclass(frozen=True, slots=True)
class _Templates:
    """The middle of a picture at one scale and every angle: spectra [angles, COARSE, ...]."""

    scale: float
    height: int
    width: int
    angles: tuple[float, ...]
    spectra: NDArray[np.complex64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """A gray picture made ready: what is sought of it, and what others are sought in."""

    shape: tuple[int, int]
    spectrum: NDArray[np.complex64]
    sums: tuple[NDArray[np.float64], ...]
    templates: tuple[_Templates, ...]
    fine: Gray


@dataclass(frozen=True, slots=True)
class _Place:
    """A template of `scale` and `angle` (degrees) has its middle at (y, x) of the field."""

    score: float
    field: Prepared
    other: Prepared
    scale: float
    angle: float
    y: float
    x: float


def prepare(gray: NDArray[np.uint8]) -> Prepared:
    """A picture [height, width], 0..255, made ready for aligned(); about 1 MB."""
    from scipy.fft import rfft2
    from scipy.ndimage import gaussian_filter

    coarse, fine = _fitted(gray, COARSE), _fitted(gray, FINE)
    height, width = coarse.shape
    padded = np.zeros((COARSE, COARSE), np.float32)
    padded[:height, :width] = coarse
    return Prepared(
        shape=(height, width),
        spectrum=rfft2(padded),
        sums=(_integral(coarse), _integral(coarse.astype(np.float64) ** 2)),
        templates=tuple(t for scale in SCALES if (t := _templates(coarse, scale)) is not None),
        # Slow changes of light correlate between any two pictures; letters must not drown the rest.
        fine=np.clip(fine - gaussian_filter(fine, SLOW), -LOUD, LOUD),
    )


def aligned(a: Prepared, b: Prepared) -> float:
    """How well the two agree where they overlap best, 0..1; NaN if there is too little texture.

    Strangers reach about 0.4, the same picture 0.7 to 1.
    """
    places = sorted([*_places(a, b), *_places(b, a)], key=lambda place: -place.score)
    best = math.nan
    for place in [*_same_frame(a, b), *places[:PLACES]]:
        found = _agreement(place)
        if not found <= best:
            best = found if found == found else best
        if best >= SURE:
            break
    return best


def _same_frame(a: Prepared, b: Prepared) -> list[_Place]:
    """Both whole, one over the other, if they are of one shape."""
    if abs(math.log(a.shape[0] * b.shape[1] / (a.shape[1] * b.shape[0]))) > SAME_SHAPE:
        return []
    return [_Place(1.0, a, b, a.shape[0] / b.shape[0], 0.0, *((s - 1) / 2 for s in a.shape))]


def _templates(coarse: Gray, scale: float) -> _Templates | None:
    from scipy.fft import rfft2

    height, width = (max(8, round(MIDDLE * side * scale)) for side in coarse.shape)
    if max(height, width) > COARSE:
        return None
    places = [_grid(height, width, 1 / scale, angle, _centre(coarse)) for angle in ANGLES]
    sampled = _sampled(coarse, np.stack(places, axis=1))
    sampled -= sampled.mean(axis=(1, 2), keepdims=True)
    norms = np.linalg.norm(sampled, axis=(1, 2))
    if norms.min() <= PLAIN * math.sqrt(height * width):
        return None
    padded = np.zeros((len(ANGLES), COARSE, COARSE), np.float32)
    padded[:, :height, :width] = sampled / norms[:, None, None]
    return _Templates(scale, height, width, ANGLES, np.conj(rfft2(padded)))


def _places(field: Prepared, other: Prepared) -> list[_Place]:
    from scipy.fft import irfft2

    places = []
    for template in other.templates:
        rows = field.shape[0] - template.height + 1
        columns = field.shape[1] - template.width + 1
        if rows < 1 or columns < 1:
            continue
        area = template.height * template.width
        matches = irfft2(template.spectra * field.spectrum, s=(COARSE, COARSE))
        spread = _spread(field.sums, template.height, template.width)
        scores = matches[:, :rows, :columns] / np.maximum(spread, PLAIN * math.sqrt(area))
        angle, y, x = np.unravel_index(int(np.argmax(scores)), scores.shape)
        # A small template fits somewhere by chance.
        score = float(scores[angle, y, x]) * (area / (field.shape[0] * field.shape[1])) ** 0.1
        middle = y + (template.height - 1) / 2, x + (template.width - 1) / 2
        places.append(_Place(score, field, other, template.scale, template.angles[angle], *middle))
    places.sort(key=lambda place: -place.score)
    return places[:PLACES]


def _agreement(place: _Place) -> float:
    """Mean correlation of the best tiles of the middle of `other` with the field around them."""
    field, other = place.field.fine, place.other.fine
    side = TILES * TILE
    stretch = np.reshape([MIDDLE * s / side for s in other.shape], (2, 1, 1)).astype(np.float32)
    inner = _grid(side, side, 1.0, 0.0, (0.0, 0.0)) * stretch
    outer = _grid(side + 2 * REACH, side + 2 * REACH, 1.0, 0.0, (0.0, 0.0)) * stretch
    ratio = FINE / COARSE
    centre = (place.y + 0.5) * ratio - 0.5, (place.x + 0.5) * ratio - 0.5
    of_other = _sampled(other, inner + np.reshape(_centre(other), (2, 1, 1)))
    of_field = _sampled(field, _turned(outer * place.scale, -place.angle, centre))
    tiles = _cut(of_other, TILE)
    textured = tiles.std(axis=(1, 2)) >= PLAIN
    if textured.sum() < LEAST_TILES:
        return math.nan
    values, moves = _best_matches(tiles[textured], _cut(of_field, TILE + 2 * REACH)[textured])
    kept = np.sort(values)[-max(LEAST_TILES, round(BEST_PART * len(values))) :]
    places = np.argwhere(textured.reshape(TILES, TILES)) - (TILES - 1) / 2
    scatter = _scatter(places * TILE * stretch[:, 0, 0], moves * stretch[:, 0, 0], values)
    rigid = math.exp(-((max(0.0, scatter - STEADY) / SCATTERED) ** 2))
    return min(1.0, max(0.0, float(kept.mean()) * rigid))


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
    sums = _integral(around), _integral(around.astype(np.float64) ** 2)
    spread = _spread(sums, *tiles.shape[1:])
    least = PLAIN / 2 * tiles.shape[1]
    scores = (products[:, :reach, :reach] / np.maximum(spread, least)).reshape(len(tiles), -1)
    best = scores.argmax(axis=1)
    moves = np.stack(np.divmod(best, reach), axis=1) - (reach - 1) / 2
    return scores[np.arange(len(tiles)), best].astype(np.float64), moves


def _spread(sums: tuple[NDArray[np.float64], ...], height: int, width: int) -> NDArray[np.float64]:
    """Root of the summed squared deviations in every window."""
    one, two = (
        s[..., height:, width:]
        - s[..., :-height, width:]
        - s[..., height:, :-width]
        + s[..., :-height, :-width]
        for s in sums
    )
    root: NDArray[np.float64] = np.sqrt(np.maximum(two - one**2 / (height * width), 0))
    return root


def _integral(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums over all above and left, with a first row and column of zeros."""
    *many, height, width = values.shape
    result = np.zeros((*many, height + 1, width + 1))
    result[..., 1:, 1:] = np.cumsum(np.cumsum(values, axis=-2, dtype=np.float64), axis=-1)
    return result


def _grid(
    height: int, width: int, step: float, angle: float, centre: tuple[float, float]
) -> NDArray[np.float32]:
    """Places [2, height, width] around `centre`, `step` apart, turned by `angle` degrees."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    around = np.stack([y - (height - 1) / 2, x - (width - 1) / 2]) * np.float32(step)
    return _turned(around, angle, centre)


def _turned(
    around: NDArray[np.float32], angle: float, centre: tuple[float, float]
) -> NDArray[np.float32]:
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    y, x = around
    turned = np.stack([cos * y - sin * x + centre[0], sin * y + cos * x + centre[1]])
    return turned.astype(np.float32)


def _centre(image: Gray) -> tuple[float, float]:
    return (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2


def _sampled(image: Gray, places: NDArray[np.float32]) -> Gray:
    from scipy.ndimage import map_coordinates

    sample: Callable[..., Gray] = map_coordinates
    return sample(image, places, order=1, mode="nearest", output=np.float32)


def _fitted(gray: NDArray[np.uint8], side: int) -> Gray:
    from PIL import Image

    image = Image.fromarray(gray)
    scale = side / max(image.size)
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)
