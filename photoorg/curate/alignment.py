"""Whether one picture can be laid over another: shifted, scaled (a crop, a frame) or turned.

Local features say where one lies in the other; where a picture is too plain to have them, its
middle is sought by correlation. There the two are compared tile by tile. What is compared is local,
so brightness, contrast and tint do not matter. Edits move all parts as one plane; where they
scatter, the camera or the scene moved, and where much shows something else, it is another moment.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.local_features import (
    LocalFeatures,
    Registration,
    describe,
    register,
    small,
)
from photoorg.curate.sampling import Gray, centre, fitted
from photoorg.curate.scene_changes import changes
from photoorg.curate.squeezing import MOST_STRETCH, shapes_differ, squared, stretch
from photoorg.curate.template_search import COARSE, MIDDLE, PLACES, Searchable
from photoorg.curate.tile_agreement import LOUD, Place, compared
from photoorg.curate.turns import TURNS, compose, turned_pixels

FINE = 160
SLOW = 6.0
SAME_SHAPE = 0.06
SURE = 0.85
STEADY, SCATTERED = 0.7, 1.0
"""Pixels of FINE that tiles may scatter by: half a pixel is rounding."""
STILL, MOVED = 0.5, 0.35
"""The same for local features, in pixels of the coarser picture of the two."""
STEPS = 33
OVERLAP = 0.6
"""Share of the smaller of two pictures that the other must show too: of two crops of one photo that
each show mostly what the other does not, nobody wants to lose one."""
TELLING = 60
"""Two pictures with so many local features each that do not agree are two pictures."""
WELL = 0.5
"""Share of features that agree from which on nobody asks whether a picture was squeezed."""


class Alignment(NamedTuple):
    """How well two pictures agree where they overlap, 0..1, NaN if there is too little texture.

    Strangers reach about 0.4, the same picture 0.7 to 1. `steady` is 1 where all parts lie as one
    plane and goes to 0 as they moved against each other. `turn` (a place in TURNS) makes the second
    like the first. `changed` is the share of what both show, 0..1, that is something else in the
    other though nothing covers it, `matched` that of the local features that agree, and `moved`
    that which is elsewhere in the other than the rest; NaN if nothing tells.
    """

    agreement: float
    steady: float
    turn: int
    changed: float = math.nan
    matched: float = math.nan
    moved: float = math.nan


UNKNOWN = Alignment(math.nan, math.nan, 0)


class Prepared:
    """A gray picture [height, width], 0..255, made ready; some 0.2 MB, 1 MB more once searched."""

    def __init__(self, gray: NDArray[np.uint8]) -> None:
        self.features: LocalFeatures = describe(gray)
        self.fine = _flattened(fitted(gray, FINE))
        self.shape: tuple[int, int] = (gray.shape[0], gray.shape[1])
        self._coarse = fitted(gray, COARSE)
        self._small = small(gray)

    @cached_property
    def squared(self) -> LocalFeatures:
        """The features of the picture made square."""
        return squared(self._small)

    @cached_property
    def searchable(self) -> Searchable:
        """What is sought of it, and what others are sought in."""
        return Searchable(self._coarse)

    def turned(self, turn: int) -> Prepared:
        """The same after a turn, a place in TURNS; without local features."""
        if turn == 0:
            return self
        other = object.__new__(Prepared)
        other.features, other.shape, other._small = self.features, self.shape, self._small
        other.fine = np.ascontiguousarray(turned_pixels(self.fine, TURNS[turn]))
        other._coarse = np.ascontiguousarray(turned_pixels(self._coarse, TURNS[turn]))
        return other


def aligned(a: Prepared, b: Prepared, turn: int = 0) -> Alignment:
    """How the second picture is best laid over the first; `turn` is what the second is turned by
    where features do not tell.
    """
    found = register(a.features, b.features)
    over = None if found is None else _laid(found, a.fine, b.fine)
    if (found is None or found.share < WELL) and shapes_differ(a.shape, b.shape):
        squeezed = _unsqueezed(a, b)
        if squeezed is not None and (over is None or not _worth(squeezed) <= _worth(over)):
            over = squeezed
    if over is None and min(len(a.features), len(b.features)) >= TELLING:
        return Alignment(0.0, 1.0, turn)
    if over is not None and over.agreement == over.agreement:
        return over
    return _searched(a, b.turned(turn))._replace(turn=turn)


def _laid(found: Registration, field: Gray, other: Gray) -> Alignment | None:
    """How two pictures agree where features say; None if that is a small part of both."""
    place = _registered(found, field, other)
    if place is None:
        return None
    tiles = compared(place)
    steady = math.exp(-((max(0.0, found.off - STILL) / MOVED) ** 2))
    changed, moved = changes(place)
    return Alignment(tiles.agreement, steady, _turn(found), changed, found.share, moved)


def _unsqueezed(a: Prepared, b: Prepared) -> Alignment | None:
    """How they agree once b is as wide as it would be had neither been squeezed."""
    by = stretch(a.squared, b.squared, a.shape, b.shape)
    if by is None:
        return None
    (height, width), (their_height, their_width) = a.shape, b.shape
    found = register(
        a.squared.stretched(width / height), b.squared.stretched(by * their_width / their_height)
    )
    return None if found is None else _laid(found, a.fine, _widened(b.fine, by))


def _worth(over: Alignment) -> float:
    return over.agreement * over.steady * over.matched


def _widened(fine: Gray, by: float) -> Gray:
    """The picture `by` times as wide, its long side FINE again."""
    from PIL import Image

    height, width = fine.shape[0], fine.shape[1] * by
    scale = FINE / max(height, width)
    size = max(8, round(width * scale)), max(8, round(height * scale))
    resized = Image.fromarray(fine).resize(size, Image.Resampling.BILINEAR)
    return np.asarray(resized, np.float32)


def _registered(found: Registration, field: Gray, other: Gray) -> Place | None:
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
    return Place(
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


def _searched(a: Prepared, b: Prepared) -> Alignment:
    """How they agree at the best place that is found without features."""
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
        places.append(Place(field, other, centre(other), _middle(other), to, f.scale, -f.angle))
    best, at = Alignment(math.nan, 1.0, 0), None
    for place in places:
        agreement, scatter = compared(place)
        steady = math.exp(-((max(0.0, scatter - STEADY) / SCATTERED) ** 2))
        if not agreement * steady <= best.agreement * best.steady and agreement == agreement:
            best, at = Alignment(agreement, steady, 0), place
        if best.agreement * best.steady >= SURE:
            break
    if at is None:
        return best
    changed, moved = changes(at)
    return best._replace(changed=changed, moved=moved)


def _same_frame(field: Gray, other: Gray) -> list[Place]:
    """Both whole, one over the other, unsqueezed if they are of unlike shapes."""
    (height, width), (their_height, their_width) = field.shape, other.shape
    by = width * their_height / (height * their_width)
    if max(by, 1 / by) > MOST_STRETCH:
        return []
    if abs(math.log(by)) > SAME_SHAPE:
        other = _widened(other, by)
        their_height = other.shape[0]
    scale = height / their_height
    return [Place(field, other, centre(other), _middle(other), centre(field), scale, 0.0)]


def _middle(image: Gray) -> tuple[float, float]:
    return MIDDLE * image.shape[0], MIDDLE * image.shape[1]


def _flattened(fine: Gray) -> Gray:
    """Slow changes of light correlate between any two pictures; letters must not drown the rest."""
    from scipy.ndimage import gaussian_filter

    flat: Gray = np.clip(fine - gaussian_filter(fine, SLOW), -LOUD, LOUD)
    return flat
