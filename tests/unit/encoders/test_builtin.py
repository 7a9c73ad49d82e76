from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance

from photoorg.config import EncoderConfig
from photoorg.encoders.builtin import BuiltinEncoder
from photoorg.encoders.spaces import BuiltinSpec
from photoorg.models import Rgb
from tests.unit.encoders.models import pictures


@pytest.fixture(scope="module")
def encoder() -> BuiltinEncoder:
    return BuiltinEncoder(BuiltinSpec(kind="builtin", name="builtin"), EncoderConfig(), "nowhere")


@pytest.fixture(scope="module")
def photos() -> list[Rgb]:
    """Photographs that scikit-image ships in its wheel."""
    data = pytest.importorskip("skimage.data")
    folder = Path(data.__file__).parent
    names = ["astronaut.png", "chelsea.png", "coffee.png", "rocket.jpg", "motorcycle_left.png"]
    paths = [folder / name for name in names if (folder / name).is_file()]
    assert len(paths) >= 3
    images = []
    for path in paths:
        with Image.open(path) as image:
            images.append(np.asarray(image.convert("RGB")))
    return images


def resized(image: Rgb, short_side: int) -> Rgb:
    height, width = image.shape[:2]
    scale = short_side / min(height, width)
    size = round(width * scale), round(height * scale)
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def test_it_says_that_it_has_no_text(encoder: BuiltinEncoder) -> None:
    assert encoder.space.dim == 512
    assert not encoder.space.has_text
    assert not hasattr(encoder, "encode_texts")


def test_the_size_a_photo_was_decoded_at_hardly_matters(
    encoder: BuiltinEncoder, photos: list[Rgb]
) -> None:
    large = encoder.encode_images([resized(photo, 900) for photo in photos])
    small = encoder.encode_images([resized(photo, 448) for photo in photos])
    assert (large * small).sum(axis=1).min() > 0.97


def test_an_edited_photo_stays_nearest_to_its_original(
    encoder: BuiltinEncoder, photos: list[Rgb]
) -> None:
    originals = encoder.encode_images(photos)
    edits = {
        "darker": lambda image: ImageEnhance.Brightness(image).enhance(0.7),
        "flatter": lambda image: ImageEnhance.Contrast(image).enhance(0.7),
        "grey": lambda image: image.convert("L").convert("RGB"),
        "cropped": lambda image: image.crop(
            (image.width // 20, image.height // 20, image.width, image.height)
        ),
    }
    for name, edit in edits.items():
        edited = [np.asarray(edit(Image.fromarray(photo))) for photo in photos]
        scores = encoder.encode_images(edited) @ originals.T
        assert (scores.argmax(axis=1) == np.arange(len(photos))).all(), name


def test_structure_and_colour_both_count(encoder: BuiltinEncoder) -> None:
    (image,) = pictures((300, 400), seed=4)
    recoloured = np.ascontiguousarray(image[:, :, [2, 0, 1]])
    shuffled = np.ascontiguousarray(image[::-1])
    base, colour, layout = encoder.encode_images([image, recoloured, shuffled])
    assert base @ colour < 0.99
    assert base @ layout < 0.99


def test_different_photos_are_well_apart(encoder: BuiltinEncoder, photos: list[Rgb]) -> None:
    scores = encoder.encode_images(photos) @ encoder.encode_images(photos).T
    assert scores[~np.eye(len(photos), dtype=bool)].max() < 0.7


def test_sensor_noise_on_a_plain_wall_is_no_structure(encoder: BuiltinEncoder) -> None:
    rng = np.random.default_rng(1)
    walls = [
        np.clip(150 + rng.normal(0, 2, (448, 600, 3)), 0, 255).astype(np.uint8) for _ in range(2)
    ]
    first, second = encoder.encode_images(walls)
    assert first @ second > 0.9


@pytest.mark.data
def test_it_finds_photos_of_a_kind_clearly_above_colour_histograms(
    encoder: BuiltinEncoder, shared_data: Path
) -> None:
    folder = shared_data / "classes" / "caltech101sub"
    images, labels = [], []
    for label in sorted(path.name for path in folder.iterdir()):
        for path in sorted((folder / label).iterdir())[:20]:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB")))
            labels.append(label)
    codes = np.unique(labels, return_inverse=True)[1]
    x_nd = encoder.encode_images(images)
    order = np.argsort(-(x_nd @ x_nd.T) + 3 * np.eye(len(codes)), axis=1)[:, :5]
    assert (codes[order] == codes[:, None]).mean() > 0.65
