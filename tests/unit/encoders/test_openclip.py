import json
import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from photoorg.config import EncoderConfig
from photoorg.encoders import openclip
from photoorg.encoders.openclip import OpenClipEncoder, cpu_has_bf16
from photoorg.encoders.pixels import Pixels
from photoorg.encoders.spaces import OpenClipSpec
from photoorg.errors import ConfigError, EncoderUnavailableError
from photoorg.models import Rgb
from tests.unit.encoders.models import pictures, tiny_clip

torch = pytest.importorskip("torch")
open_clip = pytest.importorskip("open_clip")
tokenizers = pytest.importorskip("tokenizers")
CPU = EncoderConfig(device="cpu")
MIXED = [(80, 100), (200, 64), (64, 64), (33, 500), (80, 100)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip")
    tiny_clip(path)
    return path


@pytest.fixture(scope="module")
def encoder(folder: Path) -> OpenClipEncoder:
    return OpenClipEncoder(tiny_clip(folder), CPU, str(folder))


def test_vectors_are_those_of_open_clips_own_pipeline(
    folder: Path, encoder: OpenClipEncoder
) -> None:
    spec = tiny_clip(folder)
    model, _, transform = open_clip.create_model_and_transforms(
        "ViT-B-32", pretrained=str(folder / "tiny.safetensors"), **spec.overrides
    )
    images = pictures(*MIXED)
    with torch.inference_mode():
        pixels = torch.stack([transform(Image.fromarray(image)) for image in images])
        expected = model.eval().encode_image(pixels, normalize=True).numpy()
    cosines = (encoder.encode_images(images) * expected).sum(axis=1)
    assert cosines.min() > 0.999


def test_text_vectors_are_those_of_open_clips_own_pipeline(
    folder: Path, encoder: OpenClipEncoder
) -> None:
    model = open_clip.create_model(
        "ViT-B-32", pretrained=str(folder / "tiny.safetensors"), **tiny_clip(folder).overrides
    )
    tokens = open_clip.get_tokenizer("ViT-B-32", context_length=16)(["a red boat", "Étretat"])
    with torch.inference_mode():
        expected = model.eval().encode_text(tokens, normalize=True).numpy()
    cosines = (encoder.encode_texts(["a red boat", "Étretat"]) * expected).sum(axis=1)
    assert cosines.min() > 0.999


def test_the_space_is_named_by_content_and_has_text(encoder: OpenClipEncoder) -> None:
    space = encoder.space
    assert space.encoder.startswith("open_clip/ViT-B-32+")
    assert space.weights.startswith("sha256:")
    assert space.dim == 48
    assert space.has_text
    assert encoder.short_side == 64


def test_text_can_be_left_out(folder: Path, encoder: OpenClipEncoder) -> None:
    mute = OpenClipEncoder(tiny_clip(folder, text=False), CPU, str(folder))
    assert not mute.space.has_text
    assert mute.space.id == encoder.space.id
    with pytest.raises(EncoderUnavailableError, match="text side"):
        mute.encode_texts(["a"])


def test_a_pickled_state_dict_loads_too(folder: Path, encoder: OpenClipEncoder) -> None:
    other = OpenClipEncoder(tiny_clip(folder, weights={"file": "tiny.pt"}), CPU, str(folder))
    images = pictures((64, 64))
    np.testing.assert_allclose(
        other.encode_images(images), encoder.encode_images(images), atol=1e-6
    )


def test_a_tag_beside_a_file_decides_the_preprocessing(folder: Path) -> None:
    spec = tiny_clip(folder, model="ViT-L-14-CLIPA", pretrained="datacomp1b", text=False)
    assert "squash bilinear" in OpenClipEncoder(spec, CPU, str(folder)).space.preprocessing
    plain = OpenClipEncoder(tiny_clip(folder), CPU, str(folder)).space
    assert "shortest bicubic" in plain.preprocessing


def test_bfloat16_stays_close_to_float32(
    folder: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openclip, "cpu_has_bf16", lambda: True)
    images = pictures(*MIXED)
    halved = OpenClipEncoder(tiny_clip(folder), CPU, str(folder))
    assert halved.space.id == encoder.space.id
    vectors, exact = halved.encode_images(images), encoder.encode_images(images)
    if not cpu_has_bf16():
        assert np.abs(vectors - exact).max() > 0
    assert (vectors * exact).sum(axis=1).min() > 0.999


@pytest.mark.parametrize(
    ("machine", "line", "expected"),
    [
        ("x86_64", "flags\t: fpu avx512f avx512_bf16", True),
        ("x86_64", "flags\t: fpu amx_bf16 amx_tile", True),
        ("x86_64", "flags\t: fpu avx2 bf16", False),
        ("aarch64", "Features\t: fp asimd bf16 i8mm", True),
        ("aarch64", "Features\t: fp asimd", False),
    ],
)
def test_bfloat16_is_read_from_the_cpus_flags(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    machine: str,
    line: str,
    expected: bool,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\n")
    assert cpu_has_bf16(tmp_path / "cpuinfo") is expected
    assert cpu_has_bf16(tmp_path / "absent") is False


def test_the_batch_size_is_tried_once_and_only_for_many_images(folder: Path) -> None:
    encoder = OpenClipEncoder(tiny_clip(folder), CPU, str(folder))
    encoder.encode_images(pictures(*[(64, 64)] * 8))
    assert encoder._batches.size is None
    encoder.encode_images(pictures(*[(64, 64)] * 9))
    assert encoder._batches.size is not None and encoder._batches.size >= 1


def test_a_configured_batch_size_is_kept(folder: Path) -> None:
    config = EncoderConfig(device="cpu", batch_size=2)
    encoder = OpenClipEncoder(tiny_clip(folder), config, str(folder))
    images = pictures(*MIXED)
    one_by_one = np.concatenate([encoder.encode_images([image]) for image in images])
    np.testing.assert_allclose(encoder.encode_images(images), one_by_one, atol=1e-5)
    assert encoder._batches.size == 2


def test_a_batch_that_does_not_fit_into_memory_is_halved(
    folder: Path, encoder: OpenClipEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = pictures(*MIXED)
    expected = encoder.encode_images(images)
    prepare = Pixels.prepare
    tried = []

    def crowded(self: Pixels, batch: list[Rgb], device: object) -> object:
        tried.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError
        return prepare(self, batch, device)

    monkeypatch.setattr(Pixels, "prepare", crowded)
    np.testing.assert_allclose(encoder.encode_images(images), expected, atol=1e-5)
    assert tried == [5, 2, 3, 1, 2]


def test_an_unknown_model_or_tag_is_a_config_error(folder: Path) -> None:
    with pytest.raises(ConfigError, match="ViT-Z-99"):
        OpenClipEncoder(tiny_clip(folder, model="ViT-Z-99"), CPU, str(folder))
    spec = OpenClipSpec(kind="openclip", name="x", model="ViT-B-32", pretrained="nope")
    with pytest.raises(ConfigError, match=r"Known: .*laion2b_s34b_b79k"):
        OpenClipEncoder(spec, CPU, str(folder))


def test_weights_of_another_model_are_an_error_that_names_both(folder: Path) -> None:
    spec = tiny_clip(folder, overrides={})
    with pytest.raises(EncoderUnavailableError, match=r"tiny\.safetensors .* of ViT-B-32"):
        OpenClipEncoder(spec, CPU, str(folder))


def test_a_tag_alone_is_looked_for_where_open_clips_table_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    spec = OpenClipSpec(kind="openclip", name="x", model="ViT-B-32", pretrained="laion400m_e32")
    with pytest.raises(EncoderUnavailableError, match="ViT-B-32-laion400m_e32"):
        OpenClipEncoder(spec, EncoderConfig(hub_timeout_s=1), str(tmp_path))


def test_a_missing_tokenizer_leaves_an_image_encoder_that_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    text = {**tiny_clip(tmp_path).overrides["text_cfg"], "hf_tokenizer_name": "owner/absent"}
    spec = tiny_clip(tmp_path)
    spec = tiny_clip(tmp_path, overrides={**spec.overrides, "text_cfg": text})
    with caplog.at_level(logging.WARNING, logger="photoorg"):
        encoder = OpenClipEncoder(spec, EncoderConfig(device="cpu", hub_timeout_s=1), str(tmp_path))
    assert not encoder.space.has_text
    assert "no text search" in caplog.text


def test_a_tokenizer_of_the_hub_is_used_where_the_model_names_one(tmp_path: Path) -> None:
    """As SigLIP 2 does; its own has 256,000 pieces, this one a few words."""
    words = ["<pad>", "<unk>", "a", "red", "boat"]
    folder = tmp_path / "owner--words"
    folder.mkdir()
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({word: n for n, word in enumerate(words)}, unk_token="<unk>")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.save(str(folder / "tokenizer.json"))
    named = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(named | {"unk_token": "<unk>"}))
    spec = tiny_clip(tmp_path)
    ours = {"hf_tokenizer_name": "owner/words", "tokenizer_kwargs": {"clean": "canonicalize"}}
    text = {**spec.overrides["text_cfg"], **ours}
    spec = tiny_clip(tmp_path, overrides={**spec.overrides, "text_cfg": text})
    encoder = OpenClipEncoder(spec, CPU, str(tmp_path))
    first, same, other = encoder.encode_texts(["a red boat", "A  red boat!", "boat a red"])
    assert encoder.space.has_text
    np.testing.assert_allclose(first, same, atol=1e-6)
    assert first @ other < 0.9999


def test_cuda_without_a_gpu_is_an_error_that_says_what_to_set(folder: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(EncoderUnavailableError, match=r"encoder\.device"):
        OpenClipEncoder(tiny_clip(folder), EncoderConfig(device="cuda"), str(folder))
