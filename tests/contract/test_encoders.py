"""What every registered encoder promises, whatever it is made of."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from photoorg import registry
from photoorg.config import EncoderConfig
from photoorg.encoders.base import Encoder, FaceEncoder, TextEncoder
from photoorg.encoders.crops import crop, encode_photos
from photoorg.encoders.head import ProjectionHead
from photoorg.encoders.spaces import (
    BuiltinSpec,
    InsightFaceSpec,
    choose_spec,
    load_spec,
    open_encoder,
    open_face_encoder,
)
from photoorg.errors import NoTextSearchError
from photoorg.learn.export import export_space
from tests.unit.encoders.models import pictures, tiny_clip, tiny_onnx

ORDINARY = [(80, 100), (200, 64), (64, 64), (448, 597), (80, 100)]
ODD = [(1, 1), (1, 1000), (3000, 20), (2, 3), (5, 5)]


def builtin(folder: Path) -> EncoderConfig:
    spec = BuiltinSpec(kind="builtin", name="builtin")
    return write(folder, spec)


def openclip(folder: Path) -> EncoderConfig:
    pytest.importorskip("open_clip")
    return write(folder, tiny_clip(folder))


def onnx(folder: Path) -> EncoderConfig:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    return write(folder, tiny_onnx(folder))


def projected(folder: Path) -> EncoderConfig:
    below = builtin(folder)
    base = open_encoder(below, str(folder)).space
    rng = np.random.default_rng(0)
    shapes = ((base.dim, 48), (base.dim, 16), (16,), (16, 48))
    head = ProjectionHead(base.id, *(rng.standard_normal(s).astype(np.float32) for s in shapes))
    return below.model_copy(update={"space": str(export_space(head, "mine", below.space, folder))})


def write(folder: Path, spec: BuiltinSpec) -> EncoderConfig:
    path = folder / f"{spec.name}.yaml"
    path.write_text(json.dumps(spec.model_dump(mode="json")), encoding="utf-8")
    return EncoderConfig(space=str(path), device="cpu")


MAKERS: dict[str, Callable[[Path], EncoderConfig]] = {
    "builtin": builtin,
    "openclip": openclip,
    "onnx": onnx,
    "projected": projected,
}


def test_every_registered_encoder_is_under_contract() -> None:
    assert set(MAKERS) == set(registry.ENCODERS)
    assert set(registry.FACE_ENCODERS) == {"insightface"}


@pytest.fixture(scope="module", params=sorted(MAKERS))
def opened(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Encoder, EncoderConfig, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    config = MAKERS[request.param](folder)
    return open_encoder(config, str(folder)), config, folder


@pytest.fixture
def encoder(opened: tuple[Encoder, EncoderConfig, Path]) -> Encoder:
    return opened[0]


def test_it_offers_the_protocol(encoder: Encoder) -> None:
    assert isinstance(encoder, Encoder)
    assert encoder.space.kind == "image"
    assert 1 <= encoder.short_side <= 1024
    if encoder.space.has_text:
        assert isinstance(encoder, TextEncoder)


def test_vectors_are_unit_norm_float32_rows(encoder: Encoder) -> None:
    x_nd = encoder.encode_images(pictures(*ORDINARY))
    assert x_nd.dtype == np.float32
    assert x_nd.shape == (len(ORDINARY), encoder.space.dim)
    np.testing.assert_allclose(np.linalg.norm(x_nd, axis=1), 1.0, atol=1e-5)


def test_no_images_give_no_rows(encoder: Encoder) -> None:
    x_nd = encoder.encode_images([])
    assert x_nd.shape == (0, encoder.space.dim)
    assert x_nd.dtype == np.float32


def test_the_same_image_gives_the_same_vector(encoder: Encoder) -> None:
    images = pictures(*ORDINARY)
    np.testing.assert_array_equal(encoder.encode_images(images), encoder.encode_images(images))


def test_a_vector_does_not_depend_on_its_batch(encoder: Encoder) -> None:
    images = pictures(*ORDINARY, *ODD) * 2
    alone = np.concatenate([encoder.encode_images([image]) for image in images])
    assert (encoder.encode_images(images) * alone).sum(axis=1).min() > 0.9999


def test_different_images_give_different_vectors(encoder: Encoder) -> None:
    x_nd = encoder.encode_images(pictures((100, 100), (100, 100), (100, 100)))
    assert (x_nd @ x_nd.T)[~np.eye(3, dtype=bool)].max() < 0.9999


def test_views_are_a_space_of_their_own_with_a_vector_for_each_part(
    opened: tuple[Encoder, EncoderConfig, Path],
) -> None:
    encoder, config, folder = opened
    data = yaml.safe_load(Path(config.space).read_text(encoding="utf-8"))
    file = folder / "parts.yaml"
    file.write_text(json.dumps(data | {"views": ["full", "centre", "grid2"]}), encoding="utf-8")
    parts = open_encoder(config.model_copy(update={"space": str(file)}), str(folder))
    assert parts.space.id != encoder.space.id and len(parts.space.views) == 6
    assert (parts.space.dim, parts.space.width) == (encoder.space.dim, 6 * encoder.space.dim)
    images = pictures(*ORDINARY, *ODD)
    x_nw = encode_photos(parts, images)
    assert x_nw.shape == (len(images), parts.space.width)
    wholes = encoder.encode_images(images)
    assert (x_nw[:, : encoder.space.dim] * wholes).sum(axis=1).min() > 0.9999
    crops = encoder.encode_images([crop(images[3], view) for view in parts.space.views])
    assert (x_nw[3].reshape(6, -1) * crops).sum(axis=1).min() > 0.9999
    np.testing.assert_array_equal(encode_photos(encoder, images), wholes)
    assert encode_photos(parts, []).shape == (0, parts.space.width)


@pytest.mark.parametrize("shape", ODD)
def test_odd_sizes_are_images_too(encoder: Encoder, shape: tuple[int, int]) -> None:
    (row,) = encoder.encode_images(pictures(shape))
    assert np.isfinite(row).all()
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("level", [0, 255])
def test_black_and_white_are_images_too(encoder: Encoder, level: int) -> None:
    (row,) = encoder.encode_images([np.full((50, 60, 3), level, np.uint8)])
    assert np.linalg.norm(row) == pytest.approx(1.0, abs=1e-5)


def test_images_are_left_as_they_were(encoder: Encoder) -> None:
    (image,) = pictures((90, 70))
    view = np.asfortranarray(image)[::-1]
    view.setflags(write=False)
    before = view.copy()
    copied = encoder.encode_images([np.ascontiguousarray(view)])
    np.testing.assert_allclose(encoder.encode_images([view]), copied, atol=1e-5)
    np.testing.assert_array_equal(view, before)


def test_the_space_is_the_same_in_another_process(
    opened: tuple[Encoder, EncoderConfig, Path],
) -> None:
    encoder, config, folder = opened
    program = (
        "import sys\n"
        "from photoorg.config import EncoderConfig\n"
        "from photoorg.encoders.spaces import open_encoder\n"
        "config = EncoderConfig.model_validate_json(sys.argv[1])\n"
        "sys.stdout.write(open_encoder(config, sys.argv[2]).space.id)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, config.model_dump_json(), str(folder)],
        capture_output=True,
        text=True,
        timeout=250,
        check=True,
    )
    assert done.stdout == encoder.space.id


def test_an_actor_can_be_built_from_what_is_pickled(
    opened: tuple[Encoder, EncoderConfig, Path],
) -> None:
    encoder, config, folder = opened
    spec = choose_spec(config, str(folder))
    assert pickle.loads(pickle.dumps(spec)) == spec
    again = open_encoder(pickle.loads(pickle.dumps(config)), str(folder))
    images = pictures((64, 90))
    np.testing.assert_array_equal(again.encode_images(images), encoder.encode_images(images))


def test_the_space_holds_no_path_and_survives_json(
    opened: tuple[Encoder, EncoderConfig, Path],
) -> None:
    encoder, _, folder = opened
    text = json.dumps(encoder.space.to_dict())
    assert str(folder) not in text
    assert type(encoder.space).from_dict(json.loads(text)) == encoder.space


def test_texts_and_images_share_the_space(encoder: Encoder) -> None:
    if not encoder.space.has_text:
        if isinstance(encoder, TextEncoder):
            with pytest.raises(NoTextSearchError):
                encoder.encode_texts(["a boat"])
        return
    assert isinstance(encoder, TextEncoder)
    x_nd = encoder.encode_texts(["a boat", "", "long " * 5_000, "日本の海辺", "a boat"])
    assert x_nd.shape == (5, encoder.space.dim)
    assert x_nd.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(x_nd, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(x_nd[0], x_nd[4], atol=1e-5)
    assert encoder.encode_texts([]).shape == (0, encoder.space.dim)
    many = encoder.encode_texts(["a boat"] * 130)
    np.testing.assert_allclose(many, np.repeat(x_nd[:1], 130, axis=0), atol=1e-5)


def test_loading_the_library_loads_no_model_packages() -> None:
    program = (
        "import sys\n"
        "import photoorg.encoders.openclip, photoorg.encoders.onnx, photoorg.encoders.faces\n"
        "import photoorg.encoders.builtin\n"
        "heavy = {'torch', 'open_clip', 'onnxruntime', 'insightface', 'cv2', 'scipy', 'skimage'}\n"
        "sys.stdout.write(' '.join(sorted(heavy & set(sys.modules))))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.data
def test_the_face_encoder_offers_its_protocol(shared_data: Path) -> None:
    pytest.importorskip("insightface")
    config = EncoderConfig(device="cpu", faces="faces-mobilefacenet")
    spec = load_spec(config.faces)
    assert isinstance(spec, InsightFaceSpec)
    assert pickle.loads(pickle.dumps(spec)) == spec
    encoder = open_face_encoder(config, str(shared_data / "models"))
    assert isinstance(encoder, FaceEncoder)
    assert encoder.space.kind == "face"
    assert encoder.long_side >= 640
    for shape in ODD:
        assert encoder.detect(pictures(shape)[0]) == []
    assert open_face_encoder(config, str(shared_data / "models")).space.id == encoder.space.id
