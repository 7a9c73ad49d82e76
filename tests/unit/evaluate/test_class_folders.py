import pytest

from photoorg.errors import InputError, NotFoundError
from photoorg.evaluate.class_folders import class_folders


def test_each_folder_is_a_class(tmp_path):
    for name in ("cat", "dog", ".hidden"):
        (tmp_path / name).mkdir()
    (tmp_path / "LICENSE").write_text("text")
    assert [p.name for p in class_folders(tmp_path)] == ["cat", "dog"]


def test_a_single_folder_around_the_classes_is_looked_through(tmp_path):
    for name in ("cat", "dog"):
        (tmp_path / "validation" / name).mkdir(parents=True)
    (tmp_path / "README.md").write_text("text")
    assert [p.name for p in class_folders(tmp_path)] == ["cat", "dog"]


def test_a_folder_without_classes_is_refused(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="each class needs one of its own"):
        class_folders(tmp_path)


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        class_folders(tmp_path / "nowhere")
