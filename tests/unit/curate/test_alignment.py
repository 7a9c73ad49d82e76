"""Pictures laid over each other: edits agree, strangers and other shots do not."""

import math

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from skimage import data

from photoorg.curate.alignment import TELLING, Prepared, aligned
from photoorg.curate.turns import TURNS, compose, turned_pixels

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
    return Prepared(np.asarray(image.convert("L")))


@pytest.mark.parametrize("edit", EDITS)
def test_edits_agree(edit):
    found = aligned(ready(CAT), ready(EDITS[edit](CAT.copy())))
    assert found.agreement > 0.75
    assert found.steady > 0.9
    assert found.turn == 0
    assert found.changed < 0.05
    assert found.moved < 0.01
    assert found.matched > 0.3


def test_another_background_behind_the_same_thing_is_another_moment():
    behind = Image.fromarray(data.coffee()).resize(CAT.size)
    left = CAT.copy()
    left.paste(behind.crop((0, 0, 180, 300)), (0, 0))
    found = aligned(ready(CAT), ready(left))
    assert found.agreement > 0.75
    assert found.changed > 0.1


def test_something_that_moved_before_the_same_background_is_another_moment():
    moved = CAT.copy()
    moved.paste(CAT.crop((130, 50, 330, 250)), (160, 80))
    found = aligned(ready(CAT), ready(moved))
    assert found.changed > 0.1
    assert found.moved > 0.05


@pytest.mark.parametrize("turn", range(1, len(TURNS)))
def test_a_turned_crop_agrees_and_says_how_it_is_turned(turn):
    crop = np.asarray(CAT.convert("L"))[20:240, 100:400]
    other = Prepared(np.ascontiguousarray(turned_pixels(crop, TURNS[turn])))
    found = aligned(ready(CAT), other)
    assert found.agreement > 0.75
    assert compose(found.turn, turn) == 0


def test_crops_agree_that_share_most_of_the_smaller_one():
    left, right = CAT.crop((0, 0, 300, 300)), CAT.crop((90, 0, 451, 300))
    assert aligned(ready(left), ready(right)).agreement > 0.8


def test_crops_that_each_show_something_else_do_not_agree():
    left, right = CAT.crop((0, 0, 300, 300)), CAT.crop((190, 0, 451, 300))
    assert aligned(ready(left), ready(right)).agreement < 0.4


def test_parts_that_do_not_overlap_do_not_agree():
    left, right = CAT.crop((0, 0, 225, 300)), CAT.crop((226, 0, 451, 300))
    assert not aligned(ready(left), ready(right)).agreement > 0.6


def test_a_soft_picture_without_features_is_still_laid_over_its_crop():
    soft = CAT.filter(ImageFilter.GaussianBlur(9))
    crop = soft.crop((60, 30, 420, 270))
    assert len(ready(soft).features) < TELLING
    assert aligned(ready(soft), ready(crop)).agreement > 0.75


@pytest.mark.parametrize("other", ["astronaut", "coffee", "rocket", "camera", "coins"])
def test_strangers_do_not(other):
    assert aligned(ready(CAT), ready(Image.fromarray(getattr(data, other)()))).agreement < 0.6


def test_the_two_eyes_of_a_stereo_camera_are_two_shots():
    left, right, _ = data.stereo_motorcycle()
    found = aligned(ready(Image.fromarray(left)), ready(Image.fromarray(right)))
    assert found.agreement * found.steady < 0.6


@pytest.mark.parametrize("shape", [(1, 1), (8, 400), (400, 8), (300, 300)])
def test_plain_pictures_tell_nothing(shape):
    plain = Prepared(np.full(shape, 7, np.uint8))
    assert math.isnan(aligned(plain, plain).agreement)
    assert not aligned(plain, ready(CAT)).agreement > 0.1
