"""From configuration to the application and the environment, without starting Ray."""

from __future__ import annotations

import inspect
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from photoorg.config import ServeConfig, parse
from photoorg.errors import ConfigError
from serve.app import AppArgs, application, build
from serve.auth import is_loopback, require_private
from serve.environment import (
    QUIET_PORTS,
    free_port,
    haproxy_script,
    serve_environment,
    wants_haproxy,
)
from serve.run import claim_port, why_not

# A named space: "auto" would ask the catalog, and start one.
NAMED = {"space": "builtin"}
APART = {"placement": "deployment", "replicas": 2}


def names(app) -> set[str]:
    """Deployments bound below an application."""
    found, todo = set(), [app]
    while todo:
        bound = todo.pop()
        found.add(bound._bound_deployment.name)
        for value in bound._bound_deployment.init_args:
            parts = value if isinstance(value, list) else [value]
            todo += [p for p in parts if hasattr(p, "_bound_deployment")]
    return found


def test_everything_is_one_deployment_unless_it_is_placed_apart():
    assert names(application(parse({"encoder": NAMED}))) == {"ingress"}
    config = parse(
        {"encoder": NAMED, "index": {"shards": 3}, "serve": {"shard": APART, "embedder": APART}}
    )
    assert names(application(config)) == {"ingress", "embedder", "shard-0", "shard-1", "shard-2"}


def test_the_ingress_asks_for_the_gpus_of_what_runs_inside_it():
    shard, embedder = {"num_gpus": 0.5}, {**APART, "num_gpus": 0.25}
    app = application(parse({"encoder": NAMED, "serve": {"shard": shard, "embedder": embedder}}))
    assert app._bound_deployment.ray_actor_options["num_gpus"] == 0.5
    plain = application(parse({"encoder": NAMED}))
    assert plain._bound_deployment.ray_actor_options.get("num_gpus", 0) == 0


def test_several_processes_that_count_have_a_board_for_their_metrics():
    for serve in ({"ingress_replicas": 2}, {"ingestor": APART}):
        assert "metrics" in names(application(parse({"encoder": NAMED, "serve": serve})))


def test_every_deployment_has_bounded_queues():
    config = parse(
        {"encoder": NAMED, "serve": {"shard": APART, "embedder": APART, "ingestor": APART}}
    )
    app = application(config)
    bound = [app._bound_deployment]
    for value in app._bound_deployment.init_args:
        parts = value if isinstance(value, list) else [value]
        bound += [p._bound_deployment for p in parts if hasattr(p, "_bound_deployment")]
    assert len(bound) == 4 + config.index.shards
    for deployment in bound:
        assert 0 < deployment.max_queued_requests < 10_000
        assert 0 < deployment.max_ongoing_requests < 10_000


def test_the_serve_file_builds_the_application(repo_root, monkeypatch):
    monkeypatch.chdir(repo_root)
    monkeypatch.setenv("PHOTOORG_ENCODER__SPACE", "builtin")  # "auto" would ask the catalog
    (entry,) = yaml.safe_load(Path("configs/serve.yaml").read_text())["applications"]
    assert entry["import_path"] == "serve.app:build"
    assert "ingress" in names(build(AppArgs(**entry["args"])))


def test_the_serve_file_names_the_variables_that_serving_would_set(repo_root, tmp_path):
    told = dict(re.findall(r"(RAY_\w+)=(\d+)", (repo_root / "configs/serve.yaml").read_text()))
    values = serve_environment(ServeConfig(haproxy=False), tmp_path)
    assert told.pop("RAY_SERVE_ENABLE_HA_PROXY") == "1"
    assert told and told == {name: values[name] for name in told}


def test_ray_can_see_the_type_of_the_builders_arguments():
    assert inspect.signature(build).parameters["args"].annotation is AppArgs


def test_settings_are_laid_over_the_file():
    settings = {"encoder": NAMED, "serve": {"ingestor": APART}}
    assert "ingestor" in names(build(AppArgs(settings=settings)))
    with pytest.raises(ConfigError, match=r"serve\.nonsense"):
        build(AppArgs(settings={"serve": {"nonsense": 1}}))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_an_address_strangers_can_reach_is_refused(host):
    with pytest.raises(ConfigError, match="allow_public"):
        require_private(ServeConfig(host=host))
    with pytest.raises(ConfigError):
        application(parse({"serve": {"host": host}}))
    require_private(ServeConfig(host=host, allow_public=True))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_is_served_without_authentication(host):
    assert is_loopback(host)
    require_private(ServeConfig(host=host))


