import itertools

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter

from photoorg.imaging.quality import measure


def of(image: Image.Image, width: int = 4000, height: int = 3000):
    return measure(np.asarray(image.convert("RGB")), width, height)


def falls(values) -> bool:
    return all(a > b for a, b in itertools.pairwise(values))


def test_blur_lowers_sharpness_and_score(scene):
    results = [of(scene().filter(ImageFilter.GaussianBlur(r))) for r in (0, 1, 2, 4, 8)]
    assert falls([q.sharpness for q in results])
    assert falls([q.score for q in results])


def test_blurred_background_is_no_fault(scene):
    sharp = scene()
    portrait = sharp.filter(ImageFilter.GaussianBlur(6))
    portrait.paste(sharp.crop((200, 100, 440, 380)), (200, 100))
    blurred = of(sharp.filter(ImageFilter.GaussianBlur(6))).sharpness
    assert of(portrait).sharpness > (of(sharp).sharpness + blurred) / 2


def test_darkening_and_overexposing_lower_exposure(scene):
    level = [of(ImageEnhance.Brightness(scene()).enhance(b)).exposure for b in (1, 0.6, 0.3, 0.1)]
    assert falls(level)
    level = [of(ImageEnhance.Brightness(scene()).enhance(b)).exposure for b in (1, 1.6, 2.5, 5)]
    assert falls(level)


def test_flattening_lowers_contrast(scene):
    level = [of(ImageEnhance.Contrast(scene()).enhance(c)).contrast for c in (1, 0.7, 0.4, 0.1)]
    assert falls(level)


def test_resolution_grows_and_saturates(scene):
    sizes = [(48_000_000, 1), (4000, 3000), (2000, 1500), (640, 480), (10, 10)]
    level = [of(scene(), *s).resolution for s in sizes]
    assert falls(level) and level[0] > 0.99 and level[-1] < 0.01


def test_figures_do_not_depend_on_the_size_decoded_at(scene, decoder, saved):
    data = saved(scene(3000, 2250).filter(ImageFilter.GaussianBlur(3)), "JPEG", quality=92)
    small, large = (decoder.decode(data, short_side=s).rgb for s in (448, 1000))
    a, b = (measure(rgb, 3000, 2250) for rgb in (small, large))
    assert a.sharpness == pytest.approx(b.sharpness, abs=0.05)
    assert a.score == pytest.approx(b.score, abs=0.03)


@pytest.mark.parametrize(
    "image",
    [
        Image.new("RGB", (1, 1)),
        Image.new("RGB", (2, 900), "white"),
        Image.new("RGB", (448, 448), "white"),
        Image.new("RGB", (448, 448), "black"),
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)),
    ],
)
def test_every_part_is_between_0_and_1(image):
    quality = of(image)
    for part in ("sharpness", "exposure", "contrast", "resolution", "score"):
        assert 0.0 <= getattr(quality, part) <= 1.0
