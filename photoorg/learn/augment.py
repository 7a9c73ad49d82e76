"""Two views of a photo that still show the same thing: what contrastive training compares.

The recipe is SimCLR's (Chen, Kornblith, Norouzi, Hinton, 2020): crop, flip, colour, grey, blur; and
re-compression, which photo libraries are full of.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from photoorg.models import Rgb


@dataclass(frozen=True, slots=True)
class Augmentation:
    """How far a view may go from its photo: shares of area and strengths, probabilities 0..1."""

    smallest_crop: float = 0.3
    colour: float = 0.4
    flip: float = 0.5
    grey: float = 0.1
    blur: float = 0.3
    recompress: float = 0.3

    def view(self, rgb: Rgb, rng: np.random.Generator) -> Rgb:
        """One random view of an upright photo [h, w, 3] uint8; its size is that of the crop."""
        image = _crop(Image.fromarray(rgb), rng, self.smallest_crop)
        if rng.random() < self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        for enhance in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
            image = enhance(image).enhance(1 + self.colour * rng.uniform(-1, 1))
        if rng.random() < self.grey:
            image = image.convert("L").convert("RGB")
        if rng.random() < self.blur:
            radius = rng.uniform(0.1, 2.0) * max(image.size) / 224
            image = image.filter(ImageFilter.GaussianBlur(radius))
        if rng.random() < self.recompress:
            image = _recompressed(image, int(rng.integers(30, 90)))
        return np.asarray(image)

    def views(self, rgb: Rgb, rng: np.random.Generator) -> tuple[Rgb, Rgb]:
        """Two independent views."""
        return self.view(rgb, rng), self.view(rgb, rng)


def _crop(image: Image.Image, rng: np.random.Generator, smallest: float) -> Image.Image:
    """A part of at least `smallest` of the area, of nearly the photo's own aspect."""
    scale = np.sqrt(rng.uniform(smallest, 1.0))
    stretch = np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))) ** 0.5
    width = min(image.width, max(1, round(image.width * scale * stretch)))
    height = min(image.height, max(1, round(image.height * scale / stretch)))
    left = int(rng.integers(0, image.width - width + 1))
    top = int(rng.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")
