from __future__ import annotations

import json
from pathlib import Path

import pytest

from photoorg.errors import IndexCorruptError, NotFoundError, SpaceMismatchError
from photoorg.index.manifest import FileInfo, IndexManifest, ShardInfo
from tests.unit.index.vectors import space

FILES = {"base": FileInfo(10, "aa"), "rescore": FileInfo(20, "bb"), "ids": FileInfo(30, "cc")}
MANIFEST = IndexManifest(
    space=space(8),
    version="v1",
    kind="ivfpq",
    factory="IVF4,PQ4x4fs",
    nlist=4,
    rescore="sq8",
    rescore_factor=20,
    effort=3,
    recall_at_10=0.97,
    vectors=5,
    delta_seq=42,
    shards=(ShardInfo(0, 3, 100, FILES), ShardInfo(1, 2, 90, FILES)),
    training={"train_rows": 5},
)


def test_a_manifest_survives_the_file(tmp_path: Path) -> None:
    MANIFEST.write(tmp_path)
    assert IndexManifest.read(tmp_path) == MANIFEST
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]


def test_it_names_every_file_of_the_version() -> None:
    assert MANIFEST.files() == [
        f"shard-{slot}.{end}" for slot in (0, 1) for end in ("faiss", "rescore", "ids")
    ]


def test_a_version_without_manifest_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="finished"):
        IndexManifest.read(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"schema": "photoorg.index/1"}'])
def test_a_damaged_manifest_is_refused(text: str) -> None:
    with pytest.raises(IndexCorruptError):
        IndexManifest.from_json(text)


def test_another_schema_version_is_refused() -> None:
    text = MANIFEST.to_json().replace("photoorg.index/1", "photoorg.index/9")
    with pytest.raises(IndexCorruptError, match="index/9"):
        IndexManifest.from_json(text)


def test_a_space_that_was_tampered_with_is_a_mismatch() -> None:
    data = json.loads(MANIFEST.to_json())
    data["space"]["weights"] = "others"
    with pytest.raises(SpaceMismatchError):
        IndexManifest.from_json(json.dumps(data))
