"""ObjectStore in a folder: whole or absent, inside its root, with clear refusals."""

import errno
import os
import pickle
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from photoorg.config import StorageConfig
from photoorg.errors import ConfigError, InputError, NotFoundError, StorageError
from photoorg.store.local import explain
from photoorg.store.objects import ObjectStore
from photoorg.store.paths import TEMPORARY, checked
from tests.threads import at_once


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path / "root")))


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.rglob("*") if p.is_file())


def test_an_object_is_written_read_measured_and_removed(store: ObjectStore) -> None:
    assert store.size("a/b") is None and not store.exists("a/b")
    assert store.write("a/b", b"one") and store.write("a/b", b"three")
    assert (store.read("a/b"), store.size("a/b"), store.exists("a/b")) == (b"three", 5, True)
    where = store.local_path("a/b")
    assert where is not None and where.read_bytes() == b"three"
    store.delete("a/b")
    store.delete("a/b")
    with pytest.raises(NotFoundError):
        store.read("a/b")
    assert store.presign("a/b", 60) is None


def test_a_conditional_write_leaves_what_is_there(store: ObjectStore) -> None:
    assert store.conditional_writes()
    assert store.write("a", b"first", if_absent=True)
    assert not store.write("a", b"second", if_absent=True)
    assert store.read("a") == b"first"
    assert names(Path(store.root)) == ["a"]


def test_of_many_conditional_writes_at_once_one_wins(store: ObjectStore) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        if store.write("a/race", str(number).encode(), if_absent=True):
            won.append(number)

    at_once(*(partial(write, n) for n in range(8)))
    assert [store.read("a/race")] == [str(n).encode() for n in won]


def test_a_killed_writer_leaves_nothing_but_a_name_that_is_swept(store: ObjectStore) -> None:
    code = (
        "import os, sys\n"
        "from photoorg.config import StorageConfig\n"
        "from photoorg.store.objects import ObjectStore\n"
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "ObjectStore(StorageConfig(root=sys.argv[1])).write('a/b', b'half')\n"
    )
    done = subprocess.run([sys.executable, "-c", code, store.root], timeout=60)
    assert done.returncode == -9
    assert not store.exists("a/b") and list(store.list()) == []
    (left,) = names(Path(store.root))
    assert left.startswith(TEMPORARY)
    assert store.sweep(3600) == 0
    time.sleep(0.05)
    assert store.sweep(0.01) == 1 and names(Path(store.root)) == []


def test_a_reader_never_sees_half_of_an_object(store: ObjectStore) -> None:
    bodies = [bytes([n]) * 200_000 for n in range(2)]
    store.write("a", bodies[0])
    stop = threading.Event()

    def write() -> None:
        for turn in range(60):
            store.write("a", bodies[turn % 2])
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not stop.is_set():
        assert store.read("a") in bodies
    writer.join()


