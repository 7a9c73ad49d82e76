"""Videos of live photos among the files of a part."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from photoorg import schema
from photoorg.config import PhotoOrgConfig, parse
from photoorg.stages.ingest import FusedIngest, Models
from photoorg.stages.parts import Part
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore
from tests.livephotos import plain_video, still, video


def ingest(folder: Path, root: Path, **more: object) -> tuple[Part, ObjectStore]:
    config: PhotoOrgConfig = parse(
        {"storage": {"root": str(root)}, "ingest": {"stages": ["exif"], "micro_batch": 2, **more}}
    )
    store = ObjectStore(config.storage)
    uris = [f"file://{path}" for path in sorted(folder.iterdir())]
    when = datetime(2024, 1, 1, tzinfo=UTC)
    n = len(uris)
    keys = pa.table([uris, [1] * n, ["e"] * n, [when] * n, [0] * n], schema=schema.KEYS)
    return FusedIngest(config, store, Models())(keys), store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "1.jpg").write_bytes(still(1, "ONE"))
    (inside / "1.mov").write_bytes(video("ONE"))
    (inside / "2.mp4").write_bytes(plain_video())
    (inside / "3.mov").write_bytes(video("ONE")[:5_000])
    (inside / "4.jpg").write_bytes(b"")
    return inside


def test_a_video_with_an_identifier_is_kept_apart_from_videos_without(
    folder: Path, tmp_path: Path
) -> None:
    part, store = ingest(folder, tmp_path / "store", originals="copy")
    assert part.photos["content_id"].to_pylist() == ["ONE"]
    rows = {Path(row["key"]).name: row for row in part.rejects.to_pylist()}
    assert set(rows) == {"1.mov", "2.mp4", "3.mov", "4.jpg"}
    found = rows["1.mov"]["companion"]
    assert (found["content_id"], found["mime"], found["duration_s"]) == (
        "ONE",
        "video/quicktime",
        2.5,
    )
    assert rows["1.mov"]["code"] == schema.LIVE_VIDEO and not rows["1.mov"]["retryable"]
    assert "still" in rows["1.mov"]["reason"] and "ONE" in rows["1.mov"]["reason"]
    blob = blob_path("default", found["companion_id"])
    assert store.read(blob) == (folder / "1.mov").read_bytes()
    for name in ("2.mp4", "3.mov"):
        assert rows[name]["companion"] is None and rows[name]["code"] != schema.LIVE_VIDEO
        assert "video" in rows[name]["reason"]


def test_nothing_is_copied_where_originals_stay_where_they_are(
    folder: Path, tmp_path: Path
) -> None:
    part, store = ingest(folder, tmp_path / "store", originals="reference")
    assert [r["companion"] is not None for r in part.rejects.to_pylist()].count(True) == 1
    assert list(store.list("default/blobs")) == []


def test_parts_without_such_videos_look_as_they_always_did(folder: Path, tmp_path: Path) -> None:
    (folder / "1.mov").unlink()
    part, _ = ingest(folder, tmp_path / "store", originals="copy")
    assert part.rejects.schema.names == schema.REJECTS.names
