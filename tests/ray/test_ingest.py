"""The ingest job on a real local Ray cluster, a real PostgreSQL and a folder of real files."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.errors import NotFoundError, ResourceError
from photoorg.store.catalog import Catalog, pairs, photos
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import find_runs
from tests.livephotos import plain_video, still, video
from tests.pictures import jpeg, library

pytestmark = [pytest.mark.ray, pytest.mark.postgres]


def configured(tmp_path: Path, url: str, **ingest: object) -> PhotoOrgConfig:
    return parse(
        {
            "storage": {"root": str(tmp_path / "store")},
            "database": {"url": url},
            "encoder": {"space": "builtin"},
            "ingest": {"part_rows": 8, "micro_batch": 4, **ingest},
        }
    )


def stored(config: PhotoOrgConfig) -> dict[str, object]:
    """Everything the catalog knows of the tenant's photos, by id."""
    assert config.database.url is not None
    with (
        Catalog(config.database.url.get_secret_value(), config.database) as catalog,
        catalog.tenant(config.tenant) as tx,
    ):
        ids = list(photos.live_ids(tx))
        assert len(ids) == len(set(ids)), "a photo is there twice"
        return photos.get_many(tx, ids)


@pytest.mark.parametrize("layout", ["auto", "fused", "split"])
def test_every_file_becomes_a_photo_a_duplicate_or_a_reject(tmp_path, catalog_url, layout):
    from pipelines import ingest

    folder = library(tmp_path / "in", 20, duplicates=3, broken=6)
    config = configured(tmp_path, catalog_url, layout=layout)
    summary = ingest.run(config, [str(folder)])
    assert (summary.files, summary.photos, summary.duplicates, summary.rejects) == (29, 20, 3, 6)
    found = stored(config)
    assert len(found) == 20
    store = ObjectStore(config.storage)
    for photo in found.values():
        assert (photo.width, photo.height, photo.status) == (160, 120, "ready")
        assert photo.hashes is not None and photo.quality is not None and photo.has_thumbnail
    assert len(list(store.list(f"{config.tenant}/thumbs"))) == 20

    again = ingest.run(config, [str(folder)])
    assert (again.files, again.photos, again.duplicates, again.rejects) == (29, 20, 3, 6)
    assert again.new == 0, "nothing is done twice"


def test_only_new_files_are_worked_on(tmp_path, catalog_url):
    from pipelines import ingest

    folder = library(tmp_path / "in", 6)
    config = configured(tmp_path, catalog_url)
    ingest.run(config, [str(folder)], limit=4)
    assert len(stored(config)) == 4
    (folder / "new.jpg").write_bytes(jpeg(99))
    dry = ingest.run(config, [str(folder)], dry_run=True)
    assert dry.new == 3 and len(stored(config)) == 4, "a dry run counts and writes nothing"
    assert ingest.run(config, [str(folder)]).new == 3
    forced = ingest.run(config, [str(folder)], force=True)
    assert forced.new == 7 and len(stored(config)) == 7


def test_one_stage_alone_keeps_what_the_others_made(tmp_path, catalog_url):
    from pipelines import ingest

    folder = library(tmp_path / "in", 5)
    config = configured(tmp_path, catalog_url, stages=["exif", "quality"])
    ingest.run(config, [str(folder)])
    assert all(p.hashes is None for p in stored(config).values())
    ingest.run(config, [str(folder)], stages=["hash"], force=True)
    for photo in stored(config).values():
        assert photo.hashes is not None and photo.quality is not None


