"""Runs: parts whole or absent, manifest last, damage noticed."""

import sys
from pathlib import Path

import pyarrow as pa
import pytest

from photoorg import schema
from photoorg.config import StorageConfig
from photoorg.errors import InputError, NotFoundError, StorageError
from photoorg.space import EmbeddingSpace
from photoorg.store.layout import run_dir, vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run, find_runs

SPACE = EmbeddingSpace("tiny", "enc", "w", "1", "p", 2)
TABLE = pa.table({"x": [1, 2, 3]})


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path)))


@pytest.fixture
def run(store: ObjectStore) -> Run:
    return Run(store, run_dir("t", "ingest", "r1"))


def test_parts_come_back_by_number_and_family(run: Run) -> None:
    for number in (11, 2, 1_234_567):
        run.write_part(number, TABLE)
    run.write_part(3, TABLE, name="rejects")
    assert run.parts() == [2, 11, 1_234_567]
    assert run.parts("rejects") == [3] and run.parts("rej") == []
    assert run.read_part(11).equals(TABLE)
    with pytest.raises(NotFoundError):
        run.read_part(3)


def test_a_part_written_again_is_replaced(run: Run) -> None:
    run.write_part(0, TABLE)
    run.write_part(0, TABLE.slice(0, 1))
    assert run.parts() == [0] and len(run.read_part(0)) == 1


def test_what_a_killed_writer_left_is_no_part(run: Run, tmp_path: Path) -> None:
    run.write_part(0, TABLE)
    folder = tmp_path / run.directory
    whole = (folder / "part-000000.parquet").read_bytes()
    (folder / ".tmp-123-part").write_bytes(whole[:50])
    (folder / "part-000001.parquet.tmp").write_bytes(whole)
    (folder / "part-x.parquet").write_bytes(whole)
    assert run.parts() == [0]


def test_a_run_is_finished_only_with_its_manifest(run: Run) -> None:
    run.write_part(0, TABLE)
    assert run.manifest() is None
    run.commit({"parts": 1, "files": 3})
    assert run.manifest() == {"parts": 1, "files": 3}


def test_space_and_schema_version_travel_in_the_part(store: ObjectStore) -> None:
    run = Run(store, vectors_dir("t", SPACE.id, "r1"))
    vectors = pa.table(
        [pa.array(["a"]), pa.array([[1.0, 2.0]], pa.list_(pa.float16(), 2))],
        schema=schema.vectors(SPACE),
    )
    run.write_part(0, vectors)
    found = run.read_part(0)
    schema.require_space(found.schema, SPACE, "A part")
    assert found.schema.metadata[b"photoorg.schema"] == schema.SCHEMA_VERSION.encode()
    assert found.equals(vectors) and found.schema.equals(vectors.schema)


def test_damage_is_an_error_that_names_the_file(run: Run, store: ObjectStore) -> None:
    run.write_part(0, TABLE)
    data = store.read(f"{run.directory}/part-000000.parquet")
    store.write(f"{run.directory}/part-000000.parquet", data[:-20])
    with pytest.raises(StorageError, match="part-000000"):
        run.read_part(0)
    for broken in (b"{", b"[]", b"\xff"):
        store.write(f"{run.directory}/manifest.json", broken)
        with pytest.raises(StorageError, match="manifest"):
            run.manifest()


def test_nothing_holds_the_bytes_of_a_part_that_was_read(
    run: Run, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread of Arrow's that lets go of them while the interpreter ends aborts the process."""

    held: list[bytes] = []

    def read(path: str) -> bytes:
        held.append(kept(path))
        return held[-1]

    kept = store.read
    monkeypatch.setattr(store, "read", read)
    held.append(bytes(100))
    alone = sys.getrefcount(held[-1])
    columns = {f"c{i}": [str(j) * 20 for j in range(300)] for i in range(40)}
    for number in range(20):
        run.write_part(number, pa.table(columns))
        assert run.read_part(number).num_rows == 300
        now = sys.getrefcount(held[-1])
        assert now == alone


def test_runs_are_found_finished_or_not_and_removed_whole(store: ObjectStore) -> None:
    for name in ("b", "a"):
        Run(store, run_dir("t", "ingest", name)).write_part(0, TABLE)
    Run(store, run_dir("t", "other", "c")).write_part(0, TABLE)
    found = find_runs(store, run_dir("t", "ingest", ""))
    assert [r.directory for r in found] == ["t/runs/ingest/a", "t/runs/ingest/b"]
    found[0].commit({})
    found[0].delete()
    assert [r.directory for r in find_runs(store, "t/runs/ingest")] == ["t/runs/ingest/b"]
    assert find_runs(store, "nothing/here") == []


def test_a_run_stays_inside_the_store(store: ObjectStore) -> None:
    with pytest.raises(InputError):
        Run(store, "../elsewhere")
