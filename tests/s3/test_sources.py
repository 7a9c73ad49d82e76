"""Photos listed in and read from a bucket."""

import pytest
from pydantic import SecretStr

from photoorg.errors import InputError, NotFoundError, StorageError, TooLargeError
from photoorg.store.objects import ObjectStore
from photoorg.store.s3 import S3Bucket, S3Settings
from photoorg.store.sources import list_source, read_original, read_source
from tests.s3server import S3Server

pytestmark = pytest.mark.s3


@pytest.fixture
def filled(s3: S3Server, s3_prefix: str) -> str:
    config = s3.storage(s3_prefix)
    store = ObjectStore(config)
    for name in ("b.jpg", "a/1.jpg", "a/.hidden.jpg", ".trash/x.jpg", "a/2 ü.jpg", "empty"):
        store.write(name, name.encode() if name != "empty" else b"")
    return config.root


def test_shown_objects_are_listed_in_order_with_size_and_etag(s3: S3Server, filled: str) -> None:
    found = list(list_source(filled + "/", s3.source()))
    assert [f.uri.removeprefix(filled) for f in found] == [
        "/a/1.jpg",
        "/a/2 ü.jpg",
        "/b.jpg",
        "/empty",
    ]
    assert [f.size for f in found] == [7, 10, 5, 0]
    assert len({f.etag for f in found}) == 4
    assert all(f.modified_at is not None and f.modified_at.tzinfo for f in found)


def test_one_object_and_a_name_prefix_are_sources_too(s3: S3Server, filled: str) -> None:
    assert [f.uri for f in list_source(filled + "/b.jpg", s3.source())] == [filled + "/b.jpg"]
    assert len(list(list_source(filled + "/a/.hid", s3.source()))) == 0
    assert list(list_source(filled + "/nothing", s3.source())) == []


def test_photoorgs_own_storage_in_the_bucket_is_stepped_over(s3: S3Server, filled: str) -> None:
    config = s3.storage().model_copy(update={"root": filled + "/data"})
    store = ObjectStore(config)
    store.check()
    store.write("default/thumbs/aa/x.webp", b"")
    assert not [f for f in list_source(filled, s3.source()) if "/data/" in f.uri]
    with pytest.raises(InputError, match="own storage"):
        list(list_source(filled + "/data/", s3.source()))


def test_objects_are_read_up_to_the_limit(s3: S3Server, filled: str) -> None:
    uri = filled + "/a/1.jpg"
    assert read_source(uri, s3.source(), max_bytes=7) == b"a/1.jpg"
    assert read_source(filled + "/empty", s3.source(), max_bytes=7) == b""
    with pytest.raises(TooLargeError, match=r"1\.jpg"):
        read_source(uri, s3.source(), max_bytes=6)
    with pytest.raises(NotFoundError):
        read_source(filled + "/none", s3.source(), max_bytes=9)


def test_originals_are_read_from_the_store_or_from_the_source(s3: S3Server, filled: str) -> None:
    config = s3.storage().model_copy(update={"root": filled})
    store = ObjectStore(config)
    source = s3.source()
    assert read_original("b.jpg", store, source, max_bytes=9) == b"b.jpg"
    assert read_original(filled + "/b.jpg", store, source, max_bytes=9) == b"b.jpg"
    with pytest.raises(TooLargeError):
        read_original("b.jpg", store, source, max_bytes=4)
    with pytest.raises(NotFoundError):
        read_original("none", store, source, max_bytes=4)


def test_a_bucket_that_refuses_says_why(s3: S3Server, filled: str) -> None:
    with pytest.raises(StorageError, match="no bucket"):
        list(list_source("s3://nonesuch/", s3.source()))
    stranger = s3.source(access_key=SecretStr(s3.stranger_key))
    with pytest.raises(StorageError, match="not permitted") as caught:
        list(list_source(filled, stranger))
    assert not caught.value.retryable
    with pytest.raises(StorageError, match="not permitted"):
        read_source(filled + "/b.jpg", stranger, max_bytes=9)


def test_keys_of_any_characters_are_listed_and_read(s3: S3Server, s3_prefix: str) -> None:
    bucket = S3Bucket(s3.bucket, S3Settings.of(s3.storage()))
    names = [
        *("a//b.jpg", " lead.jpg", "trail .jpg", "plus+and%20.jpg", "hash#1.jpg", "q?x=1&y.jpg"),
        *("quote'\".jpg", "new\nline.jpg", "ü/é\u0301 .jpg", "back\\slash.jpg", "[1]*.jpg"),
        *("v?versionId=x.jpg", "dir./x.jpg", "~tilde.jpg", "s3://odd.jpg"),
    ]
    for name in names:
        bucket.write(f"{s3_prefix}/{name}", name.encode(), if_absent=False)
    root = f"s3://{s3.bucket}/{s3_prefix}/"
    found = [f.uri for f in list_source(root, s3.source())]
    assert sorted(uri.removeprefix(root) for uri in found) == sorted(names)
    for uri in found:
        assert read_source(uri, s3.source(), max_bytes=99) == uri.removeprefix(root).encode()
