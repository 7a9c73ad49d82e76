"""The S3 client against a server that answers as a script says: refusals, cuts and odd servers."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from pydantic import SecretStr

from photoorg.config import StorageConfig
from photoorg.errors import NotFoundError, StorageError
from photoorg.store.objects import ObjectStore
from photoorg.store.s3 import S3Bucket, S3Settings
from tests.unit.stages.test_full_disk import fill, small_disk

__all__ = ["small_disk"]
Answer = tuple[int, bytes]
Script = Callable[["Handler"], Answer]
MISSING = (404, b"")


def error(status: int, code: str) -> Answer:
    return status, f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()


class Handler(BaseHTTPRequestHandler):
    """Notes each request and answers as the server's script says; status 0 hangs up."""

    server: "Server"
    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append(self)
        status, body = self.server.script(self)
        if status == 0:
            self.close_connection = True
            return
        cut = 1 if status == 299 else 0  # promises one byte more than it sends
        self.send_response(200 if cut else status)
        self.send_header("Content-Length", str(len(body) + cut))
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Wed, 01 May 2024 12:00:00 GMT")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        if cut:
            self.close_connection = True

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = answer

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    requests: list[Handler]
    script: Script


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def config(server: Server) -> StorageConfig:
    return StorageConfig(
        root="s3://bucket/prefix",
        endpoint_url=f"http://127.0.0.1:{server.server_port}",
        access_key=SecretStr("key"),
        secret_key=SecretStr("secret"),
        addressing_style="path",
        attempts=3,
        read_timeout_s=5,
    )


@pytest.fixture
def store(config: StorageConfig) -> ObjectStore:
    return ObjectStore(config)


def in_turn(*answers: Answer) -> Script:
    waiting = iter(answers)
    return lambda _: next(waiting)


@pytest.mark.parametrize(
    "trouble", [error(503, "SlowDown"), error(500, "InternalError"), (0, b""), (502, b"<html>")]
)
def test_a_request_is_repeated_until_the_server_recovers(
    server: Server, store: ObjectStore, trouble: Answer
) -> None:
    server.script = in_turn(trouble, trouble, (200, b""))
    assert store.write("a", b"body")
    assert [r.command for r in server.requests] == ["PUT"] * 3


def test_an_answer_that_was_cut_short_is_asked_for_again(
    server: Server, store: ObjectStore
) -> None:
    server.script = in_turn((299, b"hal"), (200, b"half"))
    assert store.read("a") == b"half"


def test_repeating_comes_to_an_end(server: Server, store: ObjectStore) -> None:
    server.script = lambda _: error(503, "SlowDown")
    with pytest.raises(StorageError) as caught:
        store.write("a", b"body")
    assert len(server.requests) == 3 and caught.value.retryable


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (error(403, "AccessDenied"), StorageError),
        (error(403, "SignatureDoesNotMatch"), StorageError),
        (error(404, "NoSuchKey"), NotFoundError),
        (error(404, "NoSuchBucket"), StorageError),
        (error(400, "InvalidRequest"), StorageError),
    ],
)
def test_a_refusal_is_not_repeated(
    server: Server, store: ObjectStore, answer: Answer, kind: type[Exception]
) -> None:
    server.script = lambda _: answer
    with pytest.raises(kind):
        store.read("a")
    assert len(server.requests) == 1


def test_a_server_without_conditional_writes_is_noticed(server: Server, store: ObjectStore) -> None:
    for answer in ((200, b""), error(501, "NotImplemented")):

        def script(request: Handler, answer: Answer = answer) -> Answer:
            if "If-None-Match" in request.headers:
                return answer
            return (200, b"photoorg") if request.command == "GET" else (200, b"")

        server.script = script
        assert not store.conditional_writes()


def test_where_conditions_are_unknown_only_the_look_before_protects(
    server: Server, store: ObjectStore
) -> None:
    def script(request: Handler) -> Answer:
        if request.command == "HEAD":
            return (200, b"") if request.path.count("/") < 3 else MISSING
        return error(501, "NotImplemented") if "If-None-Match" in request.headers else (200, b"")

    server.script = script
    assert store.write("a", b"body", if_absent=True)
    assert server.requests[-1].command == "PUT"
    server.script = lambda _: (200, b"")
    sent = len(server.requests)
    assert not store.write("a", b"body", if_absent=True)
    assert [r.command for r in server.requests[sent:]] == ["HEAD"]


def test_another_writer_at_the_same_moment_is_a_no_not_an_error(
    server: Server, store: ObjectStore
) -> None:
    server.script = lambda r: (
        error(412, "PreconditionFailed")
        if r.command == "PUT"
        else (200 if r.path.count("/") < 3 else 404, b"")
    )
    assert not store.write("a", b"body", if_absent=True)


