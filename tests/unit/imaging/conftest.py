"""Synthetic photographs, and files made of them."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageFilter

from photoorg.config import ImagingConfig
from photoorg.imaging.decode import Decoder


@pytest.fixture(scope="session")
def decoder() -> Decoder:
    return Decoder(ImagingConfig())


@pytest.fixture(scope="session")
def scene() -> Callable[..., Image.Image]:
    """A picture of soft shapes and fine texture; the same seed gives the same picture."""

    def make(width: int = 640, height: int = 480, seed: int = 0) -> Image.Image:
        random = np.random.default_rng(seed)
        coarse = Image.fromarray(random.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        large = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.int16)
        grain = random.normal(0, 12, (height, width, 1))
        picture = Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8))
        return picture.filter(ImageFilter.GaussianBlur(0.5))

    return make


@pytest.fixture(scope="session")
def saved() -> Callable[..., bytes]:
    def save(image: Image.Image, kind: str, **options: object) -> bytes:
        stream = io.BytesIO()
        image.save(stream, kind, **options)
        return stream.getvalue()

    return save


@pytest.fixture(scope="session")
def corners() -> Image.Image:
    """Red, green, blue and yellow quarters: tells every orientation apart."""
    picture = Image.new("RGB", (96, 64), "red")
    picture.paste("lime", (48, 0, 96, 32))
    picture.paste("blue", (0, 32, 48, 64))
    picture.paste("yellow", (48, 32, 96, 64))
    return picture
