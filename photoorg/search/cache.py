"""The index files that were downloaded to this machine, within a budget of its disk."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Version:
    """The files of one version; `used` is when they were last loaded."""

    folder: Path
    size: int
    used: float


def trim_cache(root: Path, budget_bytes: int, held: Collection[Path]) -> list[Path]:
    """Remove version folders, least lately loaded first, until the rest fits; those that went.

    Those in `held` stay, however large. Another process that has files of a removed one open keeps
    them until it closes them.
    """
    found = sorted(_versions(root), key=lambda version: version.used)
    total = sum(version.size for version in found)
    gone = []
    for version in found:
        if total <= budget_bytes:
            break
        if version.folder not in held:
            shutil.rmtree(version.folder, ignore_errors=True)
            total -= version.size
            gone.append(version.folder)
            log.info("removed %s from the cache", version.folder)
    return gone


def _versions(root: Path) -> list[_Version]:
    """What lies below root/tenant/space/version; what goes meanwhile is passed over."""
    found = []
    for folder in root.glob("*/*/*"):
        with suppress(OSError):
            size = sum(path.stat().st_size for path in folder.iterdir())
            found.append(_Version(folder, size, folder.stat().st_mtime))
    return found
