"""Another moment of a scene: much is as it was, but something moved, left or came.

Such a photograph shares most of what an edit shares with its original and is none: hard negatives
of duplicate detection. A part of the picture (a smooth random blob) is kept, the rest replaced, or
the other way round, or the part is bent; the camera and the light changed a little too.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Floats = NDArray[np.float32]
Kind = Literal["subject", "background", "pose"]
KINDS: tuple[Kind, ...] = ("subject", "background", "pose")
CELLS = 4
"""The blob is a smooth field of so many cells a side, cut at a level."""
EDGE = 0.06
SEEN = 12.0
"""Root mean square, of 0..255, by which what changed has to differ: else nothing happened."""
TRIES = 5
ZOOM = 0.55
"""Share of the sides of the other photograph that is shown, so that it is no crop of that one."""


def moment(
    image: Image.Image, other: Image.Image, rng: np.random.Generator, strength: float
) -> tuple[Image.Image, Kind] | None:
    """The scene of `image` at another moment, and what changed on 25% .. 60% of it.

    subject: something that `other` shows stands before the same background; background: the same
    thing before another background, itself bent by some 1%; pose: a part is bent by 4% .. 8%. None
    if the picture is so plain that nobody would see a change.
    """
    was = np.asarray(image, np.float32)
    for _ in range(TRIES):
        kind = KINDS[int(rng.integers(len(KINDS)))]
        share = 0.25 + 0.35 * strength
        mask = _blob(rng, image.size, share, middle=kind == "background")
        if kind == "pose":
            now = _bent(was, rng, 0.04 + 0.04 * strength)
        else:
            now = _elsewhere(other, image.size, rng)
        kept = _bent(was, rng, 0.01) if kind == "background" else was
        changed = ((was - now).mean(axis=2) - (was - now).mean()) * mask
        if np.sqrt((changed**2).sum() / mask.sum()) < SEEN:
            continue
        mask = mask[..., None]
        return _shot(kept * (1 - mask) + now * mask, rng), kind
    return None


def _blob(rng: np.random.Generator, size: tuple[int, int], share: float, *, middle: bool) -> Floats:
    """Weights [height, width], 1 on about `share` of the picture; around the middle if asked."""
    cells = rng.random((CELLS, CELLS)).astype(np.float32)
    field = np.asarray(Image.fromarray(cells).resize(size, Image.Resampling.BICUBIC))
    if middle:
        y, x = np.meshgrid(*(np.linspace(-1, 1, s) for s in field.shape), indexing="ij")
        field = 0.3 * field + np.hypot(y, x).astype(np.float32)
    level = np.quantile(field, 1 - share)
    soft: Floats = np.clip((field - level) / EDGE + 0.5, 0, 1).astype(np.float32)
    return soft


def _elsewhere(other: Image.Image, size: tuple[int, int], rng: np.random.Generator) -> Floats:
    """A part of another photograph, as large as this one."""
    width, height = round(other.width * ZOOM), round(other.height * ZOOM)
    x = int(rng.integers(0, other.width - width + 1))
    y = int(rng.integers(0, other.height - height + 1))
    part = other.crop((x, y, x + width, y + height)).resize(size, Image.Resampling.BICUBIC)
    return np.asarray(part, np.float32)


def _bent(pixels: Floats, rng: np.random.Generator, by: float) -> Floats:
    """Smoothly displaced, by up to about `by` of the width in random directions."""
    from scipy.ndimage import map_coordinates

    height, width = pixels.shape[:2]
    places = np.mgrid[:height, :width].astype(np.float32)
    for axis in range(2):
        cells = rng.uniform(-1, 1, (CELLS + 1, CELLS + 1)).astype(np.float32)
        cells *= np.float32(by * width / np.abs(cells).max())
        field = Image.fromarray(cells).resize((width, height), Image.Resampling.BICUBIC)
        places[axis] += np.asarray(field)
    bent = [map_coordinates(pixels[..., c], places, order=1, mode="reflect") for c in range(3)]
    return np.stack(bent, axis=-1)


def _shot(pixels: Floats, rng: np.random.Generator) -> Image.Image:
    """The camera held a little differently, other light, noise anew."""
    image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    zoom = rng.uniform(1.02, 1.08)
    width, height = image.width / zoom, image.height / zoom
    x, y = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    turned = image.rotate(float(rng.uniform(-0.7, 0.7)), Image.Resampling.BICUBIC)
    taken = turned.resize(image.size, Image.Resampling.BICUBIC, (x, y, x + width, y + height))
    light = 255 * (np.asarray(taken, np.float32) / 255) ** rng.uniform(0.85, 1.2)
    light = light * rng.uniform(0.85, 1.15) + rng.normal(0, rng.uniform(2, 5), light.shape)
    return Image.fromarray(np.clip(light, 0, 255).astype(np.uint8))