def test_throughput_mode_and_haproxy_can_be_switched_off(tmp_path):
    off = serve_environment(ServeConfig(throughput_mode=False, haproxy=False), tmp_path)
    assert not {"RAY_SERVE_THROUGHPUT_OPTIMIZED", "RAY_SERVE_ENABLE_HA_PROXY"} & set(off)
    assert int(off["RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH"]) > ServeConfig().max_upload_bytes


@pytest.mark.skipif(not wants_haproxy(ServeConfig()), reason="there is no HAProxy here")
def test_haproxy_gets_files_and_ports_of_its_own(tmp_path):
    one = serve_environment(ServeConfig(), tmp_path / "one")
    two = serve_environment(ServeConfig(), tmp_path / "two")
    assert one["RAY_SERVE_THROUGHPUT_OPTIMIZED"] == one["RAY_SERVE_ENABLE_HA_PROXY"] == "1"
    own = [name for name in one if name.endswith(("_PORT", "_PATH", "_LOC", "_FILE", "_BASE"))]
    assert len(own) >= 7 and all(one[name] != two[name] for name in own)


def test_haproxy_is_kept_on_this_machine(tmp_path):
    script, config = tmp_path / "haproxy", tmp_path / "a b.cfg"
    script.write_text(haproxy_script("/bin/echo", loopback=True))
    config.write_text("    bind :9101\n  bind *:8404\n    bind 10.0.0.1:80\n")
    done = subprocess.run(
        ["sh", str(script), "-db", "-f", str(config), "-dR", "-sf", "1"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"-db -f {config} -dR -sf 1\n"
    assert config.read_text().split() == [
        *("bind", "127.0.0.1:9101", "bind", "127.0.0.1:8404", "bind", "10.0.0.1:80")
    ]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="HAProxy is used on Linux only")
@pytest.mark.parametrize("loopback", [False, True])
def test_haproxy_ends_with_the_process_that_started_it(tmp_path, loopback):
    script, config = tmp_path / "haproxy", tmp_path / "a.cfg"
    config.touch()
    script.write_text(haproxy_script(shutil.which("tail"), loopback=loopback))
    proxy = subprocess.Popen(
        [sys.executable, "-c", PROXY, "sh", str(script), "-f", str(config)],
        stdout=subprocess.PIPE,
        text=True,
    )
    child = psutil.Process(int(proxy.stdout.readline()))
    while child.name() != "tail":
        time.sleep(0.01)
    proxy.kill()
    proxy.wait()
    proxy.stdout.close()
    psutil.wait_procs([child], timeout=30)
    assert not child.is_running()


PROXY = """
import subprocess, sys, time
print(subprocess.Popen(sys.argv[1:]).pid, flush=True)
time.sleep(600)
"""


def test_why_a_deployment_failed_is_the_sentence_and_not_the_traceback():
    told = """Traceback (most recent call last):
  File "parts.py", line 1, in open
photoorg.errors.EncoderUnavailableError: The file a.onnx is not in /models. Put it there.
Traceback (most recent call last):
RuntimeError: replica failed
"""
    assert why_not(told) == "The file a.onnx is not in /models. Put it there."
    assert why_not("ValueError: nothing of ours") is None


def test_port_0_takes_a_free_one_and_a_taken_one_is_a_sentence():
    import socket

    assert claim_port(ServeConfig(port=0)) > 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"{port} cannot be used"):
            claim_port(ServeConfig(port=port))
    assert claim_port(ServeConfig(port=port)) == port


def test_serving_never_imports_the_jobs():
    script = (
        "import sys, serve.app, serve.run\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('pipelines', 'torch')])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_ports_are_taken_from_where_no_connection_gets_one():
    ports = {free_port() for _ in range(20)}
    assert len(ports) > 1 and all(port in QUIET_PORTS for port in ports)
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        assert other.getsockname()[1] not in QUIET_PORTS
