import io

import numpy as np
import pytest
from PIL import Image

from photoorg.imaging.thumbs import thumbnail


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 750), (400, 300)),
        ((750, 1000), (300, 400)),
        ((320, 200), (320, 200)),
        ((4000, 2), (400, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_long_side_is_400_and_nothing_is_enlarged(size, expected):
    image = opened(thumbnail(np.zeros((size[1], size[0], 3), np.uint8)))
    assert image.format == "WEBP" and image.size == expected


def test_it_looks_like_the_photo(scene):
    small = opened(thumbnail(np.asarray(scene(1000, 750)))).convert("RGB")
    expected = np.asarray(scene(1000, 750).resize((400, 300), Image.Resampling.BICUBIC), int)
    assert np.abs(np.asarray(small, int) - expected).mean() < 8


def test_lower_quality_is_smaller(scene):
    pixels = np.asarray(scene(1000, 750))
    assert len(thumbnail(pixels, 400, 30)) < len(thumbnail(pixels, 400, 90))
