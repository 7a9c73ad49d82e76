import os
import sys
from typing import Any

import pytest

from photoorg import local_ray
from photoorg.errors import ResourceError

NAMES = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_BACKEND_LOG_LEVEL")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setenv(name, "")  # so that what the test sets is taken back
        monkeypatch.delenv(name)


class LateDaemon:
    """Starts at the given attempt."""

    def __init__(self, attempt: int) -> None:
        self.attempt = attempt
        self.started: list[dict[str, Any]] = []
        self.shut = 0

    def init(self, **settings: Any) -> None:
        self.started.append(settings)
        if len(self.started) < self.attempt:
            raise Exception("the daemon is late")

    def shutdown(self) -> None:
        self.shut += 1


def test_before_ray_is_imported_a_secret_token_guards_what_will_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    local_ray.prepare()
    first = os.environ["RAY_AUTH_TOKEN"]
    assert os.environ["RAY_AUTH_MODE"] == "token" and len(first) == 64
    local_ray.prepare()
    assert os.environ["RAY_AUTH_TOKEN"] == first


def test_a_cluster_that_was_named_keeps_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    local_ray.prepare()
    assert "RAY_AUTH_MODE" not in os.environ and "RAY_AUTH_TOKEN" not in os.environ


def test_a_cluster_that_was_named_is_joined_and_none_is_started(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    daemon = LateDaemon(1)
    local_ray.connect(daemon.init, daemon.shutdown, cpus=2)
    (settings,) = daemon.started
    assert "address" not in settings and "num_cpus" not in settings


def test_a_cluster_that_does_not_answer_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def init(**_: Any) -> None:
        raise ConnectionError("nobody is there")

    monkeypatch.setenv("RAY_ADDRESS", "ray://head:10001")
    with pytest.raises(ResourceError, match=r"ray://head:10001.*nobody is there"):
        local_ray.connect(init, lambda: None, cpus=2)


def test_a_late_daemon_is_given_another_try() -> None:
    daemon = LateDaemon(3)
    local_ray.connect(daemon.init, daemon.shutdown, cpus=2)
    assert daemon.shut == 2
    assert [s["num_cpus"] for s in daemon.started] == [2, 2, 2]


def test_a_daemon_that_never_comes_is_an_error_that_says_what_to_do() -> None:
    daemon = LateDaemon(99)
    with pytest.raises(ResourceError, match="the daemon is late") as caught:
        local_ray.connect(daemon.init, daemon.shutdown, cpus=2)
    assert "RAY_ADDRESS" in str(caught.value)
    assert len(daemon.started) == daemon.shut == local_ray.ATTEMPTS


def test_only_the_line_about_the_log_level_is_kept_off_stderr(
    capfd: pytest.CaptureFixture[str],
) -> None:
    def init(**_: Any) -> None:
        os.write(2, b"I logging.cc:303: Set ray log level from environment variable X to 3\n")
        os.write(2, b"the disk is full\n")
        sys.stderr.write("and slow\n")
        raise Exception("no luck")

    with pytest.raises(ResourceError):
        local_ray.connect(init, lambda: None, cpus=2)
    os.write(2, b"afterwards\n")
    told = capfd.readouterr().err.splitlines()
    assert sorted(told) == sorted(["the disk is full", "and slow"] * 3 + ["afterwards"])
