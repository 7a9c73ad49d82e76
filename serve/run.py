"""serve(): start Ray if need be, deploy, and say where the application answers."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

import httpx

from photoorg import local_ray
from photoorg.config import PhotoOrgConfig, ServeConfig, load
from photoorg.errors import ConfigError, PhotoOrgError, ResourceError
from photoorg.store.opening import running_database
from serve.auth import require_private
from serve.environment import free_port, missing, serve_environment

log = logging.getLogger(__name__)
START_S = 180.0


def main(argv: Sequence[str] | None = None) -> int:
    """`python -m serve.run [CONFIG.yaml]`: serve until SIGINT or SIGTERM."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        config = load(args[0] if args else None)
        with running_database(config) as running:
            serve(running, block=True)
    except PhotoOrgError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def serve(config: PhotoOrgConfig, *, block: bool = True) -> str:
    """Deploy the application and return its URL; with `block`, only after SIGINT or SIGTERM.

    Joins the cluster RAY_ADDRESS names, else starts Ray on this machine, in throughput mode and
    behind HAProxy as configured. Port 0 takes a free one. ConfigError for a port in use or an
    address strangers can reach, ResourceError if the application does not come up.
    """
    require_private(config.serve)
    port = claim_port(config.serve)
    config = config.model_copy(update={"serve": config.serve.model_copy(update={"port": port})})
    start_ray(config.serve)
    url = _deploy(config)
    if block:
        sys.stdout.write(f"photoorg answers at {url} (API: {url}/docs). Ctrl-C stops it.\n")
        sys.stdout.flush()
        _wait_for_signal()
        stop()
    return url


def stop() -> None:
    """Take the application down, and Ray with it where serve() started it."""
    import ray

    if not ray.is_initialized():
        return
    from ray import serve as rayserve

    from serve.app import NAME

    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rayserve.delete(NAME)
    ray.shutdown()


def start_ray(config: ServeConfig) -> None:
    """Join the cluster of RAY_ADDRESS, or start one here whose Serve runs as configured.

    Ray that this process started before for something else is restarted: Ray Serve reads its
    settings only once.
    """
    local_ray.prepare()
    import ray

    if "RAY_ADDRESS" not in os.environ:
        values = serve_environment(config, _scratch())
        unset = missing(values)
        if ray.is_initialized() and unset:
            ray.shutdown()
        os.environ |= {name: values[name] for name in unset}
    if not ray.is_initialized():
        cpus = max(local_ray.LOGICAL_CPUS, os.cpu_count() or 1)
        local_ray.connect(ray.init, ray.shutdown, cpus=cpus)


def claim_port(config: ServeConfig) -> int:
    """The port to serve at: the configured one if it is free, any free one for 0."""
    if config.port == 0:
        return free_port(config.host)
    with socket.socket(socket.AF_INET6 if ":" in config.host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((config.host, config.port))
        except OSError as error:
            raise ConfigError(
                f"{config.host}:{config.port} cannot be used: {error.strerror}.",
                fix="Stop what listens there, or choose another with serve.port (0: any free one).",
            ) from None
    return config.port


def _deploy(config: PhotoOrgConfig) -> str:
    from ray import serve as rayserve

    from serve.app import NAME, application

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    host, port = config.serve.host, config.serve.port
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        rayserve.start(
            proxy_location="HeadOnly",
            http_options={"host": host, "port": port},
        )
        try:
            # The application writes a line for every request itself.
            quiet = {"enable_access_log": False} if config.serve.throughput_mode else None
            app = application(config)
            rayserve.run(app, name=NAME, route_prefix="/", logging_config=quiet)
        except RuntimeError as error:
            deployments = rayserve.status().applications[NAME].deployments
            told = "\n".join(deployment.message for deployment in deployments.values())
            stop()
            raise ResourceError(
                f"The application did not start: {why_not(told) or error}",
                fix="Ray's logs (/tmp/ray/session_latest/logs/serve) say more.",
            ) from None
    url = f"http://{_shown(host)}:{port}"
    _wait_until_alive(url)
    return url


def why_not(told: str) -> str | None:
    """What the last PhotoOrgError says in the traceback that Ray tells of a failed deployment."""
    name = re.escape(PhotoOrgError.__module__)
    found = re.findall(rf"^{name}\.\w+: (.+)$", told, flags=re.MULTILINE)
    return found[-1] if found else None


def _wait_until_alive(url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/v1/health/live", timeout=5, trust_env=False).status_code == 200:
                return
        time.sleep(0.1)
    stop()
    raise ResourceError(f"Nothing answers at {url} after {START_S:g} s.")


def _wait_for_signal() -> None:
    done = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: done.set())
    done.wait()


def _scratch() -> Path:
    """A short-lived folder for HAProxy's files; socket paths must be short."""
    folder = Path(tempfile.mkdtemp(prefix="photoorg-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _shown(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{host}]" if ":" in host else host


if __name__ == "__main__":
    sys.exit(main())