@given(
    st.sets(
        st.lists(st.text("ab-.+é", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
        max_size=12,
    ),
    st.text("ab-/.", max_size=4),
)
def test_listings_are_sorted_as_s3_sorts_them(paths: set[str], prefix: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        store = ObjectStore(StorageConfig(root=folder))
        kept = set()
        for path in sorted(paths):
            try:
                store.write(path, b"")
                kept.add(path)
            except (InputError, NotFoundError, StorageError):
                pass  # a name that is a folder already, or no name at all
        try:
            found = list(store.list(prefix))
        except InputError:
            return
        assert found == sorted(p for p in kept if p.startswith(prefix))


def test_deleting_a_prefix_removes_what_begins_with_it_and_empty_folders(
    store: ObjectStore,
) -> None:
    for path in ("t/a/1", "t/a/2", "t/ab/1", "t/b"):
        store.write(path, b"")
    store.delete_prefix("t/a")
    assert list(store.list()) == ["t/b"]
    assert not Path(store.root, "t/a").exists()
    store.delete_prefix("")
    assert list(store.list()) == [] and Path(store.root).is_dir()


def test_files_go_in_and_out_whole(store: ObjectStore, tmp_path: Path) -> None:
    (tmp_path / "local").write_bytes(b"body")
    store.upload("x/y", tmp_path / "local")
    store.download("x/y", tmp_path / "new" / "copy")
    assert (tmp_path / "new" / "copy").read_bytes() == b"body"
    with pytest.raises(NotFoundError):
        store.download("none", tmp_path / "new" / "none")
    assert names(tmp_path / "new") == ["copy"]


@pytest.mark.parametrize(
    "path", ["", "/", "/etc/x", "..", "../x", "a/../x", "a/..", ".", "a/./b", "a//b", "a/", "a\0b"]
)
def test_paths_out_of_the_store_are_refused(store: ObjectStore, path: str) -> None:
    for use in (
        lambda: store.read(path),
        lambda: store.write(path, b""),
        lambda: store.delete(path),
        lambda: store.exists(path),
        lambda: store.local_path(path),
        lambda: store.presign(path, 1),
        lambda: store.upload(path, Path("x")),
        lambda: store.download(path, Path("x")),
    ):
        with pytest.raises(InputError):
            use()


@given(st.text())
def test_a_checked_path_stays_below_its_root(path: str) -> None:
    try:
        checked(path)
    except InputError:
        return
    assert os.path.normpath(f"/root/{path}").startswith("/root/")


def test_check_makes_the_folder_and_leaves_it_empty_for_readers(store: ObjectStore) -> None:
    store.check()
    store.check()
    assert list(store.list()) == []


def test_a_root_that_is_a_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = ObjectStore(StorageConfig(root=str(tmp_path / "file")))
    for use in (store.check, lambda: store.write("a", b"")):
        with pytest.raises((StorageError, NotFoundError), match="file"):
            use()


@pytest.mark.parametrize(
    ("code", "words", "retryable"),
    [
        (errno.ENOSPC, "no space left", False),
        (errno.EDQUOT, "no space left", False),
        (errno.EACCES, "does not permit", False),
        (errno.EROFS, "does not permit", False),
        (errno.EIO, "failed", True),
        (errno.ENAMETOOLONG, "too long", False),
    ],
)
def test_what_the_system_refuses_is_explained(code: int, words: str, retryable: bool) -> None:
    error = explain(OSError(code, os.strerror(code)), "/data/x")
    assert isinstance(error, StorageError) and words in str(error) and "/data/x" in str(error)
    assert error.fix and error.retryable is retryable


def test_a_refused_write_leaves_the_old_object_and_no_rubbish(store: ObjectStore) -> None:
    store.write("a", b"old")
    with pytest.raises(StorageError):
        store.write("a" * 300, b"too long a name")
    with pytest.raises(StorageError):
        store.upload("a", Path("/proc/self/mem"))  # opens, and fails when it is read
    assert store.read("a") == b"old" and names(Path(store.root)) == ["a"]


def test_a_store_travels_between_processes(store: ObjectStore) -> None:
    store.write("a", b"1")
    assert pickle.loads(pickle.dumps(store)).read("a") == b"1"


@pytest.mark.parametrize("root", ["gs://bucket/x", "http://host/x", "s3://", "s3:///x"])
def test_other_kinds_of_root_are_refused(root: str) -> None:
    with pytest.raises(ConfigError):
        ObjectStore(StorageConfig(root=root))


def test_files_are_listed_with_size_and_time(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    store.check()
    for name in ("b/2", "a/1", "c"):
        store.write(name, name.encode())
    found = list(store.files())
    assert [(f.path, f.size) for f in found] == [("a/1", 3), ("b/2", 3), ("c", 1)]
    assert all(before < f.modified_at <= datetime.now(UTC) for f in found)
    assert [f.path for f in store.files("b/")] == ["b/2"]


def test_a_write_survives_the_removal_of_its_folder_beside_it(store: ObjectStore) -> None:
    """delete_prefix takes empty folders along: also one that a writer has just made."""
    stop = threading.Event()
    failed: list[Exception] = []

    def remove() -> None:
        while not stop.is_set():
            store.delete_prefix("a/b/")

    def write() -> None:
        try:
            for number in range(400):
                store.write(f"a/b/{number}", b"x")
        except Exception as error:
            failed.append(error)
        finally:
            stop.set()

    at_once(remove, write)
    assert failed == []
