"""What changed and what moved between two pictures of which one is laid over the other.

Edits move a picture as a whole, and what they put over it is plain or letters. Where anything else
is seen, or a part is found elsewhere than the rest and fits much better there, it is another moment
of the scene. Dense optical flow tells what moved (Kroeger, Timofte, Dai, Van Gool, "Fast Optical
Flow using Dense Inverse Search", 2016); it counts only where it makes the two agree, as flow into
what is covered, blurred or gone leads nowhere.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.sampling import Gray, grid, sampled, turned
from photoorg.curate.tile_agreement import LOUD, Place

SIDE, LEAST_SIDE = 128, 16
"""Pixels of the long side of the part that is compared, and the least of the short one."""
WINDOW = 11
"""Pixels of the side of a window in which the two are correlated."""
TEXTURED = 6.0
"""Standard deviation of a window that tells anything."""
LEAST = 200
"""So many textured pixels say how much changed."""
FLAT = 4.0
"""Standard deviation below which something plain covers a window: a bar, a frame."""
LETTERS = 0.08
"""Share of a window in which one picture alone is as bright or dark as letters."""
UNLIKE = 0.3
"""Correlation below which a window shows something else."""
ELSEWHERE = 1.5
"""Pixels of SIDE that a place may lie off: edges of letters and of compression wander by less."""
AGREES, BETTER = 0.7, 0.2
"""Correlation of a window where the flow leads, and by how much above that at its own place."""
BRIGHTER = 1.5
NOISE = 4.0


class Changes(NamedTuple):
    """Shares of the textured part that both show, 0..1, NaN if there is too little of it.

    `changed` is something else in the other picture though nothing covers it, `moved` is in it, but
    clearly elsewhere than the rest says.
    """

    changed: float
    moved: float


def changes(place: Place) -> Changes:
    """What of the part of `place.other` the field shows otherwise."""
    import cv2

    height, width = (max(LEAST_SIDE, round(SIDE * side / max(place.size))) for side in place.size)
    stretch = np.reshape([place.size[0] / height, place.size[1] / width], (2, 1, 1))
    around = grid(height, width, 1.0, 0.0, (0.0, 0.0)) * stretch.astype(np.float32)
    other = sampled(place.other, around + np.reshape(place.middle, (2, 1, 1)))
    at = turned(around * np.float32(place.scale), place.angle, place.to)
    field = sampled(place.field, at)
    edges = np.reshape(place.field.shape, (2, 1, 1)) - 0.5
    shown = ~((at < -0.5) | (at > edges)).any(axis=0)
    textured = (_variance(other) > TEXTURED**2) & shown
    if textured.sum() < LEAST:
        return Changes(math.nan, math.nan)
    # The stubs of OpenCV lack it; one for each call, as flows of two threads must not meet.
    flows = cast(Any, cv2).DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    start = np.zeros((height, width, 2), np.float32)
    flow: NDArray[np.float32] = flows.calc(_bytes(other), _bytes(field), start)
    y, x = np.mgrid[:height, :width].astype(np.float32)
    led = cv2.remap(
        field,
        x + flow[..., 0],
        y + flow[..., 1],
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    here, there = _correlation(other, field), _correlation(other, np.asarray(led, np.float32))
    louder = (np.abs(other) >= LOUD - 0.5) != (np.abs(field) >= LOUD - 0.5)
    covered = (_variance(field) < FLAT**2) | (_mean(louder.astype(np.float32)) > LETTERS)
    elsewhere = np.hypot(flow[..., 0], flow[..., 1]) > ELSEWHERE
    elsewhere &= (there > AGREES) & (here < there - BETTER)
    seen = textured & ~covered
    other_things, total = (seen & (here < UNLIKE)).sum(), textured.sum()
    return Changes(float(other_things / total), float((seen & elsewhere).sum() / total))


def _bytes(flattened: Gray) -> NDArray[np.uint8]:
    return np.asarray(np.clip(flattened * BRIGHTER + 128, 0, 255), np.uint8)


def _mean(values: Gray) -> Gray:
    import cv2

    return np.asarray(cv2.blur(values, (WINDOW, WINDOW)), np.float32)


def _variance(values: Gray) -> Gray:
    variance: Gray = np.maximum(_mean(values * values) - _mean(values) ** 2, 0)
    return variance


def _correlation(a: Gray, b: Gray) -> Gray:
    """Correlation of the windows around every pixel."""
    product = _mean(a * b) - _mean(a) * _mean(b)
    both = np.maximum(_variance(a), NOISE) * np.maximum(_variance(b), NOISE)
    correlation: Gray = product / np.sqrt(both)
    return correlation
