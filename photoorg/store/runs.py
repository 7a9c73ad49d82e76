"""Runs: numbered Parquet parts under one folder, whole when their manifest is there."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from photoorg.errors import NotFoundError, StorageError
from photoorg.store.objects import ObjectStore
from photoorg.store.paths import checked

MANIFEST = "manifest.json"
PART = re.compile(r"(?P<name>[a-z][a-z0-9_]*)-(?P<number>\d{6,})\.parquet")


class Run:
    """One run of a job.

    A part exists only under its final name, whole; writing it again replaces it. The manifest is
    written last: a run without one was not finished. Schema metadata (space, schema version)
    travels inside every part.
    """

    def __init__(self, store: ObjectStore, directory: str) -> None:
        self.directory = checked(directory)
        self._store = store

    def __repr__(self) -> str:
        return f"Run({self._store.root!r}, {self.directory!r})"

    def write_part(self, number: int, table: pa.Table, name: str = "part") -> None:
        """Write part `number` of the family `name`."""
        self._write_table(_part_name(name, number), table)

    def read_part(self, number: int, name: str = "part") -> pa.Table:
        """Part `number`; NotFoundError if it was not written, StorageError if it is damaged."""
        return self._read_table(_part_name(name, number))

    def parts(self, name: str = "part") -> list[int]:
        """Numbers of the parts that are there, ascending."""
        found = (PART.fullmatch(file) for file in self._files(f"{name}-"))
        return sorted(int(m["number"]) for m in found if m and m["name"] == name)

    def write_json(self, name: str, data: Mapping[str, Any]) -> None:
        """Write a small document beside the parts."""
        text = json.dumps(data, indent=2, sort_keys=True)
        self._store.write(f"{self.directory}/{checked(name)}", text.encode())

    def read_json(self, name: str) -> dict[str, Any] | None:
        """A small document, None if there is none; StorageError if it is no JSON object."""
        path = f"{self.directory}/{checked(name)}"
        try:
            data = json.loads(self._store.read(path))
        except NotFoundError:
            return None
        except ValueError:
            data = None
        if not isinstance(data, dict):
            raise StorageError(f"{path} is damaged.", fix="Delete the run's folder and run again.")
        return data

    def commit(self, manifest: Mapping[str, Any]) -> None:
        """Write the manifest: from now on the run is finished."""
        self.write_json(MANIFEST, manifest)

    def manifest(self) -> dict[str, Any] | None:
        """What commit wrote, None while the run is not finished."""
        return self.read_json(MANIFEST)

    def delete(self) -> None:
        """Remove the run, manifest first, so that no half of it looks finished."""
        self._store.delete(f"{self.directory}/{MANIFEST}")
        self._store.delete_prefix(f"{self.directory}/")

    def _files(self, start: str) -> list[str]:
        prefix = f"{self.directory}/"
        return [path.removeprefix(prefix) for path in self._store.list(prefix + start)]

    def _write_table(self, name: str, table: pa.Table) -> None:
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        self._store.write(f"{self.directory}/{name}", sink.getvalue())

    def _read_table(self, name: str) -> pa.Table:
        path = f"{self.directory}/{name}"
        data = pa.BufferReader(self._store.read(path))
        try:
            # In this thread alone: one of Arrow's that still held the bytes when the interpreter
            # ended would abort the process.
            with pq.ParquetFile(data) as file:
                return file.read(use_threads=False)
        except (pa.ArrowInvalid, OSError) as error:
            raise StorageError(
                f"{path} is damaged: {error}.", fix="Delete it and run the job again."
            ) from error


def find_runs(store: ObjectStore, prefix: str) -> list[Run]:
    """Runs in the folder `prefix`, finished or not, in the order of their names."""
    folder = prefix if not prefix or prefix.endswith("/") else f"{prefix}/"
    names = {path.removeprefix(folder).partition("/")[0] for path in store.list(folder)}
    return [Run(store, folder + name) for name in sorted(names)]


def _part_name(name: str, number: int) -> str:
    file = f"{name}-{number:06d}.parquet"
    assert PART.fullmatch(file), "a part's name is lower-case letters, digits and underscores"
    return file
