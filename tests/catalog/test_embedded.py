"""The embedded PostgreSQL: shared by processes, and none the worse for kill -9."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from photoorg.config import parse
from photoorg.errors import CatalogError
from photoorg.store.embedded import database_url, embedded

pytestmark = pytest.mark.postgres

USER = """
import sys
from pathlib import Path
import psycopg
from photoorg.store.embedded import embedded
with embedded(Path(sys.argv[1])) as url:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute("CREATE TABLE IF NOT EXISTS seen (who text)") if sys.argv[2] == "1" else None
        conn.execute("INSERT INTO seen VALUES (%s)", [sys.argv[2]])
    print("ready", flush=True)
    sys.stdin.readline()
"""


def user(folder: Path, name: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def wait_ready(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"


def leave(process: "subprocess.Popen[str]") -> None:
    process.communicate("\n", timeout=120)
    assert process.returncode == 0


def kill(process: "subprocess.Popen[str]") -> None:
    process.kill()
    process.communicate(timeout=60)


def rows(url: str) -> list[str]:
    with psycopg.connect(url) as conn:
        return [who for (who,) in conn.execute("SELECT who FROM seen ORDER BY who")]


def server_pid(folder: Path) -> int | None:
    lock = folder / "postgres" / "postmaster.pid"
    return int(lock.read_text().split("\n", 1)[0]) if lock.exists() else None


def test_processes_share_one_server_and_the_last_to_leave_stops_it(server_folder: Path) -> None:
    first = user(server_folder, "1")
    wait_ready(first)
    pid = server_pid(server_folder)
    others = [user(server_folder, "2"), user(server_folder, "3")]
    for process in others:
        wait_ready(process)
    leave(first)
    leave(others[0])
    assert pid is not None and server_pid(server_folder) == pid
    leave(others[1])
    assert server_pid(server_folder) is None
    with embedded(server_folder) as url:
        assert rows(url) == ["1", "2", "3"]


def test_processes_that_start_at_the_same_moment_get_the_same_server(server_folder: Path) -> None:
    with embedded(server_folder) as url, psycopg.connect(url) as conn:
        conn.execute("CREATE TABLE seen (who text)")
    started = [user(server_folder, str(n)) for n in range(2, 6)]
    for process in started:
        wait_ready(process)
    for process in started:
        leave(process)
    with embedded(server_folder) as url:
        assert rows(url) == ["2", "3", "4", "5"]


def test_a_killed_starter_leaves_a_server_that_others_use_and_stop(server_folder: Path) -> None:
    starter = user(server_folder, "1")
    wait_ready(starter)
    kill(starter)
    pid = server_pid(server_folder)
    with embedded(server_folder) as url:
        assert server_pid(server_folder) == pid and rows(url) == ["1"]
    assert server_pid(server_folder) is None


def test_a_killed_server_recovers_at_the_next_start(server_folder: Path) -> None:
    starter = user(server_folder, "1")
    wait_ready(starter)
    pid = server_pid(server_folder)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    kill(starter)
    with embedded(server_folder) as url:
        assert rows(url) == ["1"] and server_pid(server_folder) != pid


def test_a_pid_file_from_before_a_reboot_does_not_stop_the_start(server_folder: Path) -> None:
    with embedded(server_folder):
        pass
    lock = server_folder / "postgres" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{lock.parent}\n1\n5432\n{lock.parent}\n\n1 1\nready\n")
    with embedded(server_folder) as url, psycopg.connect(url) as conn:
        assert conn.execute("SELECT 1").fetchone() == (1,)


def test_a_start_killed_while_creating_leaves_no_half_of_a_database(server_folder: Path) -> None:
    process = user(server_folder, "1")
    deadline = time.monotonic() + 60
    while not list(server_folder.glob(".tmp-postgres-*/PG_VERSION")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    kill(process)
    assert not (server_folder / "postgres").exists()
    again = user(server_folder, "1")
    wait_ready(again)
    leave(again)
    assert not list(server_folder.glob(".tmp-*"))


def test_a_path_too_long_for_a_socket_still_works(server_folder: Path) -> None:
    folder = server_folder / ("long-" * 12) / ("path ü " * 6)
    with embedded(folder) as url:
        assert str(folder) not in url
        with psycopg.connect(url) as conn:
            found = conn.execute("SHOW data_directory").fetchone()
    assert found == (str(folder / "postgres"),)


def test_a_folder_that_cannot_be_used_is_refused_with_a_sentence(server_folder: Path) -> None:
    (server_folder / "file").write_text("")
    with (
        pytest.raises(CatalogError, match="cannot live in") as caught,
        embedded(server_folder / "file" / "x"),
    ):
        pass
    assert "database.url" in caught.value.fix and not caught.value.retryable
    other = server_folder / "other"
    (other / "postgres").mkdir(parents=True)
    (other / "postgres" / "notes.txt").write_text("mine")
    with pytest.raises(CatalogError, match="holds no PostgreSQL"), embedded(other):
        pass
    assert (other / "postgres" / "notes.txt").read_text() == "mine"


def test_a_configured_url_is_used_and_nothing_is_started(server_folder: Path) -> None:
    config = parse(
        {
            "storage": {"root": str(server_folder / "data")},
            "database": {"url": "postgresql://u:p@db.test/photos"},
        }
    )
    with database_url(config) as url:
        assert url == "postgresql://u:p@db.test/photos"
    assert list(server_folder.iterdir()) == []


def test_the_server_lives_in_the_storage_folder_unless_told_otherwise(
    server_folder: Path,
) -> None:
    config = parse({"storage": {"root": f"{server_folder}/data"}})
    with database_url(config) as url, psycopg.connect(url):
        assert (server_folder / "data" / "postgres" / "PG_VERSION").exists()
    elsewhere = {"root": "s3://bucket/x"}
    config = parse(
        {"storage": elsewhere, "database": {"embedded_dir": str(server_folder / "other")}}
    )
    with database_url(config) as url, psycopg.connect(url):
        assert (server_folder / "other" / "postgres" / "PG_VERSION").exists()
