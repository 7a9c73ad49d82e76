"""A part that moved against the rest is told; edits of the whole are not."""

import math

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from scipy.ndimage import map_coordinates
from skimage import data

from photoorg.curate.alignment import Prepared, aligned
from photoorg.curate.scene_changes import changes
from photoorg.curate.tile_agreement import Place

CAT = Image.fromarray(data.chelsea()).convert("L")


def told(other: Image.Image) -> float:
    found = aligned(*(Prepared(np.asarray(image)) for image in (CAT, other)))
    assert found.agreement > 0.7
    return found.moved


def bulged(share: float) -> Image.Image:
    """A round part of the picture pushed aside by a share of the width, the rest as it was."""
    image = np.asarray(CAT, np.float32)
    y, x = np.mgrid[: image.shape[0], : image.shape[1]].astype(np.float32)
    near = np.exp(-(((x - 220) / 70) ** 2 + ((y - 150) / 70) ** 2))
    pushed = map_coordinates(image, [y, x + share * CAT.width * near], order=1, mode="nearest")
    return Image.fromarray(pushed.astype(np.uint8))


def written() -> Image.Image:
    copy = CAT.copy()
    ImageDraw.Draw(copy).text((20, 120), "SOMEWHERE ELSE", fill=255, font_size=40)
    return copy


EDITS = {
    "same": lambda: CAT,
    "crop": lambda: CAT.crop((60, 20, 400, 260)),
    "turn": lambda: CAT.rotate(6),
    "soft": lambda: CAT.filter(ImageFilter.GaussianBlur(2)),
    "small": lambda: CAT.resize((150, 100)),
    "squeezed": lambda: CAT.resize((300, 300)),
    "letters": written,
}


@pytest.mark.parametrize("edit", EDITS)
def test_in_edits_nothing_moved(edit):
    assert told(EDITS[edit]()) < 0.01


@pytest.mark.parametrize("share", [0.03, 0.05])
def test_a_part_pushed_aside_moved(share):
    assert told(bulged(share)) > 0.02


def test_plain_pictures_do_not_tell():
    plain = np.zeros((120, 160), np.float32)
    middle = (59.5, 79.5)
    told = changes(Place(plain, plain, middle, (120, 160), middle, 1.0, 0.0))
    assert all(math.isnan(share) for share in told)
