"""A trained space stands on another one, and only on that one."""

import numpy as np
import pytest

from photoorg.config import EncoderConfig
from photoorg.encoders.head import ProjectionHead
from photoorg.encoders.spaces import open_encoder
from photoorg.errors import InputError, NoTextSearchError, SpaceMismatchError
from photoorg.learn.export import export_space

CONFIG = EncoderConfig(space="builtin", device="cpu", threads=1)


def head(base: str, dim: int = 512, out: int = 64) -> ProjectionHead:
    rng = np.random.default_rng(0)
    shapes = [(dim, out), (dim, 16), (16,), (16, out)]
    return ProjectionHead(base, *(rng.standard_normal(s).astype(np.float32) for s in shapes))


def opened(file, models_dir):
    return open_encoder(CONFIG.model_copy(update={"space": str(file)}), str(models_dir))


@pytest.fixture
def base():
    return open_encoder(CONFIG, "")


def test_an_exported_head_is_a_space_of_its_own(tmp_path, base):
    projection = head(base.space.id)
    encoder = opened(export_space(projection, "mine", "builtin", tmp_path), tmp_path)
    images = [np.random.default_rng(i).integers(0, 256, (64, 48, 3), np.uint8) for i in range(3)]
    x_nd = encoder.encode_images(images)
    np.testing.assert_allclose(x_nd, projection(base.encode_images(images)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(x_nd, axis=1), 1, atol=1e-5)
    assert encoder.space.dim == 64 and encoder.space.id != base.space.id
    assert encoder.space.preprocessing == base.space.id
    assert encoder.encode_images([]).shape == (0, 64)


def test_other_weights_are_another_space(tmp_path, base):
    first = opened(export_space(head(base.space.id), "mine", "builtin", tmp_path), tmp_path)
    other = head(base.space.id, out=32)
    second = opened(export_space(other, "mine", "builtin", tmp_path / "b"), tmp_path / "b")
    assert first.space.id != second.space.id


def test_a_head_of_another_space_is_refused(tmp_path):
    file = export_space(head("clip-1234"), "mine", "builtin", tmp_path)
    with pytest.raises(SpaceMismatchError, match="clip-1234"):
        opened(file, tmp_path)


def test_text_needs_a_base_with_text(tmp_path, base):
    encoder = opened(export_space(head(base.space.id), "mine", "builtin", tmp_path), tmp_path)
    assert not encoder.space.has_text
    with pytest.raises(NoTextSearchError):
        encoder.encode_texts(["a dog"])


@pytest.mark.parametrize("name", ["", "../x", "Mine", "a b"])
def test_a_name_that_is_none_is_refused(tmp_path, base, name):
    with pytest.raises(InputError):
        export_space(head(base.space.id), name, "builtin", tmp_path)
