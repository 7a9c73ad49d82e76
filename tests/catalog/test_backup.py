"""The README's way to back up and restore the database, with the server's own programs."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from photoorg.config import DatabaseConfig
from photoorg.store.catalog import Catalog, delta, photos
from tests.catalog import rows

pytestmark = pytest.mark.postgres
T = "a"


@pytest.fixture
def programs(postgres_url) -> Path:
    """The folder of pg_dump and pg_restore of the embedded server's version."""
    with psycopg.connect(postgres_url) as conn:
        (data,) = conn.execute("SHOW data_directory").fetchone()
    pid = int((Path(data) / "postmaster.pid").read_text().split()[0])
    return Path(os.path.realpath(f"/proc/{pid}/exe")).parent


def run(program: Path, *arguments: str) -> None:
    done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_what_was_dumped_is_restored_into_an_empty_database_and_goes_on(
    catalog, catalog_url, empty_url, programs, tmp_path
):
    with catalog.tenant(T) as tx:
        table = rows.photos(*(rows.photo(f"{n}.jpg") for n in range(3)))
        photos.copy_part(tx, "r", 0, table, rows.rejects(rows.failure("bad")))
        assert photos.delete(tx, rows.photo_id("2.jpg"))
        before, seq = photos.page(tx), delta.head(tx)
    dump = str(tmp_path / "photoorg.dump")
    run(programs / "pg_dump", "--format=custom", f"--file={dump}", catalog_url)
    with Catalog(empty_url, DatabaseConfig()) as restored:
        restored.migrate()
    run(
        programs / "pg_restore",
        *("--clean", "--if-exists", "--no-owner", f"--dbname={empty_url}", dump),
    )
    with Catalog(empty_url, DatabaseConfig()) as restored:
        assert restored.migrate() == []
        with restored.tenant(T) as tx:
            assert photos.page(tx) == before and delta.head(tx) == seq
            assert photos.delete(tx, rows.photo_id("0.jpg")) and delta.head(tx) > seq
        with restored.tenant("b") as tx:
            assert photos.count(tx) == 0
