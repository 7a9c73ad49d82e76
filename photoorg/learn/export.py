"""A trained head as a space file that every job and server can open."""

from __future__ import annotations

import os
import re
from pathlib import Path

import yaml

from photoorg.encoders.head import ProjectionHead
from photoorg.errors import InputError, StorageError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


def export_space(head: ProjectionHead, name: str, base: str, folder: Path) -> Path:
    """Write `name`.npz and, last, `name`.yaml into the folder; the path of the latter.

    `base` is how the encoder below is named: a space's name or file. InputError for a name that is
    none, StorageError if the folder cannot be written.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name!r} cannot name a space.",
            fix="Use small letters, digits, dots, dashes and underscores, at most 63.",
        )
    weights, file = folder / f"{name}.npz", folder / f"{name}.yaml"
    text = yaml.safe_dump(
        {"kind": "projected", "name": name, "base": base, "weights": {"file": weights.name}},
        sort_keys=False,
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _write(weights, head.to_bytes())
        _write(file, text.encode())
    except OSError as error:
        raise StorageError(
            f"The space cannot be written to {folder}: {error.strerror}.",
            fix="Point models_dir (PHOTOORG_MODELS_DIR) at a folder you may write to.",
        ) from error
    return file


def _write(path: Path, data: bytes) -> None:
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_bytes(data)
    scratch.replace(path)
