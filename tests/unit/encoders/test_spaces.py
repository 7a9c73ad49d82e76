import importlib.util
import logging
import pickle
from pathlib import Path
from typing import Any

import pytest
import yaml

from photoorg.config import EncoderConfig
from photoorg.encoders.spaces import (
    AUTO_SPACE,
    InsightFaceSpec,
    OnnxSpec,
    OpenClipSpec,
    choose_spec,
    list_specs,
    load_spec,
    open_encoder,
    open_face_encoder,
)
from photoorg.errors import ConfigError, EncoderUnavailableError

ONNX = {
    "kind": "onnx",
    "weights": {"file": "model.onnx"},
    "preprocessing": {"size": 224},
}
SHIPPED = [
    "builtin",
    "clip-vit-b-32-laion2b",
    "faces-buffalo_l",
    "faces-mobilefacenet",
    "mobileclip-s2",
    "mobilenetv2",
    "siglip2-base",
]


def write(folder: Path, file_name: str = "mine.yaml", **keys: Any) -> Path:
    path = folder / file_name
    path.write_text(yaml.safe_dump(keys), encoding="utf-8")
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A hub that refuses at once, and no cache of it."""
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    pytest.importorskip("huggingface_hub")
    hub = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_every_shipped_space_is_valid_and_named_by_its_file() -> None:
    assert set(SHIPPED) <= set(list_specs())
    for name in SHIPPED:
        assert load_spec(name).name == name


def test_shipped_spaces_are_found_from_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_spec("builtin").kind == "builtin"


def test_a_space_beside_the_user_goes_before_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "configs" / "spaces"
    folder.mkdir(parents=True)
    write(folder, "builtin.yaml", **ONNX)
    monkeypatch.chdir(tmp_path)
    assert load_spec("builtin").kind == "onnx"


def test_a_path_is_loaded_and_named_by_its_stem(tmp_path: Path) -> None:
    spec = load_spec(write(tmp_path, "my-space.yaml", **ONNX))
    assert isinstance(spec, OnnxSpec)
    assert spec.name == "my-space"
    assert load_spec(write(tmp_path, "a.yaml", **ONNX)) == pickle.loads(
        pickle.dumps(load_spec(tmp_path / "a.yaml"))
    )


def test_an_unknown_name_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"no space called 'nope'.*builtin.*mobilenetv2"):
        load_spec("nope")


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml"):
        load_spec(tmp_path / "absent.yaml")


@pytest.mark.parametrize("text", ["- a\n- b\n", "kind: [", "\x00"])
def test_a_file_that_is_no_mapping_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_spec(path)


@pytest.mark.parametrize(
    ("keys", "where"),
    [
        ({**ONNX, "typo": 1}, "onnx.typo: there is no such key"),
        ({**ONNX, "kind": "magic"}, "magic"),
        ({"weights": {"file": "x"}}, "kind"),
        ({**ONNX, "preprocessing": {"size": 0}}, "onnx.preprocessing.size"),
        ({**ONNX, "preprocessing": {"size": 9, "std": [1, 0, 1]}}, "std must be above 0"),
        ({**ONNX, "preprocessing": {"size": 9, "resize_to": 8}}, "resize_to must not be below"),
        ({**ONNX, "weights": {"file": "x", "sha256": "abc"}}, "onnx.weights.sha256"),
        ({**ONNX, "weights": {"file": "x", "url": "file:///etc"}}, "onnx.weights.url"),
        ({"kind": "openclip", "model": "ViT-B-32"}, "give `pretrained`"),
        ({"kind": "insightface"}, "give either `pack`"),
        ({"kind": "insightface", "detector": {"file": "x"}}, "give either `pack`"),
        ({"kind": "builtin", "name": "../up"}, "builtin.name"),
    ],
)
def test_a_wrong_key_is_named_by_its_path(tmp_path: Path, keys: Any, where: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_spec(write(tmp_path, **keys))
    assert where in str(error.value)
    assert "mine.yaml" in str(error.value)


def test_one_weights_file_or_a_list_of_alternatives(tmp_path: Path) -> None:
    one = load_spec(write(tmp_path, kind="openclip", model="m", weights={"file": "a"}))
    two = load_spec(
        write(tmp_path, kind="openclip", model="m", weights=[{"file": "a"}, {"file": "b"}])
    )
    assert isinstance(one, OpenClipSpec) and isinstance(two, OpenClipSpec)
    assert [w.file for w in one.weights] == ["a"]
    assert [w.file for w in two.weights] == ["a", "b"]


def test_auto_without_weights_or_network_is_builtin_and_says_once_what_is_lost(
    offline: None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        encoder = open_encoder(EncoderConfig(hub_timeout_s=5), str(tmp_path))
    assert encoder.space.name == "builtin"
    assert not encoder.space.has_text
    (record,) = caplog.records
    for part in ("no text search", "similarity is weaker", AUTO_SPACE, str(tmp_path)):
        assert part in record.getMessage()


def test_auto_is_clip_where_its_weights_are_here(offline: None, tmp_path: Path) -> None:
    pytest.importorskip("open_clip")
    clip = load_spec(AUTO_SPACE)
    assert isinstance(clip, OpenClipSpec)
    (tmp_path / clip.weights[0].file).write_bytes(b"present")
    assert choose_spec(EncoderConfig(), str(tmp_path)) == clip


def test_auto_is_builtin_where_torch_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == "torch" else real(name, *a)
    )
    assert choose_spec(EncoderConfig(), str(tmp_path)).kind == "builtin"
    assert "photoorg[clip]" in caplog.text


def test_a_space_that_was_asked_for_by_name_is_never_replaced(tmp_path: Path) -> None:
    with pytest.raises(EncoderUnavailableError, match=r"mobilenetv2_int8w.*is not in"):
        open_encoder(EncoderConfig(space="mobilenetv2"), str(tmp_path))


def test_a_face_space_is_no_image_space_nor_the_other_way_round(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"encoder\.faces"):
        open_encoder(EncoderConfig(space="faces-buffalo_l"), str(tmp_path))
    with pytest.raises(ConfigError, match="insightface"):
        open_face_encoder(EncoderConfig(faces="builtin"), str(tmp_path))


def test_detector_sizes_fit_the_detectors_strides(tmp_path: Path) -> None:
    pack = {"kind": "insightface", "pack": {"file": "p.zip"}}
    spec = load_spec(write(tmp_path, **pack, detector_sizes=[320]))
    assert isinstance(spec, InsightFaceSpec) and spec.detector_sizes == (320,)
    with pytest.raises(ConfigError, match="multiples of 32"):
        load_spec(write(tmp_path, **pack, detector_sizes=[100]))
