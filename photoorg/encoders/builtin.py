"""An encoder that needs no weights and no download: structure and colour of a 128 px picture.

Structure is the energy of a bank of oriented band-pass filters, pooled over a grid (GIST: Oliva and
Torralba, 2001), with local contrast normalised (HOG: Dalal and Triggs, 2005). Colour is a histogram
and a coarse layout in CIELAB. What is common to all pictures is taken out by centring and by cosine
transforms, and every block is power-normalised (signed root, then unit length: Perronnin et al.,
2010). Nothing is learned, so vectors are the same on every machine; there is no text search.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from photoorg.config import EncoderConfig
from photoorg.encoders.spaces import BuiltinSpec
from photoorg.encoders.vectors import unit_norm
from photoorg.models import Rgb
from photoorg.space import EmbeddingSpace

VERSION = 1
SIDE = 128
GRID = 8
FREQUENCIES = {SIDE: (0.32, 0.16), SIDE // 2: (0.08, 0.04)}
"""Centres of the bands in cycles per pixel, an octave apart, by the side at which they suffice."""
BANDS = 4
ORIENTATIONS = 8
PER_BAND = 108
LAYOUT = (8, 12, 12)
"""Cosine coefficients kept of the layout of L, a and b."""
LEVELS = (3, 4, 4)
"""Histogram bins of L, a and b."""
DIM = BANDS * PER_BAND + sum(LAYOUT) + LEVELS[0] * LEVELS[1] * LEVELS[2]
PLAIN = 0.2
"""Summed amplitude of all filters below which a place is plain: sensor noise, not texture."""
FAINT = 1.0
"""Length of the structure block below which it fades; photographs have 2 to 6."""
SHARES = (0.8, 0.1, 0.1)
"""Parts of the similarity that structure, layout and histogram make up."""

Floats = NDArray[np.float32]


class BuiltinEncoder:
    """512-d vectors from fixed filters; images only.

    `config` and `models_dir` are taken so that every encoder is built alike; none of it is used.
    """

    def __init__(self, spec: BuiltinSpec, config: EncoderConfig, models_dir: str) -> None:
        self._banks = [_filters(side) for side in FREQUENCIES]
        self._harmonics, self._kept = _harmonics()
        self._cosines = _cosines(GRID)
        # Pooled energy falls off with frequency, much as natural pictures do; this evens it out.
        self._emphasis = np.sqrt(1 + np.sqrt(_squared_frequencies())).astype(np.float32)
        self._space = EmbeddingSpace(
            name=spec.name,
            encoder="photoorg/builtin",
            weights="none",
            revision=str(VERSION),
            preprocessing=f"squash {SIDE}x{SIDE}",
            dim=DIM,
            views=spec.views,
        )

    @property
    def space(self) -> EmbeddingSpace:
        """The builtin space; it has no text."""
        return self._space

    @property
    def short_side(self) -> int:
        """Pixels that are looked at."""
        return SIDE

    def encode_images(self, images: Sequence[Rgb]) -> Floats:
        """Unit-norm vectors [n, 512] of upright sRGB images [h, w, 3] uint8 of any sizes."""
        rows = [self._encode(image) for image in images]
        return unit_norm(np.array(rows, np.float32).reshape(-1, DIM), DIM, self._space.name)

    def _encode(self, image: Rgb) -> Floats:
        lab = _lab(_shrink(image))
        parts = (self._structure(lab[:, :, 0]), self._layout(lab), _histogram(lab))
        return np.concatenate(
            [part * share**0.5 for part, share in zip(parts, SHARES, strict=True)]
        )

    def _structure(self, light: Floats) -> Floats:
        energy = _band_energies(light, self._banks)
        around = _smooth(energy.sum(axis=0)) + PLAIN
        root = np.sqrt(energy / around).reshape(BANDS, ORIENTATIONS, GRID, GRID)
        root -= root.mean()
        space = self._cosines @ root @ self._cosines.T
        waves = np.einsum("ho,foyx->fhyx", self._harmonics, space) * self._emphasis
        return _power_normalised(waves.reshape(BANDS, -1)[:, self._kept], floor=FAINT)

    def _layout(self, lab: Floats) -> Floats:
        cells = _pool(lab.transpose(2, 0, 1))
        waves = (self._cosines @ cells @ self._cosines.T).reshape(3, -1)
        order = np.argsort(_squared_frequencies().ravel(), kind="stable")
        kept = [wave[order[:count]] for wave, count in zip(waves, LAYOUT, strict=True)]
        return _power_normalised(np.concatenate(kept))


def _shrink(image: Rgb) -> Rgb:
    picture = Image.fromarray(np.ascontiguousarray(image))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.BICUBIC, reducing_gap=3.0))


def _lab(rgb: Rgb) -> Floats:
    """CIELAB (D65) divided by 100, from sRGB."""
    level = np.arange(256, dtype=np.float32) / 255
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ],
        np.float32,
    )
    white = np.array([0.95047, 1.0, 1.08883], np.float32)
    xyz = linear.astype(np.float32)[rgb] @ (to_xyz.T / white)
    root = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = root[..., 0], root[..., 1], root[..., 2]
    lab = np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1) / 100
    return lab.astype(np.float32)


def _filters(side: int) -> Floats:
    """Log-Gabor filters in the frequency domain [bands * orientations, side, side]."""
    frequency = np.fft.fftfreq(side) * (side / SIDE)
    fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
    radius, angle = np.hypot(fx, fy) + 1e-9, np.arctan2(fy, fx)
    bank = []
    for centre in FREQUENCIES[side]:
        band = np.exp(-0.5 * (np.log2(radius / centre) / 0.5) ** 2)
        for k in range(ORIENTATIONS):
            turn = np.angle(np.exp(1j * (angle - np.pi * k / ORIENTATIONS)))
            bank.append(band * np.exp(-0.5 * (turn / (np.pi / 12)) ** 2))
    return np.array(bank, np.float32)


def _band_energies(light: Floats, banks: Sequence[Floats]) -> Floats:
    """Mean amplitude per filter and grid cell [bands * orientations, grid, grid]."""
    from scipy import fft

    whole = fft.fft2((light - light.mean()).astype(np.complex64))
    pooled = []
    for bank in banks:
        side = bank.shape[-1]
        low = np.r_[: side // 2, SIDE - side // 2 : SIDE]
        spectrum = whole[np.ix_(low, low)] * (side / SIDE) ** 2
        pooled.append(_pool(np.abs(fft.ifft2(spectrum * bank))))
    return np.concatenate(pooled)


def _pool(maps: Floats) -> Floats:
    """Means over a grid: [c, side, side] to [c, grid, grid]."""
    cell = maps.shape[-1] // GRID
    rows = maps.reshape(len(maps), GRID, cell, -1).sum(axis=2)
    return np.asarray(rows.reshape(len(maps), GRID, GRID, cell).sum(axis=3) / cell**2)


def _smooth(cells: Floats) -> Floats:
    padded = np.pad(cells, 1, mode="edge")
    rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    return np.asarray((rows[:, :-2] + 2 * rows[:, 1:-1] + rows[:, 2:]) / 16)


def _cosines(n: int) -> Floats:
    """The orthonormal cosine transform (DCT-II) as a matrix [n, n]."""
    k, i = np.arange(n)[:, None], np.arange(n)[None]
    matrix = np.cos(np.pi * k * (2 * i + 1) / (2 * n)) * (2 / n) ** 0.5
    matrix[0] /= 2**0.5
    return np.asarray(matrix, np.float32)


def _harmonics() -> tuple[Floats, NDArray[np.int64]]:
    """Circular harmonics over orientation [8, 8], and which of 8 * 64 waves are kept of a band.

    Kept are the lowest frequencies over orientation and place together.
    """
    turn = 2 * np.pi * np.arange(ORIENTATIONS) / ORIENTATIONS
    rows = [np.full(ORIENTATIONS, ORIENTATIONS**-0.5)]
    for order in range(1, ORIENTATIONS // 2):
        rows += [np.cos(order * turn) / 2, np.sin(order * turn) / 2]
    rows.append(np.cos(ORIENTATIONS // 2 * turn) * ORIENTATIONS**-0.5)
    orders = np.array([0, 1, 1, 2, 2, 3, 3, 4])
    squared = orders[:, None, None] ** 2 + _squared_frequencies()
    return np.array(rows, np.float32), np.argsort(squared.ravel(), kind="stable")[:PER_BAND]


def _squared_frequencies() -> NDArray[np.int64]:
    place = np.arange(GRID)
    return np.add.outer(place**2, place**2)


def _histogram(lab: Floats) -> Floats:
    """Share of the pixels per colour, spread linearly over neighbouring bins, centred."""
    chroma = np.tanh(2.5 * lab[..., 1:]) / 2 + 0.5
    squeezed = (lab[..., 0], chroma[..., 0], chroma[..., 1])
    places, parts = [], []
    for value, bins in zip(squeezed, LEVELS, strict=True):
        at = np.clip(value, 0.0, 1.0) * (bins - 1)
        low = np.minimum(at.astype(np.int64), bins - 2)
        places.append(low.ravel())
        parts.append((at - low).ravel())
    size = LEVELS[0] * LEVELS[1] * LEVELS[2]
    steps = (LEVELS[1] * LEVELS[2], LEVELS[2], 1)
    base = places[0] * steps[0] + places[1] * steps[1] + places[2]
    counts = np.zeros(size)
    for corner in np.ndindex(2, 2, 2):
        sides = [part if up else 1 - part for part, up in zip(parts, corner, strict=True)]
        offset = sum(step for step, up in zip(steps, corner, strict=True) if up)
        counts += np.bincount(base + offset, sides[0] * sides[1] * sides[2], minlength=size)
    root = np.sqrt(counts / counts.sum())
    return _unit((root - root.mean()).astype(np.float32))


def _power_normalised(values: Floats, *, floor: float = 0.0) -> Floats:
    """Signed square root, then length 1; values shorter than `floor` fade, as noise should."""
    values = values.ravel()
    power = float((values**2).sum())
    root = np.sign(values) * np.sqrt(np.abs(values))
    return _unit(root) * (power / (power + floor**2 + 1e-12))


def _unit(values: Floats) -> Floats:
    return np.asarray(values / (np.linalg.norm(values) + 1e-6), np.float32)
