"""A real S3 server for tests: OpenStack Swift with its S3 API, in an environment of its own.

Its environment is the folder .venv-s3 beside pyproject.toml, made on first use (some 15 s).
"""

import fcntl
import json
import os
import secrets
import selectors
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from photoorg.config import SourceConfig, StorageConfig

ROOT = Path(__file__).resolve().parent.parent
SERVER = Path(__file__).with_name("swift_server.py")
ENVIRONMENT = ROOT / ".venv-s3"
START_S = 60


@dataclass(frozen=True)
class S3Server:
    """Where the server is, and who may use it; `stranger_key` has the same secret and no rights."""

    endpoint: str
    access_key: str
    secret_key: str
    stranger_key: str
    bucket: str
    region: str = "us-east-1"

    def storage(self, prefix: str = "", **changes: object) -> StorageConfig:
        """A storage section for the test bucket under a prefix, which is created by writing."""
        root = f"s3://{self.bucket}/{prefix}".rstrip("/")
        return StorageConfig.model_validate({"root": root, **self._reach(), **changes})

    def source(self, **changes: object) -> SourceConfig:
        """A source section for reading from the server."""
        return SourceConfig.model_validate({**self._reach(), **changes})

    def _reach(self) -> dict[str, object]:
        return {
            "endpoint_url": self.endpoint,
            "region": self.region,
            "access_key": SecretStr(self.access_key),
            "secret_key": SecretStr(self.secret_key),
            "addressing_style": "path",
        }


class Swift:
    """A server over a folder, which can be killed and started again at the same address."""

    def __init__(self, folder: Path) -> None:
        _require_xattr(folder)
        self._python = _environment()
        self._folder = folder
        self._port = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._secret = secrets.token_hex(16)

    def start(self) -> S3Server:
        """Start it with what the folder holds, and a bucket."""
        log = self._folder / "log"
        with log.open("ab") as stderr:
            self._process = subprocess.Popen(
                [self._python, SERVER, self._folder, *([self._port] if self._port else [])],
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={**os.environ, "SWIFT_SECRET": self._secret},
            )
        endpoint = _endpoint(self._process, log)
        server = S3Server(endpoint, "test:owner", self._secret, "test:stranger", "photos")
        if not self._port:
            _make_bucket(server)
        self._port = endpoint.rpartition(":")[2]
        return server

    def stop(self) -> None:
        """Kill it: whoever asks next is refused."""
        if self._process is None:
            return
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._process = None


@pytest.fixture(scope="session")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A running server with one bucket; skips, saying why, where it cannot be had."""
    swift = Swift(tmp_path_factory.mktemp("swift"))
    try:
        yield swift.start()
    finally:
        swift.stop()


@pytest.fixture
def swift(tmp_path: Path) -> Iterator[Swift]:
    """A server of the test's own, not started yet, to be stopped and started at will."""
    folder = tmp_path / "swift"
    folder.mkdir()
    server = Swift(folder)
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def s3_prefix() -> str:
    """A prefix of the bucket that no other test uses."""
    return f"test-{secrets.token_hex(6)}"


def _endpoint(process: "subprocess.Popen[bytes]", log: Path) -> str:
    assert process.stdout is not None
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        line = process.stdout.readline() if selector.select(START_S) else b""
    if not line:
        process.kill()
        pytest.fail(f"Swift did not start:\n{log.read_text()[-2000:]}")
    return str(json.loads(line)["endpoint"])


def _make_bucket(server: S3Server) -> None:
    import s3fs

    filesystem = s3fs.S3FileSystem(
        key=server.access_key,
        secret=server.secret_key,
        endpoint_url=server.endpoint,
        client_kwargs={"region_name": server.region},
        config_kwargs={"s3": {"addressing_style": "path"}},
        skip_instance_cache=True,
    )
    filesystem.call_s3("create_bucket", Bucket=server.bucket)


def _require_xattr(folder: Path) -> None:
    probe = folder / "xattr"
    probe.touch()
    try:
        os.setxattr(probe, "user.swift.test", b"x" * 300)
    except (OSError, AttributeError) as error:
        pytest.skip(f"Swift needs extended attributes on {folder}: {error}")


def _environment() -> Path:
    """The interpreter of .venv-s3, with Swift installed; one process at a time makes it."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / "swift-installed"
    with Path(tempfile.gettempdir(), "photoorg-venv-s3.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if ready.exists():
            return python
        made = [
            [sys.executable, "-m", "venv", str(ENVIRONMENT)],
            [str(python), "-m", "pip", "install", "--quiet", "swift>=2.33"],
            [str(python), "-c", "import swift.proxy.server, swift.common.middleware.s3api.s3api"],
        ]
        for command in made:
            done = subprocess.run(command, capture_output=True, text=True, timeout=600)
            if done.returncode:
                pytest.skip(f"Swift cannot be installed here: {done.stderr.strip()[-300:]}")
        ready.touch()
        return python
