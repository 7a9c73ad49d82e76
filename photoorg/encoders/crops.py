"""Photos to the vectors that are stored of them: one for each view of the encoder's space."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.encoders.base import Encoder
from photoorg.models import Rgb
from photoorg.views import ONE, enlargement, pixels_of


def encode_photos(encoder: Encoder, images: Sequence[Rgb]) -> NDArray[np.float32]:
    """Unit-norm vectors of every view of upright photos, side by side: [n, space.width]."""
    views = encoder.space.views
    if views == ONE:
        return encoder.encode_images(images)
    parts = [crop(image, view) for image in images for view in views]
    return encoder.encode_images(parts).reshape(len(images), encoder.space.width)


def crop(image: Rgb, view: str) -> Rgb:
    """The pixels of one view of an upright photo."""
    height, width = image.shape[:2]
    left, top, right, bottom = pixels_of(view, width, height)
    part: Rgb = np.ascontiguousarray(image[top:bottom, left:right])
    return part


def short_side(encoder: Encoder, least: int) -> int:
    """Pixels the short side of a photo needs, so that its smallest view lacks none; >= `least`."""
    if encoder.space.views == ONE:
        return least
    return max(least, math.ceil(encoder.short_side * enlargement(encoder.space.views)))
