"""The encoders on CUDA agree with themselves on the CPU."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoorg.config import EncoderConfig
from photoorg.encoders.base import Encoder, TextEncoder
from photoorg.encoders.spaces import ImageSpec, open_face_encoder
from photoorg.registry import ENCODERS, load
from tests.unit.encoders.models import pictures, tiny_clip, tiny_onnx

pytestmark = pytest.mark.gpu
SHAPES = [(80, 100), (200, 64), (64, 64), (448, 597), (1, 1), (1, 1000), (3000, 20)]


@pytest.fixture(autouse=True)
def cuda() -> None:
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        pytest.skip("torch finds no CUDA device on this machine")


def needs_onnxruntime_gpu() -> None:
    runtime = pytest.importorskip("onnxruntime")
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        pytest.skip("this onnxruntime has no CUDA provider (install onnxruntime-gpu)")


def both(spec: ImageSpec, folder: Path) -> tuple[Encoder, Encoder]:
    kind = load(ENCODERS[spec.kind])
    devices = ("cuda", "cpu")
    on_gpu, on_cpu = (kind(spec, EncoderConfig(device=d), str(folder)) for d in devices)
    return on_gpu, on_cpu


def test_openclip_in_fp16_agrees_with_fp32_on_the_cpu(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    on_gpu, on_cpu = both(tiny_clip(tmp_path), tmp_path)
    assert on_gpu.space == on_cpu.space
    images = pictures(*SHAPES)
    x_nd = on_gpu.encode_images(images)
    assert x_nd.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(x_nd, axis=1), 1.0, atol=1e-5)
    assert (x_nd * on_cpu.encode_images(images)).sum(axis=1).min() > 0.999
    assert isinstance(on_gpu, TextEncoder) and isinstance(on_cpu, TextEncoder)
    texts = ["a boat", "", "long " * 500]
    cosines = (on_gpu.encode_texts(texts) * on_cpu.encode_texts(texts)).sum(axis=1)
    assert cosines.min() > 0.999


def test_openclip_on_cuda_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    on_gpu, _ = both(tiny_clip(tmp_path), tmp_path)
    images = pictures(*SHAPES) * 10
    alone = np.concatenate([on_gpu.encode_images([image]) for image in images])
    assert (on_gpu.encode_images(images) * alone).sum(axis=1).min() > 0.999
    assert on_gpu.encode_images([]).shape == (0, on_gpu.space.dim)


def test_onnx_on_cuda_agrees_with_the_cpu(tmp_path: Path) -> None:
    needs_onnxruntime_gpu()
    pytest.importorskip("onnx")
    on_gpu, on_cpu = both(tiny_onnx(tmp_path), tmp_path)
    assert on_gpu.space == on_cpu.space
    images = pictures(*SHAPES)
    cosines = (on_gpu.encode_images(images) * on_cpu.encode_images(images)).sum(axis=1)
    assert cosines.min() > 0.999


@pytest.mark.data
def test_faces_on_cuda_agree_with_the_cpu(shared_data: Path) -> None:
    needs_onnxruntime_gpu()
    pytest.importorskip("insightface")
    models = str(shared_data / "models")
    on_gpu, on_cpu = (
        open_face_encoder(EncoderConfig(device=d, faces="faces-mobilefacenet"), models)
        for d in ("cuda", "cpu")
    )
    person = sorted((shared_data / "faces" / "lfw10").iterdir())[0]
    for path in sorted(person.iterdir()):
        with Image.open(path) as image:
            rgb = np.asarray(image.convert("RGB"))
        theirs, ours = on_cpu.detect(rgb), on_gpu.detect(rgb)
        assert len(theirs) == len(ours)
        for one, other in zip(theirs, ours, strict=True):
            assert float(one.embedding @ other.embedding) > 0.999
