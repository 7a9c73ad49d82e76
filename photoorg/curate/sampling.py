"""Values of a gray picture at places between pixels, and sums over all its windows."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.float32]
Places = NDArray[np.float32]


def grid(height: int, width: int, step: float, angle: float, middle: tuple[float, float]) -> Places:
    """Places [2, height, width] around `middle`, `step` apart, turned by `angle` degrees."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    around = np.stack([y - (height - 1) / 2, x - (width - 1) / 2]) * np.float32(step)
    return turned(around, angle, middle)


def turned(around: Places, angle: float, middle: tuple[float, float]) -> Places:
    """Places [2, ...] given from a middle, turned about it by `angle` degrees."""
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    y, x = around
    places = np.stack([cos * y - sin * x + middle[0], sin * y + cos * x + middle[1]])
    return places.astype(np.float32)


def centre(image: Gray) -> tuple[float, float]:
    """The middle (y, x) of a picture."""
    return (image.shape[0] - 1) / 2, (image.shape[1] - 1) / 2


def sampled(image: Gray, places: Places) -> Gray:
    """Bilinear values at (y, x) places [2, ...]; outside, those of the nearest edge."""
    from scipy.ndimage import map_coordinates

    sample: Callable[..., Gray] = map_coordinates
    return sample(image, places, order=1, mode="nearest", output=np.float32)


def fitted(gray: NDArray[np.uint8], side: int) -> Gray:
    """The picture with a long side of `side` pixels."""
    from PIL import Image

    image = Image.fromarray(gray)
    scale = side / max(image.size)
    size = (max(8, round(image.width * scale)), max(8, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BOX), np.float32)


def integral(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Sums over all above and left, with a first row and column of zeros."""
    *many, height, width = values.shape
    result = np.zeros((*many, height + 1, width + 1))
    result[..., 1:, 1:] = np.cumsum(np.cumsum(values, axis=-2, dtype=np.float64), axis=-1)
    return result


def spread(sums: tuple[NDArray[np.float64], ...], height: int, width: int) -> NDArray[np.float64]:
    """Root of the summed squared deviations in every window, from integral() of the values and of
    their squares.
    """
    one, two = (
        s[..., height:, width:]
        - s[..., :-height, width:]
        - s[..., height:, :-width]
        + s[..., :-height, :-width]
        for s in sums
    )
    root: NDArray[np.float64] = np.sqrt(np.maximum(two - one**2 / (height * width), 0))
    return root
