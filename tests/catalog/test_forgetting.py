"""Withdrawn consent reaches the files of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from photoorg import schema
from photoorg.config import StorageConfig, parse
from photoorg.curate.forgetting import withdraw
from photoorg.stages.consenting import consented
from photoorg.stages.job import KEYS, IngestJob, Work
from photoorg.stages.parts import REJECTS
from photoorg.store.catalog import Catalog, consent
from photoorg.store.catalog.consent import TENANT
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run
from tests.catalog import rows
from tests.catalog.portraits import USER, T, agree, load, portraits, table, who

pytestmark = pytest.mark.postgres


def test_files_of_runs_lose_the_faces_of_that_user_only(catalog: Catalog, tmp_path: Path) -> None:
    store = ObjectStore(StorageConfig(root=str(tmp_path)))
    agree(catalog, TENANT, USER, "other")
    load(catalog, "r1", *portraits(1, 2))
    run = Run(store, run_dir(T, "ingest", "r1"))
    run.write_part(0, table(*portraits(1, 2)))
    run.write_part(1, table(*portraits(2, 2), user="other"))
    gone = withdraw(catalog, store, T, USER, "me")
    assert (gone.faces, who(catalog)) == (2, {})
    assert run.read_part(0)["faces"].null_count == 2
    assert run.read_part(0)["photo_id"].to_pylist() == [p["photo_id"] for p in portraits(1, 2)]
    assert run.read_part(1)["faces"].null_count == 0
    withdraw(catalog, store, T, TENANT, "me")
    assert run.read_part(1)["faces"].null_count == 2


def test_faces_are_switched_off_where_nobody_agreed(catalog: Catalog) -> None:
    config = parse({"tenant": T, "faces": {"enabled": True}})
    assert not consented(config, catalog).faces.enabled
    agree(catalog)
    assert consented(config, catalog).faces.enabled
    with catalog.tenant(T) as tx:
        consent.withdraw(tx, USER, "me")
    assert not consented(config, catalog).faces.enabled
    assert not consented(parse({"tenant": T}), catalog).faces.enabled


def test_faces_found_while_consent_was_withdrawn_leave_the_file_of_their_part(
    catalog: Catalog, tmp_path: Path
) -> None:
    config = parse({"tenant": T, "storage": {"root": str(tmp_path)}})
    store = ObjectStore(config.storage)
    agree(catalog, TENANT, USER, "other")
    run = Run(store, run_dir(T, "ingest", "r1"))
    withdraw(catalog, store, T, USER, "me")
    for part, user in enumerate((USER, "other")):
        run.write_part(part, table(*portraits(1 + part, 2), user=user))
        run.write_part(part, rows.rejects(), name=REJECTS)
        run.write_part(part, schema.KEYS.empty_table(), name=KEYS)
        job = IngestJob(config, store, catalog, None)
        job.load(Work("r1", run, (), 2, 4, 0), part)
    assert {name[:2] for name in who(catalog)} == {"p2"}
    assert [run.read_part(part)["faces"].null_count for part in (0, 1)] == [2, 0]
    assert run.read_part(0)["photo_id"].to_pylist() == [p["photo_id"] for p in portraits(1, 2)]
