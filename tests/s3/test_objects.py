"""ObjectStore against a real S3 server: signatures, conditions, parts, pages."""

import os
import pickle
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from photoorg.config import StorageConfig
from photoorg.errors import ConfigError, InputError, NotFoundError, StorageError
from photoorg.store.objects import ObjectStore
from photoorg.store.s3 import S3Bucket, S3Settings
from tests.s3server import S3Server
from tests.threads import at_once

pytestmark = pytest.mark.s3
MIB = 2**20


def opened(config: StorageConfig) -> ObjectStore:
    return ObjectStore(config)


@pytest.fixture
def store(s3: S3Server, s3_prefix: str) -> ObjectStore:
    return opened(s3.storage(s3_prefix))


def test_an_object_is_written_read_measured_and_removed(store: ObjectStore) -> None:
    assert not store.exists("a/b") and store.size("a/b") is None
    assert store.write("a/b", b"one")
    assert store.write("a/b", b"three")
    assert (store.read("a/b"), store.size("a/b"), store.exists("a/b")) == (b"three", 5, True)
    assert store.local_path("a/b") is None
    store.delete("a/b")
    store.delete("a/b")
    with pytest.raises(NotFoundError, match="a/b"):
        store.read("a/b")


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    store.write("empty", b"")
    assert (store.read("empty"), store.size("empty"), store.exists("empty")) == (b"", 0, True)


@pytest.mark.parametrize("name", ["ü \U0001f4f7.jpg", "a+b%20c#d?e&f=g.jpg", "quote\"s'<>.jpg"])
def test_odd_names_come_back_as_they_are(store: ObjectStore, name: str) -> None:
    store.write(f"odd/{name}", name.encode())
    assert list(store.list("odd/")) == [f"odd/{name}"]
    assert store.read(f"odd/{name}") == name.encode()


def test_the_server_refuses_a_second_conditional_write(store: ObjectStore) -> None:
    assert store.conditional_writes()
    assert store.write("a", b"first", if_absent=True)
    assert not store.write("a", b"second", if_absent=True)
    assert store.read("a") == b"first"


def test_of_many_conditional_writes_at_once_one_wins(s3: S3Server, s3_prefix: str) -> None:
    config = s3.storage()
    bucket = S3Bucket(s3.bucket, S3Settings.of(config))
    won: list[int] = []

    def write(number: int) -> None:
        if bucket.write(f"{s3_prefix}/race", str(number).encode(), if_absent=True):
            won.append(number)

    at_once(*(partial(write, n) for n in range(6)))
    assert len(won) >= 1
    assert bucket.read(f"{s3_prefix}/race") in {str(n).encode() for n in won}


def test_large_bodies_go_in_parts_and_come_back_whole(store: ObjectStore, tmp_path: Path) -> None:
    data = os.urandom(21 * MIB + 13)
    assert store.write("big", data, if_absent=True)
    assert not store.write("big", b"small", if_absent=True)
    assert store.size("big") == len(data) and store.read("big") == data
    (tmp_path / "local").write_bytes(data)
    store.upload("big2", tmp_path / "local")
    store.download("big2", tmp_path / "deep" / "copy")
    assert (tmp_path / "deep" / "copy").read_bytes() == data
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["copy"]


