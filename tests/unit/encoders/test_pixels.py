from typing import Any

import numpy as np
import pytest
from PIL import Image

from photoorg.encoders.pixels import Pixels
from photoorg.models import Rgb

torch = pytest.importorskip("torch")
transform = pytest.importorskip("open_clip.transform")

SHAPES = [(64, 64), (100, 100), (97, 131), (400, 300), (300, 45), (48, 350), (20, 30), (1, 1)]


def picture(height: int, width: int) -> Rgb:
    """Waves with some noise: smooth and sharp parts, all levels."""
    rng = np.random.default_rng(height * 1000 + width)
    y, x = np.mgrid[:height, :width] / 17.0
    waves = np.stack([np.sin(x + y), np.cos(x * y / 5), np.sin(3 * y)], axis=-1)
    noisy = 127 + 90 * waves + rng.normal(0, 25, waves.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def config(mode: str, interpolation: str, size: Any = 64) -> dict[str, Any]:
    return {
        "size": size,
        "mode": "RGB",
        "mean": (0.48, 0.46, 0.41),
        "std": (0.27, 0.26, 0.28),
        "interpolation": interpolation,
        "resize_mode": mode,
        "fill_color": 0,
    }


@pytest.mark.parametrize("mode", ["shortest", "longest", "squash"])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_agree_with_open_clips_own_preprocessing(
    mode: str, interpolation: str, shape: tuple[int, int]
) -> None:
    image = picture(*shape)
    settings = config(mode, interpolation)
    theirs = transform.image_transform_v2(transform.PreprocessCfg(**settings), is_train=False)
    expected = theirs(Image.fromarray(image)).numpy()
    (ours,) = Pixels.from_open_clip(settings).prepare([image], torch.device("cpu")).numpy()
    assert ours.shape == expected.shape
    cosine = (ours * expected).sum() / np.linalg.norm(ours) / np.linalg.norm(expected)
    assert cosine > 0.999
    assert np.abs(ours - expected).max() <= 3.01 / 255 / 0.26


def test_images_of_mixed_sizes_come_back_in_their_order() -> None:
    pixels = Pixels.from_open_clip(config("shortest", "bicubic"))
    images = [picture(*shape) for shape in (*SHAPES, *reversed(SHAPES))]
    together = pixels.prepare(images, torch.device("cpu"))
    for row, image in enumerate(images):
        alone = pixels.prepare([image], torch.device("cpu"))[0]
        torch.testing.assert_close(together[row], alone)


def test_float_resizing_as_on_a_gpu_agrees_within_a_level() -> None:
    pixels = Pixels.from_open_clip(config("shortest", "bicubic"))
    image = torch.from_numpy(picture(300, 400)).permute(2, 0, 1)[None]
    whole = pixels._resize(image, 64, 85).float()
    smooth = torch.nn.functional.interpolate(
        image.float(), size=(64, 85), mode="bicubic", antialias=True
    )
    assert (whole - smooth.round().clamp(0, 255)).abs().max() <= 1


@pytest.mark.parametrize("shape", [(1, 5000), (3000, 20)])
def test_a_long_strip_is_cropped_before_it_is_blown_up(shape: tuple[int, int]) -> None:
    pixels = Pixels.from_open_clip(config("shortest", "bicubic"))
    assert pixels._strip(picture(*shape)).size <= 3 * 8 * min(shape) ** 2
    assert pixels.prepare([picture(*shape)], torch.device("cpu")).shape == (1, 3, 64, 64)


def test_everything_that_changes_pixels_changes_the_description() -> None:
    variants = [
        config("shortest", "bicubic"),
        config("squash", "bicubic"),
        config("shortest", "bilinear"),
        config("shortest", "bicubic", 96),
        {**config("shortest", "bicubic"), "mean": (0.5, 0.5, 0.5)},
        {**config("shortest", "bicubic"), "std": (0.5, 0.5, 0.5)},
        {**config("longest", "bicubic"), "fill_color": 127},
    ]
    assert len({Pixels.from_open_clip(v).description for v in variants}) == len(variants)


def test_a_read_only_image_is_accepted() -> None:
    image = picture(80, 80)
    image.setflags(write=False)
    pixels = Pixels.from_open_clip(config("shortest", "bicubic"))
    assert pixels.prepare([image], torch.device("cpu")).shape == (1, 3, 64, 64)
