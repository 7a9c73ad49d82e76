"""The cache of downloaded index files keeps to its budget and to what is in use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from photoorg.search.cache import trim_cache


def version(root: Path, name: str, size: int, used: float) -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "shard-0.faiss").write_bytes(bytes(size - 10))
    (folder / "shard-0.ids").write_bytes(bytes(10))
    os.utime(folder, (used, used))
    return folder


@pytest.fixture
def three(tmp_path) -> list[Path]:
    """Three versions of 1,000 bytes, the one used least lately first."""
    names = ("b/space/v9", "a/space/v1", "a/other/v1")
    return [version(tmp_path, name, 1_000, 10.0 * n) for n, name in enumerate(names)]


@pytest.mark.parametrize(("budget", "left"), [(3_000, 3), (2_999, 2), (2_000, 2), (1_999, 1)])
def test_what_was_loaded_least_lately_goes_until_the_rest_fits(tmp_path, three, budget, left):
    assert trim_cache(tmp_path, budget, set()) == three[: 3 - left]
    assert [folder.exists() for folder in three] == [False] * (3 - left) + [True] * left


def test_what_is_in_use_stays_however_large_and_old(tmp_path, three):
    assert trim_cache(tmp_path, 0, {three[0]}) == three[1:]
    assert three[0].exists() and (three[0] / "shard-0.faiss").stat().st_size == 990


def test_a_cache_that_is_not_there_yet_is_empty(tmp_path):
    assert trim_cache(tmp_path / "none", 0, set()) == []
    (tmp_path / "stray").write_bytes(b"x")
    assert trim_cache(tmp_path, 0, set()) == [] and (tmp_path / "stray").exists()
