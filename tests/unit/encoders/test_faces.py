import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from photoorg.config import EncoderConfig, FacesConfig
from photoorg.encoders import faces as module
from photoorg.encoders.faces import InsightFaceEncoder, align, frontalness, quality
from photoorg.encoders.spaces import InsightFaceSpec, open_face_encoder
from photoorg.errors import EncoderUnavailableError
from photoorg.models import Rgb

cv2 = pytest.importorskip("cv2")
pytest.importorskip("insightface")
CONFIG = EncoderConfig(device="cpu", faces="faces-mobilefacenet")
FRONTAL = np.array([[38.0, 52.0], [74.0, 52.0], [56.0, 72.0], [42.0, 92.0], [71.0, 92.0]])
BOX = np.array([0.0, 0.0, 112.0, 112.0])


def turned(points: np.ndarray, degrees: float, scale: float, shift: tuple[float, float]) -> Any:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + np.array(shift)


def read(path: Path) -> Rgb:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def encoder(shared_data: Path) -> InsightFaceEncoder:
    encoder = open_face_encoder(CONFIG, str(shared_data / "models"))
    assert isinstance(encoder, InsightFaceEncoder)
    return encoder


@pytest.fixture(scope="module")
def people(shared_data: Path) -> list[tuple[str, Rgb]]:
    folders = sorted((shared_data / "faces" / "lfw10").iterdir())
    return [(f.name, read(p)) for f in folders if f.is_dir() for p in sorted(f.iterdir())]


@pytest.mark.parametrize("degrees", [0.0, 30.0, -75.0])
def test_alignment_agrees_with_insightfaces_own(degrees: float) -> None:
    from insightface.utils import face_align

    rng = np.random.default_rng(5)
    image = cv2.resize(rng.integers(0, 255, (20, 20, 3), dtype=np.uint8), (300, 300))
    points = turned(FRONTAL, degrees, 1.3, (60.0, 90.0))
    matrix = module._similarity(points, module._TEMPLATE)
    transform = face_align.trans.SimilarityTransform.from_estimate(points, module._TEMPLATE)
    np.testing.assert_allclose(matrix, transform.params[:2], atol=1e-6)
    expected = cv2.warpAffine(image, transform.params[:2], (112, 112), borderValue=0.0)
    np.testing.assert_array_equal(align(image, points, 112), expected)


def test_five_points_on_one_spot_still_give_a_crop() -> None:
    crop = align(np.full((50, 50, 3), 9, np.uint8), np.full((5, 2), 7.0), 112)
    assert crop.shape == (112, 112, 3)


def test_frontalness_ignores_tilt_and_size_and_falls_towards_profile() -> None:
    assert frontalness(FRONTAL) > 0.95
    assert frontalness(turned(FRONTAL, 40, 3.0, (5, 9))) == pytest.approx(frontalness(FRONTAL))
    half, profile = FRONTAL.copy(), FRONTAL.copy()
    half[2, 0], profile[2, 0] = 65.0, 76.0
    assert 0.3 < frontalness(half) < 0.7
    assert frontalness(profile) == 0.0
    assert frontalness(np.zeros((5, 2))) == 0.0


def test_quality_is_a_fraction_and_falls_with_every_fault() -> None:
    rng = np.random.default_rng(2)
    sharp = rng.integers(0, 255, (112, 112, 3), dtype=np.uint8)
    best = quality(BOX, FRONTAL, 1.0, sharp)
    profile = FRONTAL.copy()
    profile[2, 0] = 70.0
    blurred = cv2.GaussianBlur(sharp, (0, 0), 6)
    assert 0.95 < best <= 1.0
    assert quality(BOX / 4, FRONTAL, 1.0, sharp) < 0.8 * best
    assert quality(BOX, FRONTAL, 0.5, sharp) < 0.9 * best
    assert quality(BOX, profile, 1.0, sharp) < 0.8 * best
    assert quality(BOX, FRONTAL, 1.0, blurred) < 0.8 * best
    assert quality(BOX, FRONTAL, 1.0, np.zeros_like(sharp)) == 0.0


@pytest.mark.data
def test_the_nearest_face_is_the_same_person(
    encoder: InsightFaceEncoder, people: list[tuple[str, Rgb]]
) -> None:
    found = [(name, encoder.detect(image)) for name, image in people]
    assert all(faces for _, faces in found)
    names = np.array([name for name, _ in found])
    x_nd = np.stack([faces[0].embedding for _, faces in found])
    nearest = (x_nd @ x_nd.T - 2 * np.eye(len(x_nd))).argmax(axis=1)
    assert len(names) == 100
    assert (names[nearest] == names).mean() >= 0.98


