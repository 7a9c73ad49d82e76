from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photoorg.config import EncoderConfig
from photoorg.encoders.onnx import OnnxEncoder, fit
from photoorg.encoders.spaces import OnnxPreprocessing, load_spec, open_encoder
from photoorg.errors import ConfigError, EncoderUnavailableError
from tests.unit.encoders.models import pictures, tiny_onnx

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")
CPU = EncoderConfig(device="cpu", threads=1)
MIXED = [(40, 50), (100, 32), (32, 32), (20, 300), (7, 7)]


def encode(folder: Path, **keys: Any) -> np.ndarray:
    return OnnxEncoder(tiny_onnx(folder, **keys), CPU, str(folder)).encode_images(pictures(*MIXED))


def test_layouts_and_fixed_batches_give_the_same_vectors(tmp_path: Path) -> None:
    expected = encode(tmp_path)
    assert expected.shape == (5, 16)
    np.testing.assert_allclose(encode(tmp_path, layout="nhwc"), expected, atol=1e-6)
    for batch in (1, 3, 8):
        np.testing.assert_allclose(encode(tmp_path, batch=batch), expected, atol=1e-6)
    np.testing.assert_allclose(encode(tmp_path, dtype="float16"), expected, atol=2e-2)


def test_values_follow_the_declared_preprocessing(tmp_path: Path) -> None:
    import onnxruntime

    (image,) = pictures((32, 32))
    plan = {"scale": 255.0, "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.4), "channels": "bgr"}
    encoder = OnnxEncoder(tiny_onnx(tmp_path, plan=plan), CPU, str(tmp_path))
    ready = (image[:, :, ::-1] / 255 - np.array([0.4, 0.5, 0.6])) / np.array([0.2, 0.3, 0.4])
    session = onnxruntime.InferenceSession(
        str(tmp_path / "tiny.onnx"), providers=["CPUExecutionProvider"]
    )
    blob = ready.transpose(2, 0, 1)[None].astype(np.float32)
    (expected,) = session.run(["features"], {"image": blob})
    expected /= np.linalg.norm(expected)
    np.testing.assert_allclose(encoder.encode_images([image]), expected, atol=1e-5)


def test_a_uint8_model_gets_the_pixels_as_they_are(tmp_path: Path) -> None:
    unscaled = {"scale": 1.0, "mean": (0.0, 0.0, 0.0)}
    as_float = encode(tmp_path, plan=unscaled)
    np.testing.assert_allclose(encode(tmp_path, dtype="uint8"), as_float, atol=1e-5)


def test_outputs_go_by_name_or_index_and_change_the_space(tmp_path: Path) -> None:
    by_index = OnnxEncoder(tiny_onnx(tmp_path, output=0), CPU, str(tmp_path)).space
    by_name = OnnxEncoder(tiny_onnx(tmp_path, output="features"), CPU, str(tmp_path)).space
    assert by_index.id == by_name.id
    other = tiny_onnx(tmp_path, plan={"resize": "squash"})
    assert OnnxEncoder(other, CPU, str(tmp_path)).space.id != by_name.id


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"output": "absent"}, "no output 'absent'"),
        ({"output": 7}, "no output 7"),
        ({"output": "map"}, "no vector an image"),
        ({"input": "absent"}, "no input 'absent'"),
        ({"plan": {"size": 48}}, "32x32 pixels, but .* 48x48"),
        ({"plan": {"layout": "nhwc"}}, "pixels, but"),
    ],
)
def test_a_space_that_does_not_fit_its_model_is_a_config_error(
    tmp_path: Path, keys: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        OnnxEncoder(tiny_onnx(tmp_path, **keys), CPU, str(tmp_path))


def test_a_file_that_is_no_model_is_an_error_that_names_it(tmp_path: Path) -> None:
    spec = tiny_onnx(tmp_path)
    (tmp_path / "tiny.onnx").write_bytes(b"nonsense")
    with pytest.raises(EncoderUnavailableError, match=r"tiny\.onnx cannot be loaded"):
        OnnxEncoder(spec, CPU, str(tmp_path))


@pytest.mark.parametrize("shape", [(64, 64), (90, 200), (200, 90), (10, 14)])
def test_shortest_is_resize_then_centre_crop(shape: tuple[int, int]) -> None:
    (image,) = pictures(shape)
    plan = OnnxPreprocessing(size=32, resize="shortest", resize_to=36, interpolation="bilinear")
    height, width = shape
    scale = 36 / min(shape)
    size = round(width * scale), round(height * scale)
    whole = Image.fromarray(image).resize(size, Image.Resampling.BILINEAR)
    left, top = (size[0] - 32) / 2, (size[1] - 32) / 2
    crop = whole.transform((32, 32), Image.Transform.EXTENT, (left, top, left + 32, top + 32))
    expected = np.asarray(crop, np.float64)
    ours = fit(image, plan).astype(np.float64)
    centred = ours - ours.mean(), expected - expected.mean()
    cosine = (centred[0] * centred[1]).sum() / np.prod([np.linalg.norm(c) for c in centred])
    assert cosine > 0.98


def test_longest_pads_around_the_whole_picture() -> None:
    image = np.full((20, 40, 3), 200, np.uint8)
    fitted = fit(image, OnnxPreprocessing(size=32, resize="longest", pad=9))
    assert fitted.shape == (32, 32, 3)
    assert (fitted[8:24] == 200).all()
    assert (fitted[:8] == 9).all() and (fitted[24:] == 9).all()


def test_squash_is_plain_resizing_to_height_and_width() -> None:
    (image,) = pictures((50, 70))
    plan = OnnxPreprocessing(size=(24, 40), resize="squash")
    expected = np.asarray(Image.fromarray(image).resize((40, 24), Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(fit(image, plan), expected)


@pytest.mark.data
def test_mobilenetv2_knows_a_pizza_when_it_sees_one(shared_data: Path) -> None:
    folder = shared_data / "classes" / "caltech101sub"
    encoder = open_encoder(EncoderConfig(space="mobilenetv2"), str(shared_data / "models"))
    assert load_spec("mobilenetv2").name == encoder.space.name
    images, labels = [], []
    for label in ("pizza", "laptop", "scissors", "Faces_easy"):
        for path in sorted((folder / label).iterdir())[:12]:
            with Image.open(path) as image:
                images.append(np.asarray(image.convert("RGB")))
            labels.append(label)
    x_nd = encoder.encode_images(images)
    scores = x_nd @ x_nd.T - 2 * np.eye(len(labels))
    right = np.array(labels)[scores.argmax(axis=1)] == np.array(labels)
    assert x_nd.shape == (48, 1280)
    assert right.mean() >= 0.95