@pytest.mark.parametrize("there", [True, False])
def test_a_conflict_is_tried_again_and_then_looked_at(
    server: Server, store: ObjectStore, there: bool
) -> None:
    """The other writer may have failed, or it may have been a removal."""
    puts: list[str] = []

    def script(request: Handler) -> Answer:
        if request.command == "PUT":
            puts.append(request.path)
            return error(409, "ConditionalRequestConflict")
        return (200 if request.path.count("/") < 3 or (puts and there) else 404), b""

    server.script = script
    if there:
        assert not store.write("a", b"body", if_absent=True)
    else:
        with pytest.raises(StorageError) as caught:
            store.write("a", b"body", if_absent=True)
        assert caught.value.retryable
    assert len(puts) == 3


def test_a_conflict_that_passes_is_a_write(server: Server, store: ObjectStore) -> None:
    puts = iter([error(409, "ConditionalRequestConflict"), (200, b"")])
    server.script = lambda r: (
        next(puts) if r.command == "PUT" else (200 if r.path.count("/") < 3 else 404, b"")
    )
    assert store.write("a", b"body", if_absent=True)


def test_every_page_of_unfinished_uploads_is_swept(server: Server, store: ObjectStore) -> None:
    def page(key: str, more: bool) -> bytes:
        following = (
            f"<NextKeyMarker>{key}</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>"
        )
        return (
            "<ListMultipartUploadsResult>"
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{following if more else ''}"
            f"<Upload><Key>{key}</Key><UploadId>u</UploadId>"
            "<Initiated>2020-01-01T00:00:00.000Z</Initiated></Upload>"
            "</ListMultipartUploadsResult>"
        ).encode()

    gone: list[str] = []

    def script(request: Handler) -> Answer:
        if request.command == "DELETE":
            gone.append(request.path.partition("?")[0])
            return 204, b""
        return 200, page("b", False) if "key-marker=a" in request.path else page("a", True)

    server.script = script
    assert store.sweep(3600) == 2
    assert gone == ["/bucket/a", "/bucket/b"]


def test_an_upload_whose_last_answer_was_lost_has_succeeded(
    server: Server, config: StorageConfig, tmp_path: Path
) -> None:
    size = 17 * 2**20
    (tmp_path / "big").write_bytes(b"x" * size)
    completions: list[int] = []

    def script(request: Handler) -> Answer:
        if request.command == "POST" and "uploads" in request.path:
            return 200, b"<R><UploadId>u</UploadId></R>"
        if request.command == "POST":
            completions.append(1)
            return (0, b"") if len(completions) == 1 else error(404, "NoSuchUpload")
        if request.command == "HEAD":
            return 200, b"x" * size
        return 200, b""

    server.script = script
    bucket = S3Bucket("bucket", S3Settings.of(config))
    bucket.upload("big", tmp_path / "big")
    assert len(completions) == 2
    assert not [r for r in server.requests if r.command == "DELETE"]


def test_a_failed_upload_in_parts_is_given_up_whole(
    server: Server, store: ObjectStore, tmp_path: Path
) -> None:
    (tmp_path / "big").write_bytes(b"x" * (17 * 2**20))

    def script(request: Handler) -> Answer:
        if request.command == "POST":
            return 200, b"<R><UploadId>u</UploadId></R>"
        if request.command == "DELETE":
            return 204, b""
        return error(403, "AccessDenied") if "partNumber=2" in request.path else (200, b"")

    server.script = script
    with pytest.raises(StorageError, match="not permitted"):
        store.upload("big", tmp_path / "big")
    assert "uploadId=u" in server.requests[-1].path and server.requests[-1].command == "DELETE"


def test_a_web_site_is_told_from_an_object_store(server: Server, store: ObjectStore) -> None:
    for answer in (404, 405):
        server.script = in_turn(*[(answer, b"<!doctype html><p>Welcome<br>")] * 9)
        for use in (lambda: list(store.list()), lambda: store.write("a", b""), store.check):
            with pytest.raises(StorageError, match="not as an S3 server") as caught:
                use()
            assert "endpoint_url" in caught.value.fix


def test_no_credentials_are_said_to_be_missing(
    server: Server, config: StorageConfig, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    ambient = config.model_copy(update={"access_key": None, "secret_key": None})
    with pytest.raises(StorageError, match="no S3 credentials"):
        ObjectStore(ambient).write("a", b"")
    assert server.requests == []


def test_ambient_credentials_are_used_where_none_are_configured(
    server: Server, config: StorageConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "ambientkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    ambient = config.model_copy(update={"access_key": None, "secret_key": None})
    server.script = lambda _: (200, b"")
    ObjectStore(ambient).write("a", b"")
    assert "Credential=ambientkey/" in server.requests[0].headers["Authorization"]


def test_a_download_onto_a_full_disk_is_told_in_words(
    server: Server, store: ObjectStore, small_disk: Path
) -> None:
    size = 100_000
    server.script = lambda r: (206 if "Range" in r.headers else 200, b"x" * size)
    fill(small_disk)
    with pytest.raises(StorageError, match="no space left"):
        store.download("a", small_disk / "a")
    assert [p.name for p in small_disk.iterdir()] == ["filler"]
