"""The CSV that says which files are duplicates of each other."""

import pytest

from photoorg.cli.evaluate_dedup import read_truth
from photoorg.errors import InputError, NotFoundError


def test_groups_by_file_and_a_blank_one_for_none(tmp_path):
    table = tmp_path / "truth.csv"
    table.write_text("\ufefffile,group,note\na.jpg, g1 ,x\nb.jpg,,\nsub/c.jpg\n")
    assert read_truth(table, tmp_path) == {
        tmp_path / "a.jpg": "g1",
        tmp_path / "b.jpg": "",
        tmp_path / "sub" / "c.jpg": "",
    }


@pytest.mark.parametrize(
    "text",
    [
        "file,group\r\na.jpg,1\r\n\r\nb c.jpg,\r\n",
        'File, Group\n"a.jpg", "1"\n"b c.jpg",\n,\n',
        "group,size,file\n1,3,./a.jpg\n,4,x/../b c.jpg\n",
    ],
)
def test_headers_quotes_and_line_ends_as_other_programs_write_them(tmp_path, text):
    table = tmp_path / "truth.csv"
    table.write_bytes(text.encode())
    assert read_truth(table, tmp_path) == {tmp_path / "a.jpg": "1", tmp_path / "b c.jpg": ""}


def test_a_link_is_the_file_it_is_listed_as(tmp_path):
    (tmp_path / "real.jpg").write_bytes(b"x")
    (tmp_path / "link.jpg").symlink_to(tmp_path / "real.jpg")
    table = tmp_path / "truth.csv"
    table.write_text("file,group\nlink.jpg,1\nreal.jpg,\n")
    assert read_truth(table, tmp_path) == {tmp_path / "link.jpg": "1", tmp_path / "real.jpg": ""}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "columns file and group"),
        ("file,group\n", "columns file and group"),
        ("name,label\na.jpg,1\n", "columns file and group"),
        ("file;group\na.jpg;1\n", "columns file and group"),
        ("file,group\na.jpg,1\n\n,2\n", "line 4 names no file"),
        ("file,group\na.jpg,1\na.jpg,2\n", "in group '2' and in '1'"),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path, text, said):
    table = tmp_path / "truth.csv"
    table.write_text(text)
    with pytest.raises(InputError, match=said):
        read_truth(table, tmp_path)


def test_a_missing_or_binary_file_is_refused(tmp_path):
    with pytest.raises(NotFoundError):
        read_truth(tmp_path / "none.csv", tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_truth(tmp_path, tmp_path)
    binary = tmp_path / "photo.jpg"
    binary.write_bytes(bytes(range(256)))
    with pytest.raises(InputError):
        read_truth(binary, tmp_path)
