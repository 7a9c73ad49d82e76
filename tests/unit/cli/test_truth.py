"""The CSV that says which files are duplicates of each other."""

import pytest

from photoorg.cli.evaluate_dedup import by_file, read_truth
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


def test_names_in_full_and_through_a_link_to_the_folder(tmp_path):
    folder, other = tmp_path / "photos", tmp_path / "other"
    folder.mkdir()
    other.symlink_to(folder)
    table = tmp_path / "truth.csv"
    table.write_text(f"file,group\n{folder}/a.jpg,1\n{other}/b.jpg,1\n{folder}/a.jpg,1\n")
    assert read_truth(table, folder) == {folder / "a.jpg": "1", folder / "b.jpg": "1"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "columns file and group"),
        ("file,group\n", "columns file and group"),
        ("name,label\na.jpg,1\n", "columns file and group"),
        ("file;group\na.jpg;1\n", "columns file and group"),
        ("file,group\na.jpg,1\n\n,2\n", "line 4 names no file"),
        ("file,group\na.jpg,1\na.jpg,2\n", "in group '2' and in '1'"),
        ("file,group\na.jpg,1\n/elsewhere/b.jpg,1\n", "line 3: /elsewhere/b.jpg is not in"),
        ("file,group\n../b.jpg,1\n", "line 2: ../b.jpg is not in"),
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


def test_files_of_the_same_bytes_are_one_item(tmp_path):
    files = {tmp_path / f"{n}.jpg": "" if n == 2 else "x" for n in range(5)}
    photos = {str(tmp_path / f"{n}.jpg"): "p" if n < 4 else "q" for n in range(5)}
    told = by_file(files | {tmp_path / "unread.jpg": "x"}, photos, {("p", "q"): 0.9}, {})
    assert (told.labels, told.counts) == (["x", "", "x", "x"], [3, 1, 1, 1])
    assert told.found == {(0, 0), (0, 1), (0, 2), (1, 2)}
    assert told.confidence == {(0, 0): 1.0, (0, 1): 1.0, (0, 2): 0.9, (1, 2): 0.9}
