"""The manifests of cluster/ agree with KubeRay's schemas, with the image and with this code."""

from __future__ import annotations

import importlib
import json
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from photoorg.cli.parser import build_parser
from photoorg.config import PREFIX, PhotoOrgConfig, load
from pipelines.entry import Entry

ROOT = Path(__file__).resolve().parents[2]
CLUSTER = ROOT / "cluster"
DOCKERFILE = (CLUSTER / "Dockerfile").read_text()
HOME = re.search(r"^WORKDIR (\S+)", DOCKERFILE, re.MULTILINE)[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
MANIFESTS = {
    str(path.relative_to(CLUSTER)): yaml.safe_load(path.read_text())
    for path in sorted(CLUSTER.rglob("*.yaml"))
}
SERVICE = MANIFESTS["serving/rayservice.yaml"]
JOB = MANIFESTS["jobs/base/rayjob.yaml"]
JOBS = {
    Path(name).parts[1]: yaml.safe_load(manifest["patches"][0]["patch"])
    for name, manifest in MANIFESTS.items()
    if re.fullmatch(r"jobs/(?!base)[\w-]+/kustomization.yaml", name)
}
CLUSTERS = {"serving": SERVICE["spec"]["rayClusterConfig"], "jobs": JOB["spec"]["rayClusterSpec"]}
SERVE = yaml.safe_load(SERVICE["spec"]["serveConfigV2"])
SECRETS = re.compile(r"KEY|SECRET|PASSWORD|TOKEN|DATABASE")


def nodes(value: Any) -> Iterator[dict[str, Any]]:
    """Every mapping inside."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from nodes(inner)


def texts(value: Any) -> Iterator[str]:
    for node in nodes(value):
        yield from (text for text in node.values() if isinstance(text, str))


def containers(manifest: Any) -> list[dict[str, Any]]:
    return [c for node in nodes(manifest) for c in node.get("containers", [])]


def here(path: str) -> Path:
    """Where a path of the image lies in this checkout."""
    return ROOT / Path(path).relative_to(HOME)


def arguments(job: str) -> list[str]:
    first = JOBS[job][0]
    assert (first["op"], first["path"]) == ("replace", "/spec/entrypoint")
    return shlex.split(first["value"])


def unknown(value: Any, schema: dict[str, Any], where: str = "") -> list[str]:
    """Paths of keys that the schema does not have; an API server would drop or refuse them."""
    if isinstance(value, list):
        inner = schema.get("items", {})
        return [k for i, v in enumerate(value) for k in unknown(v, inner, f"{where}[{i}]")]
    known = schema.get("properties")
    if not isinstance(value, dict) or known is None:
        return []
    found = []
    for key, inner in value.items():
        if key in known:
            found += unknown(inner, known[key], f"{where}.{key}")
        else:
            found.append(f"{where}.{key}")
    return found


@pytest.mark.data
@pytest.mark.parametrize("name", [n for n, m in MANIFESTS.items() if m["kind"].startswith("Ray")])
def test_kuberay_knows_every_field(name, shared_data):
    manifest = MANIFESTS[name]
    schemas = json.loads((shared_data / "kuberay" / "ray.io_v1.schemas.json").read_text())
    schema = schemas[f"{manifest['apiVersion']}|{manifest['kind']}"]
    assert unknown(manifest, schema) == []
    if name != "serving-redis/redis.yaml":  # a patch, which has only what it changes
        jsonschema.Draft7Validator(schema).validate(manifest)


def test_every_manifest_is_part_of_something_that_is_applied():
    named = {
        str((CLUSTER / name).parent.joinpath(part).resolve().relative_to(CLUSTER))
        for name, manifest in MANIFESTS.items()
        if manifest["kind"] == "Kustomization"
        for part in [
            *manifest["resources"],
            *(patch["path"] for patch in manifest.get("patches", []) if "path" in patch),
        ]
    }
    plain = {name for name, m in MANIFESTS.items() if m["kind"] != "Kustomization"}
    assert named == plain | {"serving", "jobs/base"}


def test_a_patch_names_what_it_changes():
    patch = MANIFESTS["serving-redis/redis.yaml"]
    for key in ("apiVersion", "kind", "metadata"):
        assert patch[key] == SERVICE[key]
    assert "gcsFaultToleranceOptions" not in CLUSTERS["serving"]


def test_images_are_those_that_are_built_and_renamed():
    built = set(re.findall(r"-t (\S+)", DOCKERFILE))
    used = {c["image"] for m in MANIFESTS.values() for c in containers(m)}
    assert used == built
    names = {image.partition(":")[0] for image in used}
    for manifest in (
        MANIFESTS["serving/kustomization.yaml"],
        MANIFESTS["jobs/base/kustomization.yaml"],
    ):
        assert {image["name"] for image in manifest["images"]} == names
    assert {image.partition(":")[2] for image in used} == {
        f"{PROJECT['version']}-cpu",
        f"{PROJECT['version']}-gpu",
    }


def test_gpu_images_run_where_there_is_a_gpu():
    for container in [c for m in MANIFESTS.values() for c in containers(m)]:
        device = "nvidia.com/gpu" in container["resources"]["limits"]
        assert container["image"].endswith("-gpu" if device else "-cpu")
        # Ray takes the limits for what a node has.
        assert (
            container["resources"]["limits"].items() <= container["resources"]["requests"].items()
        )


def test_the_image_holds_what_is_shipped():
    copied = set(re.findall(r"^COPY --chown=ray (.+) \S+$", DOCKERFILE, re.MULTILINE))
    copied = {name for line in copied for name in line.split()}
    let_in = (ROOT / ".dockerignore").read_text().split()
    assert copied == {line[1:] for line in let_in if line.startswith("!")}
    assert {"configs", "photoorg", "pipelines", "serve"} <= copied
    assert all((ROOT / name).exists() for name in copied)
    extras = re.findall(r"EXTRAS=(\S+)", DOCKERFILE)
    assert len(extras) == 2
    assert {e for line in extras for e in line.split(",")} <= PROJECT[
        "optional-dependencies"
    ].keys()


def test_ray_is_the_one_that_is_locked():
    lock = (ROOT / "requirements.lock").read_text()
    version = re.search(r"^ray==(\S+)", lock, re.MULTILINE)[1]
    assert {cluster["rayVersion"] for cluster in CLUSTERS.values()} == {version}


def test_serving_is_that_of_configs_serve_yaml():
    shipped = yaml.safe_load((ROOT / "configs" / "serve.yaml").read_text())
    shipped["proxy_location"] = "EveryNode"
    shipped["http_options"]["host"] = "0.0.0.0"
    shipped["applications"][0]["args"]["config"] = f"{HOME}/configs/prod.yaml"
    assert shipped == SERVE


def test_the_application_is_built_by_code_that_is_there():
    (application,) = SERVE["applications"]
    module, _, name = application["import_path"].partition(":")
    served = importlib.import_module(module)
    assert callable(getattr(served, name))
    args = served.AppArgs.model_validate(application["args"])
    served.require_private(load(here(args.config), {}).serve)


def test_nodes_hold_every_replica():
    """Without waiting for the autoscaler, which has the rest for upgrades and lost nodes."""
    (application,) = SERVE["applications"]
    config = load(here(application["args"]["config"]), {})
    serve = config.serve
    parts = [(serve.embedder, 1), (serve.shard, config.index.shards), (serve.ingestor, 1)]
    apart = [(c, n * c.replicas) for c, n in parts if c.placement == "deployment"]
    cpus = serve.ingress_replicas * serve.ingress_num_cpus + sum(c.num_cpus * n for c, n in apart)
    gpus = sum(c.num_gpus * n for c, n in apart)
    limits = [
        (group["minReplicas"], containers(group)[0]["resources"]["limits"])
        for group in CLUSTERS["serving"]["workerGroupSpecs"]
    ]
    assert cpus <= sum(n * float(limit["cpu"]) for n, limit in limits)
    assert 0 < gpus <= sum(n * float(limit.get("nvidia.com/gpu", 0)) for n, limit in limits)


@pytest.mark.parametrize("name", sorted(CLUSTERS))
def test_groups_scale_only_where_something_scales_them(name):
    cluster = CLUSTERS[name]
    scaled = [g["maxReplicas"] > g["minReplicas"] for g in cluster["workerGroupSpecs"]]
    assert scaled == [cluster.get("enableInTreeAutoscaling", False)] * 2
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_probes_ask_ports_that_are_served():
    agent, port = 52365, SERVE["http_options"]["port"]
    for group in CLUSTERS["serving"]["workerGroupSpecs"]:
        (container,) = containers(group)
        assert [p["containerPort"] for p in container["ports"]] == [port]
        for probe, asked in (("livenessProbe", agent), ("readinessProbe", port)):
            assert f"http://localhost:{asked}/" in container[probe]["exec"]["command"][-1]
    open_to = [
        p["port"]
        for r in MANIFESTS["serving/network.yaml"]["spec"]["ingress"]
        for p in r.get("ports", [])
    ]
    assert set(open_to) == {port, 8265}


@pytest.mark.parametrize("job", sorted(JOBS))
def test_a_job_is_a_command_with_arguments_it_takes(job):
    python, dash_m, module, *given = arguments(job)
    assert (python, dash_m) == ("python", "-m")
    entry = importlib.import_module(module).main
    assert isinstance(entry, Entry)
    args = build_parser().parse_args([*entry.command, *given])
    config: PhotoOrgConfig = load(here(args.config), {})
    assert config.storage.root.startswith("s3://")
    if getattr(args, "space", None):
        assert (ROOT / "configs" / "spaces" / f"{args.space}.yaml").is_file()


def test_jobs_without_models_ask_for_no_gpus():
    cpu, gpu = JOB["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert (cpu["groupName"], gpu["groupName"]) == ("cpu", "gpu")
    removed = {name: [op["path"] for op in ops[1:]] for name, ops in JOBS.items()}
    spared = ["/spec/rayClusterSpec/workerGroupSpecs/1"]
    assert removed == {"ingest": [], "reembed": [], "build-index": spared, "maintain": spared}


def test_variables_are_keys_of_the_configuration():
    named = {e["name"] for m in MANIFESTS.values() for c in containers(m) for e in c.get("env", [])}
    named |= set(
        re.findall(rf"^{PREFIX}\w+(?==)", (CLUSTER / "README.md").read_text(), re.MULTILINE)
    )
    ours = {name for name in named if name.startswith(PREFIX)}
    assert len(ours) > 4
    for name in ours:
        section, _, key = name.removeprefix(PREFIX).lower().partition("__")
        assert key in PhotoOrgConfig.model_fields[section].annotation.model_fields, name
    told = re.findall(r"RAY_SERVE_\w+", (ROOT / "configs" / "serve.yaml").read_text())
    assert named - ours == set(told)


def test_no_secret_stands_in_a_manifest():
    for name, manifest in MANIFESTS.items():
        assert manifest["kind"] != "Secret", name
        for variable in (e for c in containers(manifest) for e in c.get("env", [])):
            assert "value" not in variable or not SECRETS.search(variable["name"]), variable
        assert not [text for text in texts(manifest) if re.search(r"://[^/\s]+:[^/\s]+@", text)]
    for container in [*containers(SERVICE), *containers(JOB)]:
        assert {"secretRef": {"name": "photoorg"}} in container["envFrom"]


def test_the_guide_names_what_is_there():
    guide = (CLUSTER / "README.md").read_text()
    for folder in re.findall(r"(?<![\w/])cluster/([\w./-]*[\w-])", guide):
        assert (CLUSTER / folder).exists(), folder
    for job in JOBS:
        assert f"`{job}`" in guide
