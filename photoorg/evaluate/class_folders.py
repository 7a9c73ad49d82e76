"""Labelled photos as people keep them: one folder per class."""

from __future__ import annotations

from pathlib import Path

from photoorg.errors import InputError, NotFoundError


def class_folders(folder: Path) -> list[Path]:
    """The folders in `folder`, or in the only folder it has; each is one class.

    NotFoundError if there is no such folder, InputError for fewer than two classes.
    """
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}.", fix="Check the path.")
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(inside) == 1 and any(p.is_dir() for p in inside[0].iterdir()):
        return class_folders(inside[0])
    if len(inside) < 2:
        raise InputError(
            f"{folder} holds {len(inside)} folders; each class needs one of its own.",
            fix="Sort the photos into one folder per class.",
        )
    return inside
