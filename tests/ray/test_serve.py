"""The whole application under real Ray Serve, behind HAProxy where there is one."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from photoorg.config import DatabaseConfig
from photoorg.store.catalog import Catalog, delta, photos
from tests.pictures import jpeg

pytestmark = [pytest.mark.ray, pytest.mark.postgres, pytest.mark.slow, pytest.mark.timeout(600)]

START_S = 240
APART = {"placement": "deployment"}


def settings(tmp_path: Path, database: str, **serve: object) -> Path:
    """A configuration file for a server on a free port, with the encoder that needs no weights."""
    path = tmp_path / "config.yaml"
    data = {
        "storage": {"root": str(tmp_path / "store")},
        "database": {"url": database},
        "encoder": {"space": "builtin"},
        "index": {"shards": 2},
        # A busy machine is slow, not broken: what is asserted to be whole must have time to be.
        "search": {"deadline_ms": 30_000},
        "serve": {"port": 0, "max_upload_bytes": 5_000_000, **serve},
    }
    path.write_text(yaml.safe_dump(data))
    return path


class Server:
    """`python -m serve.run` in a process of its own, and all the processes under it."""

    def __init__(self, config: Path, log: Path) -> None:
        self.config = config
        env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PHOTOORG_"))}
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "serve.run", str(config)],
                cwd=Path(__file__).resolve().parents[2],
                env=env,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        try:
            self.url = self._url(log)
        except BaseException:
            self.kill()
            raise
        self.client = httpx.Client(base_url=self.url, timeout=60, trust_env=False)

    def _url(self, log: Path) -> str:
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(START_S):
                raise AssertionError(f"no start within {START_S} s: {log.read_text()[-3000:]}")
        line = self.process.stdout.readline()
        assert line.startswith("photoorg answers at "), log.read_text()[-3000:]
        return line.split()[3]

    def family(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *self._under(self.process.pid)]

    def _under(self, pid: int) -> list[psutil.Process]:
        return psutil.Process(pid).children(recursive=True)

    def named(self, name: str) -> list[psutil.Process]:
        return [p for p in self.family() if name in " ".join(_cmdline(p))]

    def stop(self) -> int:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def kill(self) -> None:
        """kill -9 for every process, as a power cut would."""
        family = self.family() if self.process.poll() is None else []
        for process in family:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue
        psutil.wait_procs(family, timeout=60)
        self.process.wait(60)


def _cmdline(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def running(config: Path) -> Iterator[Server]:
    server = Server(config, config.with_suffix(".log"))
    try:
        yield server
    finally:
        if server.process.poll() is None:
            server.kill()


@pytest.fixture(scope="module")
def module_url(postgres_url, migrated_template) -> Iterator[str]:
    from tests.postgres import _database

    yield from _database(postgres_url, migrated_template)


@pytest.fixture(scope="module")
def server(tmp_path_factory, module_url) -> Iterator[Server]:
    """Everything in one ingress replica, as on a laptop."""
    config = settings(tmp_path_factory.mktemp("inline"), module_url, upload_lease_s=2)
    with running(config) as server:
        yield server


def upload(server: Server, data: bytes, name: str = "a.jpg") -> str:
    answer = server.client.post("/v1/photos", files={"file": (name, data)})
    assert answer.status_code in (200, 202), answer.text
    return answer.json()["photo_id"]


def eventually(check: Callable[[], bool], what: str, seconds: float = 180) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


def ready(server: Server, photo_id: str) -> bool:
    return server.client.get(f"/v1/photos/{photo_id}").json()["status"] == "ready"


def found(server: Server, photo_id: str) -> dict:
    answer = server.client.get(f"/v1/photos/{photo_id}/similar", params={"top_k": 50})
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(answer: dict) -> set[str]:
    folded = {f for hit in answer["results"] for f in hit["folded"]}
    return {hit["photo_id"] for hit in answer["results"]} | folded


def test_an_upload_is_found_seconds_later_and_a_deleted_photo_no_more(server):
    one, two = upload(server, jpeg(1), "IMG_1.jpg"), upload(server, jpeg(2))
    eventually(lambda: ready(server, one) and ready(server, two), "both are processed")
    assert ids(found(server, one)) == {two}
    whole = server.client.post("/v1/search", files={"image": ("q.jpg", jpeg(1))}).json()
    assert whole["results"][0]["photo_id"] == one and not whole["partial"]
    assert whole["results"][0]["explanations"][0] == "near-identical"
    box = json.dumps({"x": 0, "y": 0, "width": 80, "height": 60})
    part = {"image": ("q.jpg", jpeg(1))}
    assert server.client.post("/v1/search", files=part, data={"bbox": box}).status_code == 200
    thumbnail = server.client.get(f"/v1/photos/{one}/thumbnail")
    assert thumbnail.headers["content-type"] == "image/webp" and thumbnail.content[:4] == b"RIFF"
    assert server.client.delete(f"/v1/photos/{two}").status_code == 204
    assert two not in ids(found(server, one))
    again = upload(server, jpeg(2))
    assert again == two
    eventually(lambda: two in ids(found(server, one)), "the photo is back")


def test_neighbours_that_are_remembered_are_never_those_of_yesterday(server):
    """Everybody looks at `hot`; what was found for it must go with every change."""
    hot, near, far = (upload(server, jpeg(n)) for n in (30, 31, 32))
    eventually(lambda: all(ready(server, i) for i in (hot, near, far)), "all are processed")
    before = remembered(server)
    seen = [ids(found(server, hot)) for _ in range(3)]
    assert seen[0] == seen[1] == seen[2] >= {near, far}
    eventually(lambda: remembered(server) > before, "it was asked before")
    assert server.client.delete(f"/v1/photos/{near}").status_code == 204
    assert near not in ids(found(server, hot)) and near not in ids(found(server, hot))
    new = upload(server, jpeg(33))
    eventually(lambda: new in ids(found(server, hot)), "an upload is found")
    assert server.client.post(f"/v1/photos/{far}/trash").status_code == 200
    assert far not in ids(found(server, hot))
    assert server.client.post(f"/v1/photos/{far}/restore").status_code == 200
    eventually(lambda: far in ids(found(server, hot)), "a photo comes back from the trash")
    space = found(server, hot)["space"]
    cutoffs = {"cutoffs": {"search.image": 0.9999, "search.image.floor": 0.9999}}
    assert server.client.put("/v1/calibration/search", json=cutoffs).status_code == 200
    auto = {"top_k": 50, "cutoff": "auto"}

    def strict() -> bool:
        answer = server.client.get(f"/v1/photos/{hot}/similar", params=auto).json()
        assert answer["space"] == space
        return not answer["results"]

    eventually(strict, "a new cutoff counts within half a minute")
    assert server.client.post("/v1/calibration/undo").status_code == 200


def remembered(server: Server) -> float:
    """How often neighbours came out of memory."""
    lines = server.client.get("/v1/metrics").text.splitlines()
    name = "photoorg_neighbour_cache_requests"
    return sum(float(x.split()[-1]) for x in lines if x.startswith(name) and 'outcome="hit"' in x)


def test_many_clients_at_once_all_get_their_answer(server):
    one = upload(server, jpeg(1))
    eventually(lambda: ready(server, one), "it is processed")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: found(server, one)["partial"], range(100)))
    assert answers == [False] * 100


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"/v1/photos/{'0' * 64}", 404),
        ("GET", "/v1/nothing", 404),
        ("PUT", "/v1/photos", 405),
        ("GET", f"/v1/photos/{'0' * 64}/similar?top_k=0", 422),
        ("GET", f"/v1/photos/{'0' * 64}/similar?top_k=10000", 422),
        ("GET", "/v1/search?q=sea", 422),
    ],
)
def test_errors_reach_the_client_as_problems(server, method, path, status):
    answer = server.client.request(method, path, headers={"X-Request-ID": "abc-1"})
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"] == "abc-1"


def test_a_gigabyte_is_refused_early_whether_it_is_declared_or_not(server):
    host, port = server.url.removeprefix("http://").split(":")
    head = (
        f"POST /v1/photos HTTP/1.1\r\nHost: {host}\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n"
    )
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.jpg"\r\n\r\n'
    for framing, chunked in (
        ("Content-Length: 1000000000", False),
        ("Transfer-Encoding: chunked", True),
    ):
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(f"{head}{framing}\r\n\r\n".encode())
            sent, answer = _pour(connection, part, chunked)
        assert b" 413 " in answer.split(b"\r\n", 1)[0], answer[:200]
        assert b"too-large" in answer and sent < 200_000_000


def _pour(connection: socket.socket, first: bytes, chunked: bool) -> tuple[int, bytes]:
    """Send a gigabyte until an answer comes; how much was sent, and the answer."""
    sent, piece = 0, bytes(1_000_000)
    connection.setblocking(False)
    pending = _frame(first, chunked)
    answer = b""
    end = time.monotonic() + 60
    with selectors.DefaultSelector() as selector:
        selector.register(connection, selectors.EVENT_READ | selectors.EVENT_WRITE)
        while b"}" not in answer and time.monotonic() < end:
            ((_, events),) = selector.select(60) or [(None, 0)]
            try:
                if events & selectors.EVENT_READ:
                    answer += connection.recv(65536)
                    continue
                if events & selectors.EVENT_WRITE and sent < 1_000_000_000:
                    written = connection.send(pending)
                    sent += written
                    pending = pending[written:] or _frame(piece, chunked)
            except BlockingIOError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                # What was answered before the connection was closed can still be read.
                with contextlib.suppress(OSError):
                    while got := connection.recv(65536):
                        answer += got
                break
    return sent, answer


def _frame(data: bytes, chunked: bool) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n" if chunked else data


def test_readiness_and_metrics_answer(server):
    body = server.client.get("/v1/health/ready").json()
    assert body["status"] == "ready", body
    assert set(body["checks"]) == {"database", "storage", "encoder", "shards"}
    text = server.client.get("/v1/metrics").text
    assert "photoorg_http_requests_total" in text and "photoorg_upload_queue_depth" in text


def test_http_is_heard_on_this_machine_only(server):
    names = ("haproxy", "ServeReplica", "ProxyActor")
    listening = {
        (connection.laddr.ip, name)
        for name in names
        for process in server.named(name)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and _speaks_http(connection.laddr)
    }
    assert listening and {ip for ip, _ in listening} == {"127.0.0.1"}


def _speaks_http(address) -> bool:
    ip = "127.0.0.1" if address.ip in ("0.0.0.0", "::") else address.ip
    try:
        httpx.get(f"http://{ip}:{address.port}/", timeout=5, trust_env=False)
    except httpx.HTTPError:
        return False
    return True


def test_a_port_in_use_is_a_sentence(tmp_path, catalog_url):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        config = settings(tmp_path, catalog_url, port=taken.getsockname()[1])
        done = _refused(config)
    assert "cannot be used" in done.stderr and "serve.port" in done.stderr


def test_an_address_strangers_can_reach_is_refused(tmp_path, catalog_url):
    done = _refused(settings(tmp_path, catalog_url, host="0.0.0.0"))
    assert "without authentication" in done.stderr and "allow_public" in done.stderr


def _refused(config: Path) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [sys.executable, "-m", "serve.run", str(config)],
        cwd=Path(__file__).resolve().parents[2],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    return done


def test_uploads_survive_kill_9_and_are_processed_once(server, module_url):
    """The last test of the module: it kills the server of those before it."""
    with Catalog(module_url, DatabaseConfig()) as catalog:
        with catalog.tenant("default") as tx:
            before = set(photos.live_ids(tx))
            start = delta.head(tx)
        accepted = [upload(server, jpeg(n)) for n in range(200, 208)]
        server.kill()
        with running(server.config) as second:
            eventually(lambda: all(ready(second, i) for i in accepted), "all uploads are processed")
            assert ids(found(second, accepted[0])) == before | set(accepted[1:])
            assert second.stop() == 0
        with catalog.tenant("default") as tx:
            assert set(photos.live_ids(tx)) == before | set(accepted)
            events = delta.since(tx, photos_space(tx), start)
    assert sorted(e.photo_id for e in events) == sorted(accepted)


def photos_space(tx) -> str:
    from photoorg.store.catalog import spaces

    space = spaces.get_default(tx, "image")
    assert space is not None
    return space.id