@pytest.mark.timeout(600)
def test_a_killed_job_goes_on_where_it_was(tmp_path, catalog_url):
    import ray

    ray.shutdown()  # the jobs below start clusters of their own; two cores carry one at a time
    folder = library(tmp_path / "in", 150, duplicates=10, broken=5)
    config = configured(tmp_path, catalog_url)
    environment = {
        **os.environ,
        "PHOTOORG_STORAGE__ROOT": config.storage.root,
        "PHOTOORG_DATABASE__URL": catalog_url,
        "PHOTOORG_ENCODER__SPACE": "builtin",
        "PHOTOORG_INGEST__PART_ROWS": "8",
    }
    command = [sys.executable, "-m", "photoorg.cli", "ingest", str(folder), "--json"]
    store = ObjectStore(config.storage)
    killed = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for_parts(store, config.tenant, 3, killed)
    finally:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
    (run,) = find_runs(store, f"{config.tenant}/runs/ingest")
    committed = {n: run.read_part(n)["photo_id"].to_pylist() for n in run.parts()}
    assert run.manifest() is None and 0 < len(committed) < 21

    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout.splitlines()[-1])
    assert (summary["files"], summary["photos"]) == (165, 150)
    assert (summary["duplicates"], summary["rejects"]) == (10, 5)
    assert len(stored(config)) == 150
    (finished,) = find_runs(store, f"{config.tenant}/runs/ingest")
    assert finished.manifest() is not None
    for number, ids in committed.items():
        assert finished.read_part(number)["photo_id"].to_pylist() == ids


def _wait_for_parts(
    store: ObjectStore, tenant: str, wanted: int, process: subprocess.Popen[bytes]
) -> None:
    for _ in range(2_400):
        runs = find_runs(store, f"{tenant}/runs/ingest")
        if any(len(run.parts()) >= wanted for run in runs):
            return
        assert process.poll() is None, "the job ended before it could be killed"
        time.sleep(0.1)
    pytest.fail("no part was committed within four minutes")


def test_what_cannot_run_is_refused_before_anything_is_written(tmp_path, catalog_url):
    from pipelines import ingest

    folder = library(tmp_path / "in", 2)
    config = configured(tmp_path, catalog_url, workers=64, worker_cpus=1.0)
    with pytest.raises(ResourceError, match="wait for"):
        ingest.run(config, [str(folder)])
    assert find_runs(ObjectStore(config.storage), "default/runs") == []
    with pytest.raises(NotFoundError):
        ingest.run(configured(tmp_path, catalog_url), [str(tmp_path / "nowhere")])


@pytest.mark.parametrize("layout", ["fused", "split"])
def test_live_photos_are_one_photo_of_two_files_in_whatever_order_they_come(
    tmp_path, catalog_url, layout
):
    from pipelines import ingest

    folder = library(tmp_path / "in", 4)
    (folder / "a.mov").write_bytes(video("ONE"))
    (folder / "b.mov").write_bytes(video("TWO"))
    (folder / "b.jpg").write_bytes(still(51, "TWO"))
    (folder / "c.mp4").write_bytes(plain_video())
    config = configured(tmp_path, catalog_url, layout=layout, part_rows=2, originals="copy")
    first = ingest.run(config, [str(folder)])
    assert (first.files, first.photos, first.duplicates, first.rejects) == (8, 5, 1, 2)
    assert (first.live_videos, first.waiting_videos) == (1, 1)
    (folder / "a.jpg").write_bytes(still(50, "ONE"))
    second = ingest.run(config, [str(folder)])
    assert second.new == 1, "the video is not read again"
    assert (second.files, second.photos, second.duplicates, second.rejects) == (9, 6, 2, 1)
    assert (second.live_videos, second.waiting_videos) == (2, 0)
    found = {photo.filename: photo.photo_id for photo in stored(config).values()}
    with (
        Catalog(catalog_url, config.database) as catalog,
        catalog.tenant(config.tenant) as tx,
    ):
        (pair,) = pairs.of_photo(tx, found["a.jpg"])
    assert pair.kind == "live_photo" and any("2.5 s" in line for line in pair.evidence)
    store = ObjectStore(config.storage)
    assert store.read(blob_path(config.tenant, pair.second_id)) == video("ONE")