def test_small_and_empty_files_go_up_and_down(store: ObjectStore, tmp_path: Path) -> None:
    for data in (b"", b"x" * 100):
        (tmp_path / "local").write_bytes(data)
        store.upload("f", tmp_path / "local")
        store.download("f", tmp_path / "copy")
        assert (tmp_path / "copy").read_bytes() == data
    with pytest.raises(NotFoundError):
        store.download("none", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_listings_longer_than_a_page_are_complete_and_sorted(store: ObjectStore) -> None:
    names = [f"many/{n % 7}/{n:05d}" for n in range(237)]

    def put(start: int) -> None:
        for name in names[start::16]:
            store.write(name, b"")

    at_once(*(partial(put, n) for n in range(16)))
    assert list(store.list("many/")) == sorted(names)
    assert list(store.list("many/3/")) == sorted(n for n in names if n.startswith("many/3/"))
    store.delete_prefix("many/3/")
    assert list(store.list("many/3")) == []


def test_a_prefix_is_a_text_and_roots_are_kept_apart(s3: S3Server, s3_prefix: str) -> None:
    one, other = opened(s3.storage(s3_prefix)), opened(s3.storage(s3_prefix + "x"))
    one.write("part-1", b"")
    one.write("part-10", b"")
    other.write("part-1", b"")
    assert list(one.list("part-1")) == ["part-1", "part-10"]
    assert list(one.list()) == ["part-1", "part-10"]


def status(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(url)
    caught.value.close()
    return caught.value.code


def test_a_presigned_url_reads_one_object_for_a_while(store: ObjectStore) -> None:
    store.write("a", b"for everyone")
    store.write("b", b"not this")
    url = store.presign("a", 60)
    assert url is not None
    with urllib.request.urlopen(url) as answer:
        assert answer.read() == b"for everyone"
    tampered = [url.replace("/a?", "/b?"), url.replace("X-Amz-Expires=60", "X-Amz-Expires=9999")]
    brief = store.presign("a", 1)
    assert brief is not None and all(t != url for t in tampered)
    time.sleep(2.1)
    assert [status(u) for u in (*tampered, brief)] == [403, 403, 403]
    assert status(url.split("?")[0]) >= 400


def test_a_presigned_url_does_not_hold_the_secret(s3: S3Server, store: ObjectStore) -> None:
    assert s3.secret_key not in str(store.presign("a", 60))


def test_check_passes_and_leaves_only_its_marker(store: ObjectStore) -> None:
    store.check()
    store.check()
    assert list(store.list()) == []


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"secret_key": SecretStr("wrong-secret")}, "does not accept the access key"),
        ({"access_key": SecretStr("test:nobody")}, "does not accept the access key"),
        ({"access_key": SecretStr("test:stranger")}, "not permitted"),
        ({"root": "s3://nonesuch/x"}, "no bucket 'nonesuch'"),
        ({"endpoint_url": "http://127.0.0.1:9", "attempts": 2}, "cannot be reached"),
        ({"endpoint_url": "not a url"}, "not valid"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    s3: S3Server, s3_prefix: str, changes: dict[str, object], sentence: str
) -> None:
    store = opened(s3.storage(s3_prefix, **changes))
    for use in (
        store.check,
        lambda: store.read("a"),
        lambda: store.write("a", b""),
        lambda: store.write("a", b"", if_absent=True),
        lambda: list(store.list()),
        lambda: store.exists("a"),
    ):
        with pytest.raises(StorageError) as caught:
            use()
        assert sentence in str(caught.value) or "not permitted" in str(caught.value)
        assert caught.value.fix
        for secret in (s3.secret_key, "wrong-secret"):
            assert secret not in str(caught.value) + repr(caught.value.__cause__)
    with pytest.raises(StorageError, match=sentence):
        store.write("a", b"")


def test_half_a_credential_is_a_configuration_error(s3: S3Server) -> None:
    with pytest.raises(ConfigError, match="together"):
        opened(s3.storage(secret_key=None))


def test_paths_out_of_the_store_are_refused(store: ObjectStore) -> None:
    for path in ("../x", "/x", "a/../x", "a//b", "", "a/", "."):
        with pytest.raises(InputError):
            store.write(path, b"")


def test_a_store_travels_and_hides_its_secret(s3: S3Server, store: ObjectStore) -> None:
    store.write("a", b"1")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.read("a") == b"1"
    assert s3.secret_key not in repr(copy) + repr(vars(copy)) + str(copy)


def test_a_forked_process_opens_a_connection_of_its_own(store: ObjectStore) -> None:
    store.write("a", b"1")
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if store.read("a") == b"1" else 1)
        except BaseException:
            os._exit(2)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) == 0
            return
        time.sleep(0.05)
    os.kill(child, 9)
    os.waitpid(child, 0)
    pytest.fail("the child hangs on its parent's connections")


def test_unfinished_uploads_in_parts_are_swept(s3: S3Server, store: ObjectStore) -> None:
    bucket = S3Bucket(s3.bucket, S3Settings.of(s3.storage()))
    key = store.root.removeprefix(f"s3://{s3.bucket}/") + "/half"
    bucket._call("create_multipart_upload", key, Key=key)
    assert store.sweep(3600) == 0
    time.sleep(1.1)
    assert store.sweep(0) == 1
    assert store.sweep(0) == 0 and not store.exists("half")


def test_files_of_a_prefix_are_listed_with_size_and_time(store: ObjectStore) -> None:
    before = datetime.now(UTC) - timedelta(seconds=5)
    for name in ("a/1", "b/1", "b/2"):
        store.write(name, name.encode() * 2)
    found = list(store.files("b/"))
    assert [(f.path, f.size) for f in found] == [("b/1", 6), ("b/2", 6)]
    assert all(before < f.modified_at < datetime.now(UTC) + timedelta(seconds=5) for f in found)
