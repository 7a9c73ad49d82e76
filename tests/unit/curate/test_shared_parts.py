"""Votes of local features find crops among strangers and nothing among pictures that share none."""

import numpy as np
import pytest
from PIL import Image

from photoorg.curate.local_features import LocalFeatures, describe
from photoorg.curate.shared_parts import FEW, STRONGEST, shared_parts
from photoorg.curate.turns import TURNS, turned_pixels

TELLING = 60


def gray(seed: int) -> np.ndarray:
    """A picture full of corners, each seed another."""
    cells = np.random.default_rng(seed).integers(0, 256, (24, 32), dtype=np.uint8)
    return np.asarray(Image.fromarray(cells).resize((320, 240), Image.Resampling.BICUBIC))


def shared(*images: np.ndarray | None):
    def features(row: int) -> LocalFeatures | None:
        image = images[row]
        return None if image is None else describe(np.ascontiguousarray(image))

    rows = np.arange(len(images), dtype=np.int32)
    return shared_parts(rows, features, telling=TELLING, threads=1)


@pytest.mark.parametrize("turn", TURNS)
def test_a_crop_is_found_however_it_is_turned(turn):
    strangers = [gray(seed) for seed in range(1, 12)]
    crop = turned_pixels(gray(0)[40:220, 30:260], turn)
    found = shared(*strangers, gray(0), crop)
    assert (found.first[0], found.second[0]) == (11, 12)


def test_strangers_share_nothing():
    found = shared(*(gray(seed) for seed in range(12)))
    assert len(found.first) == 0
    assert found.asked.tolist() == list(range(12))


def test_an_index_of_many_finds_the_same():
    strangers = [gray(seed) for seed in range(1, 2 + FEW // STRONGEST)]
    found = shared(*strangers, gray(0), gray(0)[40:220, 30:260])
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    assert pairs == {(len(strangers), len(strangers) + 1)}


def test_plain_and_missing_pictures_are_not_asked():
    plain = np.full((240, 320), 9, np.uint8)
    found = shared(plain, gray(0), None, plain, gray(0)[:, 60:])
    assert found.asked.tolist() == [1, 4]
    assert (found.first.tolist(), found.second.tolist()) == ([1], [4])
    assert len(shared(plain, None).asked) == 0
    assert len(shared().first) == 0