@pytest.mark.data
def test_faces_carry_fractions_and_unit_vectors_largest_first(
    encoder: InsightFaceEncoder, people: list[tuple[str, Rgb]]
) -> None:
    first, second = people[0][1], people[50][1]
    group = np.zeros((500, 900, 3), np.uint8)
    group[100:350, 50:300] = first
    group[150:300, 600:750] = cv2.resize(second, (150, 150))
    faces = encoder.detect(group)
    assert len(faces) == 2
    assert faces[0].box[2] * faces[0].box[3] > faces[1].box[2] * faces[1].box[3]
    assert faces[0].box[0] < 0.4 < faces[1].box[0]
    for face in faces:
        x, y, w, h = face.box
        assert 0 <= x < x + w <= 1 and 0 <= y < y + h <= 1
        assert all(x <= px <= x + w and y <= py <= y + h for px, py in face.landmarks)
        assert len(face.landmarks) == 5
        assert 0.5 <= face.score <= 1 and 0 < face.quality <= 1
        assert face.embedding.dtype == np.float32
        assert np.linalg.norm(face.embedding) == pytest.approx(1, abs=1e-5)
        assert face.age is None and face.gender is None
    alone = encoder.detect(first)[0]
    assert float(alone.embedding @ faces[0].embedding) > 0.8


@pytest.mark.data
def test_a_face_that_fills_the_picture_is_found_by_padding(
    encoder: InsightFaceEncoder, people: list[tuple[str, Rgb]]
) -> None:
    found = 0
    for _, image in people[::10]:
        x, y, w, h = encoder.detect(image)[0].box
        height, width = image.shape[:2]
        tight = image[
            int(y * height) : int((y + h) * height) + 1, int(x * width) : int((x + w) * width) + 1
        ]
        faces = encoder.detect(np.ascontiguousarray(tight))
        found += bool(faces) and faces[0].box[2] > 0.6
    assert found == 10


@pytest.mark.data
@pytest.mark.parametrize("shape", [(1, 1), (1, 1000), (3000, 20), (60, 80)])
def test_a_picture_without_faces_has_none(
    encoder: InsightFaceEncoder, shape: tuple[int, int]
) -> None:
    assert encoder.detect(np.full((*shape, 3), 120, np.uint8)) == []


@pytest.mark.data
def test_the_space_names_recogniser_and_detector_by_content(encoder: InsightFaceEncoder) -> None:
    space = encoder.space
    assert (space.kind, space.dim) == ("face", 128)
    assert space.weights == "sha256:e72a5710cce378dc"
    assert "sha256:bc24bb349491481c" in space.preprocessing
    assert not space.has_text


@pytest.mark.data
@pytest.mark.parametrize("packed", ["folder", "zip"])
def test_a_pack_is_a_folder_or_a_zip_of_models(
    shared_data: Path,
    tmp_path: Path,
    packed: str,
    encoder: InsightFaceEncoder,
    people: list[tuple[str, Rgb]],
) -> None:
    names = ["scrfd_2.5g_bnkps.onnx", "mobilefacenet.onnx"]
    if packed == "zip":
        with zipfile.ZipFile(tmp_path / "pack.zip", "w") as archive:
            for name in names:
                archive.write(shared_data / "models" / name, f"pack/{name}")
    else:
        (tmp_path / "pack").mkdir()
        for name in names:
            shutil.copy(shared_data / "models" / name, tmp_path / "pack")
    spec = InsightFaceSpec.model_validate(
        {"kind": "insightface", "name": "p", "pack": {"file": "pack.zip"}}
    )
    config = FacesConfig(age_gender=True)
    other = InsightFaceEncoder(spec, CONFIG, str(tmp_path), faces=config)
    image = people[0][1]
    (ours, *_), (theirs, *_) = other.detect(image), encoder.detect(image)
    assert ours.box == theirs.box
    assert ours.age is None
    assert other.space.id.split("-")[-1] == encoder.space.id.split("-")[-1]


def test_a_pack_that_cannot_be_had_is_an_error_that_names_it(tmp_path: Path) -> None:
    spec = InsightFaceSpec.model_validate(
        {"kind": "insightface", "name": "p", "pack": {"file": "pack.zip"}}
    )
    with pytest.raises(EncoderUnavailableError, match=r"pack\.zip is not in"):
        InsightFaceEncoder(spec, CONFIG, str(tmp_path), faces=FacesConfig())


@pytest.mark.data
def test_a_pack_without_a_recogniser_is_an_error_that_says_so(
    shared_data: Path, tmp_path: Path
) -> None:
    (tmp_path / "pack").mkdir()
    shutil.copy(shared_data / "models" / "scrfd_2.5g_bnkps.onnx", tmp_path / "pack")
    spec = InsightFaceSpec.model_validate(
        {"kind": "insightface", "name": "p", "pack": {"file": "pack.zip"}}
    )
    with pytest.raises(EncoderUnavailableError, match="a model for recognition"):
        InsightFaceEncoder(spec, CONFIG, str(tmp_path), faces=FacesConfig())
