"""Compaction on disks that are really full: the version that serves is left as it is."""

from __future__ import annotations

import importlib
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.errors import StorageError
from photoorg.store.catalog import indexes
from tests.fakes.search import SPACE
from tests.unit.stages.test_compaction import T, active, answers, library, store

pytestmark = pytest.mark.postgres
__all__ = ["library", "store"]
DISK_BYTES = 2_000_000


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A file system of its own of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "none", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount command here")
    if done.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def root() -> str:
    """Where the store lies below tmp_path: on the small disk, unless a test says otherwise."""
    return "disk/store"


@pytest.fixture
def config(tmp_path, catalog_url, small_disk, root) -> PhotoOrgConfig:
    return parse(
        {
            "storage": {"root": str(tmp_path / root)},
            "database": {"url": catalog_url},
            "serve": {"cache_dir": str(tmp_path / "cache")},
        }
    )


def fill(folder: Path) -> Path:
    """Write until not one byte more goes onto the disk."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            try:
                while file.write(bytes(size)):
                    continue
            except OSError:
                continue
    return filler


def require_untouched(
    config: PhotoOrgConfig, catalog, store, before: list[list[str]], compact: Callable[[], object]
) -> StorageError:
    """Compaction fails in a sentence; v1 serves as before, and nothing half-made is left."""
    with pytest.raises(StorageError) as told:
        compact()
    assert active(catalog) == "v1" and answers(config, catalog, store) == before
    with catalog.tenant(T) as tx:
        status = {v.version: v.status for v in indexes.list_versions(tx, SPACE.id)}
    assert [s for s in status.values() if s not in ("deleted", "building")] == ["active"]
    versions = {path.split("/")[3] for path in store.list(f"{T}/indexes")}
    assert versions == {"v1"}
    return told.value


def test_a_full_store_leaves_the_old_version_and_is_told(config, library, store, small_disk):
    from pipelines import compact as job

    before = answers(config, library, store)
    filler = fill(small_disk)
    told = require_untouched(config, library, store, before, lambda: job.run(config))
    assert "no space left" in str(told).lower()
    filler.unlink()
    done = job.run(config)
    assert done["compacted"] and (done["came"], done["gone"]) == (3, 2)
    assert answers(config, library, store) == before


def test_a_store_that_fills_up_midway_leaves_the_old_version(config, library, store, small_disk):
    from pipelines import compact as job

    before = answers(config, library, store)
    filler = fill(small_disk)
    room = filler.stat().st_size
    while room > 0:
        room -= 8_192
        os.truncate(filler, room)  # a little more room each time, until there is enough
        try:
            assert job.run(config)["compacted"]
            break
        except StorageError as error:
            assert "no space left" in str(error).lower()
            assert active(library) == "v1" and answers(config, library, store) == before
    assert active(library) != "v1" and answers(config, library, store) == before


@pytest.mark.parametrize("root", ["store"])
@pytest.mark.parametrize("name", ["compact", "build_index"])
def test_a_full_temporary_folder_leaves_the_old_version(
    config, library, store, small_disk, monkeypatch, name
):
    job = importlib.import_module(f"pipelines.{name}")
    before = answers(config, library, store)
    temporary = small_disk / "tmp"
    temporary.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(temporary))
        fill(small_disk)
        told = require_untouched(config, library, store, before, lambda: job.run(config))
    assert "no space left" in str(told).lower() and "TMPDIR" in told.fix
