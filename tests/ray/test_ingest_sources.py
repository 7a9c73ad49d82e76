"""Ingest of real files: hostile ones, faces, and a bucket on a real S3 server."""

import json
from pathlib import Path

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.store.catalog import Catalog, consent, photos
from photoorg.store.catalog.faces import of_photo
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import find_runs
from tests.pictures import jpeg, library

pytestmark = [pytest.mark.ray, pytest.mark.postgres]
COPIED = {"originals": "copy", "part_rows": 4, "layout": "fused"}
"""By Ray's workers, however few the files are."""


def configured(root: str, url: str, **sections: object) -> PhotoOrgConfig:
    data: dict[str, object] = {
        "storage": {"root": root},
        "database": {"url": url},
        "encoder": {"space": "builtin"},
    }
    return parse(data | sections)


@pytest.mark.data
@pytest.mark.slow
def test_hostile_and_broken_files_become_rejects_with_a_reason(
    tmp_path, catalog, catalog_url, shared_data
):
    from pipelines import ingest

    config = configured(str(tmp_path / "store"), catalog_url)
    folders = [shared_data / "fuzz", shared_data / "exif", shared_data / "neardup"]
    files = [
        f
        for folder in folders
        for f in folder.rglob("*")
        if f.is_file() and not any(p.startswith(".") for p in f.relative_to(folder).parts)
    ]
    summary = ingest.run(config, [str(folder) for folder in folders])
    assert summary.files == len(files)
    assert summary.photos + summary.duplicates + summary.rejects == len(files)
    assert summary.photos > 100 and summary.rejects > 50
    store = ObjectStore(config.storage)
    (run,) = find_runs(store, f"{config.tenant}/runs/ingest")
    rejects = [row for n in run.parts() for row in run.read_part(n, name="rejects").to_pylist()]
    for row in rejects:
        assert len(row["reason"]) > 10 and "Traceback" not in row["reason"], row
        assert row["code"] != "internal", row


@pytest.mark.data
def test_faces_are_found_only_where_they_are_switched_on(
    tmp_path, catalog, catalog_url, shared_data
):
    from pipelines import ingest

    people = sorted(f for f in (shared_data / "faces" / "lfw10").iterdir() if f.is_dir())
    folder = tmp_path / "in"
    folder.mkdir()
    for number, file in enumerate(sorted(person.iterdir())[0] for person in people[:4]):
        (folder / f"{number}.jpg").write_bytes(file.read_bytes())
    sections = {
        "models_dir": str(shared_data / "models"),
        "encoder": {"space": "mobilenetv2", "faces": "faces-mobilefacenet"},
        "ingest": {"stages": ["embed"]},
    }
    config = configured(str(tmp_path / "store"), catalog_url, **sections)
    ingest.run(config, [str(folder)])
    assert _faces(catalog, config) == []
    opted_in = configured(str(tmp_path / "store"), catalog_url, **sections, faces={"enabled": True})
    ingest.run(opted_in, [str(folder)], force=True)
    assert _faces(catalog, config) == []
    with catalog.tenant(config.tenant) as tx:
        for user in (consent.TENANT, opted_in.people.user):
            consent.agree(tx, user, "test")
    ingest.run(opted_in, [str(folder)], force=True)
    found = _faces(catalog, config)
    assert len(found) >= 4
    assert all(len(face.embedding) == 128 for face in found)


def _faces(catalog: Catalog, config: PhotoOrgConfig) -> list[object]:
    with catalog.tenant(config.tenant) as tx:
        return [face for photo_id in list(photos.live_ids(tx)) for face in of_photo(tx, photo_id)]


@pytest.mark.s3
def test_a_bucket_is_read_and_a_bucket_is_written(tmp_path, catalog, catalog_url, s3):
    from pipelines import ingest

    bucket = f"s3://{s3.bucket}/{tmp_path.name}"
    storage = s3.storage(f"{tmp_path.name}/library")
    config = configured(storage.root, catalog_url, ingest=COPIED)
    config = config.model_copy(update={"storage": storage, "source": s3.source()})
    store = ObjectStore(s3.storage(f"{tmp_path.name}/incoming"))
    for number in range(9):
        store.write(f"{number % 2}/{number}.jpg", jpeg(number))
    store.write("0/broken.jpg", b"no photo")
    summary = ingest.run(config, [f"{bucket}/incoming"])
    assert (summary.files, summary.photos, summary.rejects) == (10, 9, 1)
    kept = ObjectStore(config.storage)
    assert len(list(kept.list("default/blobs"))) == 9
    assert len(list(kept.list("default/thumbs"))) == 9
    again = ingest.run(config, [f"{bucket}/incoming"])
    assert again.new == 0 and again.photos == 9


def test_the_command_ends_with_one_json_object(tmp_path, catalog_url, capsys, monkeypatch):
    from photoorg.cli import main

    folder = library(tmp_path / "in", 3, duplicates=1, broken=1)
    config = tmp_path / "photoorg.yaml"
    config.write_text(json.dumps({"encoder": {"space": "builtin"}}))
    monkeypatch.setenv("PHOTOORG_STORAGE__ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("PHOTOORG_DATABASE__URL", catalog_url)
    assert main(["ingest", str(folder), "--config", str(config), "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["files"] == 5 == sum(summary[k] for k in ("photos", "duplicates", "rejects"))
    assert summary["seconds"] > 0 and summary["images_per_second"] > 0
    assert Path(tmp_path / "store").is_dir()
