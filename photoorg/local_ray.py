"""How jobs and serving alike come to a Ray cluster; imports no Ray itself."""

from __future__ import annotations

import logging
import os
import secrets
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from photoorg.errors import ResourceError

log = logging.getLogger(__name__)
ATTEMPTS = 3
LOGICAL_CPUS = 4
STDERR = 2
CHATTER = b"Set ray log level from environment variable"


def prepare() -> None:
    """Set what Ray reads when it is first imported, unless it is set.

    Only this process and its children may talk to the Ray they start; where this came too late for
    that, Ray starts without a token. A cluster that RAY_ADDRESS names has settings of its own.
    """
    # Ray's C++ core writes alarms about sound plans to stderr; it also logs to its files.
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    if "RAY_ADDRESS" in os.environ or "RAY_AUTH_MODE" in os.environ:
        return
    os.environ["RAY_AUTH_MODE"] = "disabled" if "ray" in sys.modules else "token"
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def connect(init: Callable[..., Any], shutdown: Callable[[], Any], *, cpus: int) -> None:
    """Join the cluster RAY_ADDRESS names, else start Ray on this machine.

    `init` and `shutdown` are Ray's own. `cpus` of a Ray started here are logical ones: it counts
    them, it does not pin them. ResourceError if no cluster answers, or Ray does not come up.
    """
    if "RAY_ADDRESS" not in os.environ:
        _start(init, shutdown, cpus=cpus)
        return
    try:
        with _without_chatter():
            init(log_to_driver=False, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise ResourceError(
            f"The Ray cluster at {os.environ['RAY_ADDRESS']} cannot be joined: {error}.",
            fix="Check RAY_ADDRESS, or unset it to start Ray on this machine.",
        ) from error


def _start(init: Callable[..., Any], shutdown: Callable[[], Any], *, cpus: int) -> None:
    """Again if Ray's daemons are late."""
    for left in reversed(range(ATTEMPTS)):
        try:
            with _without_chatter():
                init(
                    address="local",
                    num_cpus=cpus,
                    include_dashboard=False,
                    log_to_driver=False,
                    logging_level=logging.WARNING,
                )
            return
        except Exception as error:  # Ray raises bare Exception where its daemon is late
            shutdown()
            if not left:
                raise ResourceError(
                    f"Ray could not be started on this machine: {error}.",
                    fix="It gives its daemons 30 s: wait until the machine is less busy, or join a"
                    " cluster by RAY_ADDRESS.",
                ) from error
            log.warning("Ray did not come up in time; trying again.")


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Keep one line of Ray's C++ core off stderr; everything else written inside comes after.

    The core tells of RAY_BACKEND_LOG_LEVEL whenever it starts, before it heeds it.
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held, os.fdopen(os.dup(STDERR), "wb") as stderr:
        os.dup2(held.fileno(), STDERR)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr.fileno(), STDERR)
            held.seek(0)
            stderr.writelines(line for line in held if CHATTER not in line)
