"""Where the middle of one picture lies in another, for pictures too plain for local features.

It is sought by normalised cross-correlation over a grid of scales and angles (Lewis, "Fast
Normalized Cross-Correlation", 1995), both ways round.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.sampling import Gray, centre, grid, integral, sampled, spread

COARSE = 48
"""Pixels of the long side of the pictures that are searched."""
MIDDLE = 0.8
SCALES = tuple(1.2 / 1.09**n for n in range(14))
ANGLES = (0.0, 5.0, -5.0, 10.0, -10.0, 15.0, -15.0)
PLAIN = 2.5
"""Standard deviation (of 0..255) below which a part is too plain to tell anything."""
PLACES = 3


@dataclass(frozen=True, slots=True)
class Found:
    """The middle of the template, scaled and turned by `angle` degrees, lies at (y, x)."""

    score: float
    scale: float
    angle: float
    y: float
    x: float


@dataclass(frozen=True, slots=True)
class _Template:
    """The middle of a picture at one scale and every angle: spectra [angles, COARSE, ...]."""

    scale: float
    height: int
    width: int
    spectra: NDArray[np.complex64]


class Searchable:
    """A small picture [height, width], neither side above COARSE, ready to be sought and searched;
    about 1 MB.
    """

    def __init__(self, coarse: Gray) -> None:
        from scipy.fft import rfft2

        height, width = self._shape = coarse.shape
        padded = np.zeros((COARSE, COARSE), np.float32)
        padded[:height, :width] = coarse
        self._spectrum = rfft2(padded)
        self._sums = integral(coarse), integral(coarse.astype(np.float64) ** 2)
        made = [_template(coarse, scale) for scale in SCALES]
        self._templates = tuple(t for t in made if t is not None)

    def seek(self, other: Searchable) -> list[Found]:
        """The best places in this picture for the middle of the other, best first."""
        from scipy.fft import irfft2

        found = []
        for template in other._templates:
            rows = self._shape[0] - template.height + 1
            columns = self._shape[1] - template.width + 1
            if rows < 1 or columns < 1:
                continue
            area = template.height * template.width
            matches = irfft2(template.spectra * self._spectrum, s=(COARSE, COARSE))
            around = spread(self._sums, template.height, template.width)
            scores = matches[:, :rows, :columns] / np.maximum(around, PLAIN * math.sqrt(area))
            angle, y, x = np.unravel_index(int(np.argmax(scores)), scores.shape)
            # A small template fits somewhere by chance.
            share = area / (self._shape[0] * self._shape[1])
            score = float(scores[angle, y, x]) * share**0.1
            middle = y + (template.height - 1) / 2, x + (template.width - 1) / 2
            found.append(Found(score, template.scale, ANGLES[angle], *middle))
        found.sort(key=lambda place: -place.score)
        return found[:PLACES]


def _template(coarse: Gray, scale: float) -> _Template | None:
    from scipy.fft import rfft2

    height, width = (max(8, round(MIDDLE * side * scale)) for side in coarse.shape)
    if max(height, width) > COARSE:
        return None
    places = [grid(height, width, 1 / scale, angle, centre(coarse)) for angle in ANGLES]
    parts = sampled(coarse, np.stack(places, axis=1))
    parts -= parts.mean(axis=(1, 2), keepdims=True)
    norms = np.linalg.norm(parts, axis=(1, 2))
    if norms.min() <= PLAIN * math.sqrt(height * width):
        return None
    padded = np.zeros((len(ANGLES), COARSE, COARSE), np.float32)
    padded[:, :height, :width] = parts / norms[:, None, None]
    return _Template(scale, height, width, np.conj(rfft2(padded)))
