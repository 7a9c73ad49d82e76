"""Relative paths inside a store: checked before they touch a disk or a bucket."""

from __future__ import annotations

from photoorg.errors import InputError

MARKER = ".photoorg-store"
"""An empty object at a store's root; listings of sources step over folders that hold it."""

TEMPORARY = ".tmp-"
"""How the names of files begin that are not whole yet."""


def checked(path: str) -> str:
    """`path` if it is relative and stays inside the store, else InputError."""
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\0" in path:
        raise InputError(
            f"{path!r} is no path inside the store.",
            fix="Use names separated by single slashes, without '.', '..' or a leading slash.",
        )
    return path


def checked_prefix(prefix: str) -> str:
    """`prefix` if it is empty or begins like a path inside the store, else InputError."""
    if prefix:
        checked(prefix.removesuffix("/"))
    return prefix
