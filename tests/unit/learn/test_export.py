"""Where a trained space goes is asked before anybody trains for it."""

import pytest

from photoorg.errors import InputError, StorageError
from photoorg.learn.export import new_file


def test_a_new_space_goes_where_models_are(tmp_path):
    folder = tmp_path / "models"
    assert new_file("mine-2", folder) == folder / "mine-2.yaml"
    assert folder.is_dir()


@pytest.mark.parametrize("name", ["", "bad/name", "..", "../up", "Größe", "a b", "x" * 64])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    with pytest.raises(InputError, match="cannot name a space"):
        new_file(name, tmp_path)


def test_a_name_that_is_taken_is_refused(tmp_path):
    (tmp_path / "mine.yaml").write_text("kind: projected")
    with pytest.raises(InputError, match="already"):
        new_file("mine", tmp_path)


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written"):
        new_file("mine", tmp_path / "file" / "models")
