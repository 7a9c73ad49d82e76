"""Technical quality of a photo, from its luminance; each part 0..1, 1 is best.

Luminance is the image's gray channel scaled to a short side of 384 (never enlarged), so that the
figures do not depend on how large the photo was decoded. With L in 0..1:

- sharpness = v / (v + 0.004), v the mean over the sharpest quarter of 8 x 8 tiles of the variance
  of the Laplacian (Pech-Pacheco et al., ICPR 2000); tiles, so that a blurred background is no fault
- exposure = exp(-((mean - 0.47) / 0.28)^2) * (1 - clipped), clipped the share of pixels that are
  black (<= 2 of 255) or white (>= 253) beyond the first 2%
- contrast = (min(1, std / 0.25) + min(1, (p98 - p2) / 0.9)) / 2
- resolution = 1 - exp(-megapixels / 4)
- score = 0.4 sharpness + 0.25 exposure + 0.2 contrast + 0.15 resolution
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoorg.models import Quality, Rgb

_SIDE = 384
_TILES = 8
_HALF_SHARP = 0.004
_MEAN, _SPREAD = 0.47, 0.28
_CLIPPED_FREE = 0.02


def measure(rgb: Rgb, width: int, height: int) -> Quality:
    """Quality of one photo whose upright original has `width` x `height` pixels."""
    gray = _luminance(rgb)
    counts = np.bincount(gray.ravel(), minlength=256) / gray.size
    sharpness = _sharpness(gray)
    exposure = _exposure(counts)
    contrast = _contrast(counts)
    resolution = float(1 - np.exp(-width * height / 4e6))
    score = 0.4 * sharpness + 0.25 * exposure + 0.2 * contrast + 0.15 * resolution
    return Quality(sharpness, exposure, contrast, resolution, score)


def _luminance(rgb: Rgb) -> NDArray[np.uint8]:
    gray = Image.fromarray(rgb).convert("L")
    scale = _SIDE / min(gray.size)
    if scale < 1:
        size = (max(1, round(gray.width * scale)), max(1, round(gray.height * scale)))
        gray = gray.resize(size, Image.Resampling.BILINEAR)
    return np.asarray(gray)


def _sharpness(gray: NDArray[np.uint8]) -> float:
    if min(gray.shape) < 3:
        return 0.0
    signed = gray.astype(np.int16)
    laplacian = 4 * signed[1:-1, 1:-1]
    laplacian -= signed[:-2, 1:-1]
    laplacian -= signed[2:, 1:-1]
    laplacian -= signed[1:-1, :-2]
    laplacian -= signed[1:-1, 2:]
    tiles = np.sort(_tile_variances(laplacian))
    sharpest = float(tiles[-max(1, len(tiles) // 4) :].mean()) / 255**2
    return sharpest / (sharpest + _HALF_SHARP)


def _tile_variances(values: NDArray[np.int16]) -> NDArray[np.float64]:
    rows, columns = (max(1, side // _TILES) for side in values.shape)
    down, across = values.shape[0] // rows, values.shape[1] // columns
    whole = values[: down * rows, : across * columns].astype(np.float32)
    tiles = whole.reshape(down, rows, across, columns)
    mean = tiles.mean(axis=(1, 3), dtype=np.float64)
    square = np.einsum("iajb,iajb->ij", tiles, tiles) / (rows * columns)
    variances: NDArray[np.float64] = np.maximum(square - mean**2, 0).ravel()
    return variances


def _exposure(counts: NDArray[np.float64]) -> float:
    mean = float(counts @ np.arange(256)) / 255
    clipped = float(counts[:3].sum() + counts[253:].sum())
    kept = 1 - max(0.0, clipped - _CLIPPED_FREE) / (1 - _CLIPPED_FREE)
    return float(np.exp(-(((mean - _MEAN) / _SPREAD) ** 2))) * kept


def _contrast(counts: NDArray[np.float64]) -> float:
    levels = np.arange(256) / 255
    mean = counts @ levels
    deviation = math.sqrt(float(counts @ (levels - mean) ** 2))
    low, high = np.searchsorted(np.cumsum(counts), (0.02, 0.98))
    span = float(min(high, 255) - min(low, 255)) / 255
    return (min(1.0, deviation / 0.25) + min(1.0, span / 0.9)) / 2
