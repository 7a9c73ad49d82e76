"""Pictures laid over each other: edits agree, strangers and other shots do not."""

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps
from skimage import data

from photoorg.curate.alignment import aligned, prepare

CAT = Image.fromarray(data.chelsea())
EDITS = {
    "crop": lambda i: i.crop((100, 20, 400, 240)),
    "border": lambda i: ImageOps.expand(i, 40, "white"),
    "turn": lambda i: i.rotate(6),
    "dark": lambda i: ImageEnhance.Brightness(i).enhance(0.5),
    "small": lambda i: i.resize((110, 73)),
    "text": lambda i: i.paste((0, 0, 0), (0, 120, 451, 160)) or i,
}


def ready(image: Image.Image):
    return prepare(np.asarray(image.convert("L")))


@pytest.mark.parametrize("edit", EDITS)
def test_edits_agree(edit):
    assert aligned(ready(CAT), ready(EDITS[edit](CAT.copy()))) > 0.75


@pytest.mark.parametrize("other", ["astronaut", "coffee", "rocket", "camera", "coins"])
def test_strangers_do_not(other):
    assert aligned(ready(CAT), ready(Image.fromarray(getattr(data, other)()))) < 0.6


def test_the_two_eyes_of_a_stereo_camera_are_two_shots():
    left, right, _ = data.stereo_motorcycle()
    agreement = aligned(ready(Image.fromarray(left)), ready(Image.fromarray(right)))
    assert agreement < 0.7


@pytest.mark.parametrize("shape", [(1, 1), (8, 400), (400, 8), (300, 300)])
def test_plain_pictures_tell_nothing(shape):
    plain = prepare(np.full(shape, 7, np.uint8))
    assert math.isnan(aligned(plain, plain))
    assert not aligned(plain, ready(CAT)) > 0.1
