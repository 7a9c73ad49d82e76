"""Photos listed in and read from folders, however odd the folder."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from photoorg.config import SourceConfig, StorageConfig
from photoorg.errors import DecodeError, InputError, NotFoundError, TooLargeError
from photoorg.store.objects import ObjectStore
from photoorg.store.sources import (
    file_uri,
    list_source,
    local_file,
    read_content,
    read_original,
    read_source,
)

SOURCE = SourceConfig()


def put(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def listed(root: Path | str) -> list[str]:
    return [f.uri for f in list_source(str(root), SOURCE)]


def test_files_are_listed_with_size_etag_and_time_in_the_order_of_their_uris(
    tmp_path: Path,
) -> None:
    put(tmp_path, "b.jpg", "a/z.jpg", "a-1.jpg", "a/b/c.jpg", "Z.JPG", "a.jpg")
    files = list(list_source(str(tmp_path), SOURCE))
    uris = [f.uri for f in files]
    assert len(uris) == 6 and uris == sorted(uris)
    assert uris[0] == f"file://{tmp_path}/Z.JPG"
    status = (tmp_path / "Z.JPG").stat()
    assert (files[0].size, files[0].etag) == (5, f"5-{status.st_mtime_ns}")
    assert files[0].modified_at is not None
    assert files[0].modified_at.timestamp() == pytest.approx(status.st_mtime)


def test_a_changed_file_has_another_etag(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    (before,) = list_source(str(tmp_path), SOURCE)
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    (after,) = list_source(str(tmp_path), SOURCE)
    assert before.etag != after.etag


def test_hidden_and_special_files_are_skipped(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg", ".b.jpg", ".git/c.jpg", "d/.e/f.jpg")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    assert listed(tmp_path) == [f"file://{tmp_path}/a.jpg"]


def test_links_are_followed_but_never_in_a_circle(tmp_path: Path) -> None:
    put(tmp_path, "lib/a.jpg", "elsewhere/b.jpg")
    (tmp_path / "lib" / "more").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "lib" / "up").symlink_to(tmp_path)
    (tmp_path / "elsewhere" / "self").symlink_to(tmp_path / "elsewhere")
    found = listed(tmp_path / "lib")
    assert f"file://{tmp_path}/lib/a.jpg" in found
    assert f"file://{tmp_path}/lib/more/b.jpg" in found
    assert len(found) < 10


def test_a_tree_deeper_than_the_recursion_limit_is_listed(tmp_path: Path) -> None:
    depth = 1_200
    here = os.open(tmp_path, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    os.close(os.open("x.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    try:
        assert len(listed(tmp_path)) == 1
    finally:  # pytest's own clean-up of the folder recurses, and would fail at the next session
        subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)


def test_photoorgs_own_storage_is_stepped_over(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    store = ObjectStore(StorageConfig(root=str(tmp_path / "photoorg-data")))
    store.check()
    store.write("default/thumbs/aa/x.webp", b"")
    assert listed(tmp_path) == [f"file://{tmp_path}/a.jpg"]
    with pytest.raises(InputError, match="own storage"):
        listed(tmp_path / "photoorg-data")


@pytest.mark.parametrize("name", ["a b%20#?.jpg", "ü日本.jpg", "new\nline.jpg", "'\"\\.jpg"])
def test_odd_names_are_read_back_by_their_uri(tmp_path: Path, name: str) -> None:
    put(tmp_path, name)
    (uri,) = listed(tmp_path)
    assert uri == f"file://{tmp_path}/{name}"
    assert read_source(uri, SOURCE, max_bytes=100) == name.encode()


def test_a_name_that_is_no_text_has_a_uri_that_is(tmp_path: Path) -> None:
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    try:
        Path(os.fsdecode(raw)).write_bytes(b"body")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    (uri,) = listed(tmp_path)
    assert uri.encode().decode() == uri and uri.endswith("caf%E9.jpg")
    assert read_source(uri, SOURCE, max_bytes=100) == b"body"
    assert file_uri(local_file(uri)) == uri


def test_a_single_file_is_a_source_by_path_and_by_uri(tmp_path: Path) -> None:
    put(tmp_path, "a.jpg")
    expected = [f"file://{tmp_path}/a.jpg"]
    assert listed(tmp_path / "a.jpg") == expected == listed(expected[0])


def test_what_is_not_there_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="nothing"):
        listed(tmp_path / "nothing")
    with pytest.raises(NotFoundError):
        read_source(f"file://{tmp_path}/nothing.jpg", SOURCE, max_bytes=9)
    with pytest.raises(NotFoundError, match=r"folder|not a file"):
        read_source(f"file://{tmp_path}", SOURCE, max_bytes=9)
    with pytest.raises(InputError, match="ftp"):
        listed("ftp://host/x")


def test_no_more_than_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"12345")
    uri = file_uri(tmp_path / "a")
    assert read_source(uri, SOURCE, max_bytes=5) == b"12345"
    with pytest.raises(TooLargeError, match="limit of 4"):
        read_source(uri, SOURCE, max_bytes=4)


def test_originals_are_read_from_the_store_or_from_the_source(tmp_path: Path) -> None:
    store = ObjectStore(StorageConfig(root=str(tmp_path / "store")))
    store.write("t/blobs/aa/x", b"stored")
    put(tmp_path, "a.jpg")
    assert read_original("t/blobs/aa/x", store, SOURCE, max_bytes=9) == b"stored"
    assert read_original(file_uri(tmp_path / "a.jpg"), store, SOURCE, max_bytes=9) == b"a.jpg"


def test_bytes_are_read_from_the_first_place_that_still_has_them(tmp_path: Path) -> None:
    store = ObjectStore(StorageConfig(root=str(tmp_path / "store")))
    photo_id = hashlib.sha256(b"photo").hexdigest()
    places = [file_uri(tmp_path / name) for name in ("gone", "changed", "moved")]
    (tmp_path / "changed").write_bytes(b"other")

    def read(*places: str) -> bytes:
        return read_content(photo_id, places, store, SOURCE, max_bytes=100)

    with pytest.raises(NotFoundError):
        read(*places)
    with pytest.raises(DecodeError, match="was changed"):
        read(*places[:2])
    (tmp_path / "moved").write_bytes(b"photo")
    assert read(*places) == b"photo" and read(places[2]) == b"photo"
    store.write("a/blobs/x", b"photo")
    assert read("a/blobs/gone", "a/blobs/x") == b"photo"
