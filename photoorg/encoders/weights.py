"""Model files: found by name in models_dir or the hub's cache, or fetched where a space says."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Annotated, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field

from photoorg.errors import EncoderUnavailableError

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_STALL_S = 30.0
_AGENT = {"User-Agent": "photoorg"}
_T = TypeVar("_T")
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Url = Annotated[str, Field(pattern=r"^https?://")]


class ModelFile(BaseModel):
    """A file of weights: what it is called here, and where it can be had.

    `file` is a name looked up in models_dir, or an absolute path. `url` or `hub` ("owner/name",
    with `hub_file` and `revision`) says where it is fetched from. `sha256` is checked after a
    download; a file that is already here is named by its content and used as it is.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    file: Annotated[str, Field(min_length=1)]
    sha256: Sha256 | None = None
    url: Url | None = None
    hub: Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+$")] | None = None
    hub_file: str | None = None
    revision: str = "main"

    @property
    def source(self) -> str | None:
        """The address it is fetched from; None if it must be put into models_dir by hand."""
        if self.url or not self.hub:
            return self.url
        endpoint = os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
        name = quote(self.hub_file or self.file)
        return f"{endpoint}/{self.hub}/resolve/{quote(self.revision)}/{name}"


def locate(models: Sequence[ModelFile], models_dir: str, *, timeout_s: float = 5.0) -> Path:
    """Path of the first of `models` that is here, else of the first that could be fetched.

    `models` are alternatives: the same weights under other names or in other formats. `timeout_s`
    bounds finding out whether their sources answer. Raises EncoderUnavailableError that names the
    file, the folder looked in and what to do.
    """
    found = find(models, models_dir)
    if found is not None:
        return found
    first = models[0]
    where = f"The model file {first.file} is not in {folder_of(first, models_dir)}"
    if first.source is None:
        raise EncoderUnavailableError(
            f"{where}, and its space does not say where to fetch it.",
            fix="Put the file there, or point models_dir (PHOTOORG_MODELS_DIR) at its folder.",
        )
    fix = f"Download {first.source} elsewhere and put it there under that name."
    model = reachable(models, timeout_s)
    if model is None or model.source is None:
        raise EncoderUnavailableError(
            f"{where}, and {first.source} did not answer within {timeout_s:g} s.",
            fix=fix,
            retryable=True,
        )
    try:
        return _fetch(model, model.source, folder_of(model, models_dir) / Path(model.file).name)
    except (OSError, HTTPException) as error:
        raise EncoderUnavailableError(
            f"{where}, and fetching {model.source} failed: {error}.", fix=fix, retryable=True
        ) from error


def find(models: Sequence[ModelFile], models_dir: str) -> Path | None:
    """Path of the first of `models` in models_dir, else in this user's hub cache, else None."""
    paths = [folder_of(model, models_dir) / Path(model.file).name for model in models]
    here = next((path for path in paths if path.is_file()), None)
    if here is not None:
        return here
    return next(filter(None, map(_in_hub_cache, models)), None)


def reachable(models: Sequence[ModelFile], timeout_s: float) -> ModelFile | None:
    """The first of `models` whose source offers it; None if none did within `timeout_s` seconds."""

    def ask() -> ModelFile | None:
        return next((model for model in models if _offers(model, timeout_s)), None)

    return within(timeout_s, ask, default=None)


def folder_of(model: ModelFile, models_dir: str) -> Path:
    """The folder in which the file is looked for, and into which it is fetched."""
    return (Path(models_dir).expanduser() / Path(model.file).expanduser()).parent


def within(seconds: float, work: Callable[[], _T], *, default: _T) -> _T:
    """The result of `work`, or `default` if it takes longer than `seconds`.

    Socket timeouts do not cover a resolver that never answers, hence a thread left behind.
    """
    results: list[_T] = []
    thread = threading.Thread(target=lambda: results.append(work()), daemon=True)
    thread.start()
    thread.join(seconds)
    return results[0] if results else default


def fingerprint(path: Path) -> str:
    """`sha256:<16 hex digits>` of the content: the name of these weights on every machine."""
    real = path.resolve()
    if real.parent.name == "blobs" and len(real.name) == 64:
        return f"sha256:{real.name[:16]}"  # the hub's cache names large files by their sha256
    with real.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()[:16]}"


def unpack(archive: Path, folder: Path, suffix: str) -> None:
    """Put the files of a zip archive that end in `suffix` flat into `folder`, whole or not at all.

    Raises EncoderUnavailableError if the archive is damaged or holds no such file.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
        whole = Path(scratch) / folder.name
        whole.mkdir()
        try:
            with zipfile.ZipFile(archive) as members:
                for member in members.infolist():
                    name = PurePosixPath(member.filename).name
                    if name.endswith(suffix) and not member.is_dir():
                        (whole / name).write_bytes(members.read(member))
        except zipfile.BadZipFile as error:
            raise EncoderUnavailableError(
                f"{archive} is no whole zip archive: {error}.", fix="Delete it and try again."
            ) from error
        if not any(whole.iterdir()):
            raise EncoderUnavailableError(f"{archive} holds no {suffix} file.")
        try:
            whole.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was first, with the same content
                raise


def _offers(model: ModelFile, timeout_s: float) -> bool:
    if model.source is None or (model.url is None and _hub_is_off()):
        return False
    first_byte = {**_AGENT, "Range": "bytes=0-0"}  # signed storage links refuse HEAD
    request = urllib.request.Request(model.source, headers=first_byte)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return answer.status in (200, 206)
    except (OSError, HTTPException) as error:
        log.debug("%s: %s", model.source, error)
        return False


def _fetch(model: ModelFile, source: str, target: Path) -> Path:
    log.info("fetching %s into %s", source, target.parent)
    target.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256()
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        request = urllib.request.Request(source, headers=_AGENT)
        with (
            os.fdopen(handle, "wb") as file,
            urllib.request.urlopen(request, timeout=_STALL_S) as body,
        ):
            expected = body.headers.get("Content-Length")
            while chunk := body.read(_CHUNK):
                digest.update(chunk)
                file.write(chunk)
            if expected is not None and file.tell() != int(expected):
                raise OSError(f"the connection ended after {file.tell()} of {expected} bytes")
        if model.sha256 and digest.hexdigest() != model.sha256:
            raise EncoderUnavailableError(
                f"{source} has sha256 {digest.hexdigest()}, but the space says {model.sha256}.",
                fix="The file at that address has changed or is damaged; it was not kept.",
            )
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
    return target


def _in_hub_cache(model: ModelFile) -> Path | None:
    if model.hub is None:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    name = model.hub_file or model.file
    found = try_to_load_from_cache(model.hub, name, revision=model.revision)
    return Path(found) if isinstance(found, str) else None


def _hub_is_off() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}
