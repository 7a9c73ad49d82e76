"""The hard negatives of the benchmark: other moments of a scene, told from its edits."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from benchmarks.moments import moment
from photoorg.curate.alignment import Prepared, aligned

CAT = Image.fromarray(data.chelsea())
OTHER = Image.fromarray(data.coffee())


def made(seed: int, strength: float = 0.7):
    return moment(CAT, OTHER, np.random.default_rng(seed), strength)


def test_one_seed_makes_one_moment():
    (one, kind), (again, same) = made(3), made(3)
    assert kind == same
    assert np.array_equal(one, again)
    assert not np.array_equal(one, made(4)[0])
    assert one.size == CAT.size


def test_of_a_plain_picture_there_is_no_other_moment():
    plain = Image.new("RGB", (320, 240), (90, 90, 90))
    assert moment(plain, plain, np.random.default_rng(0), 1.0) is None


@pytest.mark.parametrize("seed", range(6))
def test_much_of_another_moment_is_something_else(seed):
    picture = made(seed)[0]
    assert picture is not None
    ready = [Prepared(np.asarray(image.convert("L"))) for image in (CAT, picture)]
    found = aligned(*ready)
    assert found.agreement * found.steady < 0.6 or found.changed > 0.15
