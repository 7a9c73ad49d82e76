"""Local features: the same thing is found again, cropped, turned or mirrored; strangers are not."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from photoorg.curate.local_features import CELLS, PER_CELL, describe, register

CAMERA = data.camera()


def of(image: np.ndarray):
    return describe(np.ascontiguousarray(image))


def test_a_crop_lies_where_it_was_cut_out():
    found = register(of(CAMERA), of(CAMERA[128:384, 64:320]))
    assert found is not None
    assert not found.mirrored
    assert found.scale == pytest.approx(0.5, abs=0.01)
    assert found.matrix_23[:, 2] == pytest.approx([64 / 512, 128 / 512], abs=0.01)
    assert found.off < 0.5


def test_a_quarter_turn_is_an_angle_of_90_degrees():
    found = register(of(CAMERA), of(np.rot90(CAMERA)))
    assert found is not None
    assert found.angle == pytest.approx(90, abs=1)


def test_the_features_of_a_mirrored_picture_are_those_of_the_mirror_image():
    here, there = of(CAMERA).mirrored(), of(CAMERA[:, ::-1])
    far = np.linalg.norm(here.points_n2[:, None] - there.points_n2[None], axis=2)
    nearest, same = far.argmin(axis=1), far.min(axis=1) < 0.002
    assert same.mean() > 0.8
    off = np.abs(here.descriptors_nd[same].astype(int) - there.descriptors_nd[nearest[same]])
    assert np.median(off.max(axis=1)) <= 2
    found = register(of(CAMERA), there)
    assert found is not None
    assert found.mirrored


@pytest.mark.parametrize("other", ["chelsea", "coffee", "rocket", "astronaut"])
def test_strangers_do_not_register(other):
    stranger = Image.fromarray(getattr(data, other)()).convert("L")
    assert register(of(CAMERA), of(np.asarray(stranger))) is None


def test_letters_do_not_crowd_out_the_rest():
    written = CAMERA.copy()
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 2, (120, 512), dtype=np.uint8) * 255
    written[200:320] = np.kron(noise[::8, ::8], np.ones((8, 8), np.uint8))
    features = of(written)
    covered = (features.points_n2[:, 1] > 200 / 512) & (features.points_n2[:, 1] < 320 / 512)
    assert len(features) <= CELLS**2 * PER_CELL
    assert 0 < covered.mean() < 0.5
    found = register(of(CAMERA), features)
    assert found is not None
    assert found.matches > 50


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 3), (300, 300)])
def test_plain_pictures_have_no_features(shape):
    plain = of(np.full(shape, 7, np.uint8))
    assert len(plain) == 0
    assert register(plain, plain) is None
    assert register(plain, of(CAMERA)) is None
