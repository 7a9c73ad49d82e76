"""Pictures that were squeezed are laid over their originals; strangers and views aside are not."""

import cv2
import numpy as np
import pytest
from PIL import Image, ImageFilter
from skimage import data

from photoorg.curate.alignment import TELLING, Prepared, aligned
from photoorg.curate.squeezing import shapes_differ, squared, stretch
from photoorg.curate.turns import TURNS, compose, turned_pixels

CAT = Image.fromarray(data.chelsea()).convert("L")
OTHERS = ["astronaut", "coffee", "rocket", "camera", "coins"]
SIZES = [(300, 300), (225, 300), (451, 200), (451, 150), (200, 250)]


def ready(image: Image.Image):
    return Prepared(np.asarray(image))


@pytest.mark.parametrize("size", SIZES)
def test_a_squeezed_picture_agrees_with_its_original(size):
    for pair in ((CAT, CAT.resize(size)), (CAT.resize(size), CAT)):
        found = aligned(*map(ready, pair))
        assert found.agreement > 0.75
        assert found.steady > 0.9
        assert found.changed < 0.1
        assert found.matched > 0.4
        assert found.turn == 0


@pytest.mark.parametrize("turn", range(1, len(TURNS)))
def test_squeezed_and_turned_it_agrees_and_says_how_it_is_turned(turn):
    squeezed = np.ascontiguousarray(turned_pixels(np.asarray(CAT.resize((330, 300))), TURNS[turn]))
    found = aligned(ready(CAT), Prepared(squeezed))
    assert found.agreement > 0.75
    assert compose(found.turn, turn) == 0


def test_a_squeezed_crop_agrees():
    crop = CAT.crop((60, 20, 420, 260)).resize((260, 280))
    found = aligned(ready(CAT), ready(crop))
    assert found.agreement * found.steady > 0.7


def test_a_soft_squeezed_picture_without_features_agrees():
    soft = CAT.filter(ImageFilter.GaussianBlur(9))
    assert len(ready(soft).features) < TELLING
    assert aligned(ready(soft), ready(soft.resize((300, 300)))).agreement > 0.75


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_the_stretch_takes_the_squeezing_back(width, height):
    small = CAT.resize((width, height))
    shapes = (CAT.height, CAT.width), (height, width)
    by = stretch(squared(np.asarray(CAT)), squared(np.asarray(small)), *shapes)
    assert by == pytest.approx(CAT.width / CAT.height * height / width, rel=0.03)


def test_what_is_seen_from_aside_or_too_narrow_has_no_stretch():
    image = np.asarray(CAT)
    aside = cv2.warpAffine(image, np.array([[1, 0.2, 0], [0, 1, 0.0]]), (520, 300))
    narrow = np.asarray(CAT.resize((150, 300)))
    for other in (aside, narrow):
        assert stretch(squared(image), squared(other), image.shape, other.shape) is None


@pytest.mark.parametrize("other", OTHERS)
def test_strangers_of_other_shapes_do_not_agree(other):
    stranger = Image.fromarray(getattr(data, other)()).convert("L").resize((300, 300))
    assert aligned(ready(CAT), ready(stranger)).agreement < 0.6


def test_only_unlike_shapes_are_asked_for():
    assert shapes_differ((480, 640), (300, 300))
    assert not shapes_differ((480, 640), (240, 320))
    assert not shapes_differ((480, 640), (640, 480))
