"""How Ray is started on this machine, by jobs and by serving alike; imports no Ray itself."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Callable
from typing import Any

from photoorg.errors import ResourceError

log = logging.getLogger(__name__)
ATTEMPTS = 3
LOGICAL_CPUS = 4


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


def start(init: Callable[..., Any], shutdown: Callable[[], Any], *, cpus: int) -> None:
    """Start Ray by its own `init`, again if its daemons are late; ResourceError if they stay so.

    `cpus` are logical ones: Ray counts them, it does not pin them.
    """
    for left in reversed(range(ATTEMPTS)):
        try:
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
