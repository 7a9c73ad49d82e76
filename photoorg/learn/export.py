"""A trained head as a space file that every job and server can open."""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml

from photoorg.encoders.head import ProjectionHead
from photoorg.errors import InputError, StorageError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def new_file(name: str, folder: Path) -> Path:
    """Where the space `name` will be written; asked before the work that leads to it.

    InputError for a name that is none or is taken, StorageError for a folder nobody may write to.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a space.",
            fix="Use small letters, digits, dots, dashes and underscores, at most 63.",
        )
    file = folder / f"{name}.yaml"
    if file.exists():
        raise InputError(f"There is a space {file} already.", fix="Choose another --name.")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error
    if not os.access(folder, os.W_OK):
        raise _unwritable(folder, "Permission denied")
    return file


def export_space(head: ProjectionHead, name: str, base: str, folder: Path) -> Path:
    """Write `name`.npz and, last, `name`.yaml into the folder; the path of the latter.

    `base` is how the encoder below is named: a space's name or file. Errors as new_file has them,
    StorageError too if the files cannot be written.
    """
    file = new_file(name, folder)
    weights = folder / f"{name}.npz"
    text = yaml.safe_dump(
        {"kind": "projected", "name": name, "base": base, "weights": {"file": weights.name}},
        sort_keys=False,
    )
    try:
        _write(weights, head.to_bytes())
        _write(file, text.encode())
    except OSError as error:
        raise _unwritable(folder, error.strerror) from error
    return file


def _unwritable(folder: Path, why: str | None) -> StorageError:
    return StorageError(
        f"The space cannot be written to {folder}: {why}.",
        fix="Point models_dir (PHOTOORG_MODELS_DIR) at a folder you may write to.",
    )


def _write(path: Path, data: bytes) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(data)
    scratch.replace(path)
