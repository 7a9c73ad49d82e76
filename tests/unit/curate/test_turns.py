import numpy as np
import pdqhash
import pytest
from skimage import data

from photoorg.curate.turns import BOTH_WAYS, TURNS, turned, turned_pixels


def words(image: np.ndarray) -> np.ndarray:
    bits, _ = pdqhash.compute(np.ascontiguousarray(image))
    return np.packbits(bits).view(np.uint64)[None]


def distance(a: np.ndarray, b: np.ndarray) -> int:
    return int(np.bitwise_count(a ^ b).sum())


@pytest.mark.parametrize("turn", TURNS)
def test_the_hash_of_a_turned_picture_follows_from_the_upright_one(turn):
    image = data.chelsea()
    channels = [turned_pixels(image[..., c], turn) for c in range(3)]
    expected = words(np.stack(channels, axis=-1))
    assert distance(turned(words(image), turn), expected) <= 24
    wrong = [t for t in TURNS if t != turn]
    assert min(distance(turned(words(image), t), expected) for t in wrong) > 80


def test_every_turn_is_reached_from_one_side_or_the_other():
    pdq = words(data.chelsea())
    inverse = {"rot90": "rot270"}
    for turn in BOTH_WAYS:
        back = turned(turned(pdq, turn), inverse.get(turn, turn))
        assert np.array_equal(back, pdq)
    assert {*BOTH_WAYS, *inverse.values(), "upright"} == set(TURNS)
