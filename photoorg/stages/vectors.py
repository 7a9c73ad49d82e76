"""Every stored vector of a tenant in one space, as an index build reads them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg import schema
from photoorg.index.photo_ids import as_keys, comparable, contains
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Transaction, delta, photos
from photoorg.store.layout import vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run, find_runs

Keys = NDArray[np.uint8]
Halves = NDArray[np.float16]
LIVE = "live"
CHANGES = "changes"
SOURCES = "sources.json"
ROWS = 100_000
Source = tuple[str, int, str]
"""A vector file: the run's folder, the part's number, its family."""


class VectorSnapshot:
    """What an index version is to hold, frozen at one position of the delta log.

    The live photos, the vectors of the log and the list of vector files are written to a scratch
    folder, so that every worker of a build sees the same moment without asking the catalog.
    """

    def __init__(self, store: ObjectStore, tenant: str, space: EmbeddingSpace, scratch: str):
        self._store = store
        self._tenant = tenant
        self._space = space
        self._scratch = Run(store, scratch)
        self._sorted: NDArray[np.bytes_] | None = None

    def take(self, tx: Transaction) -> tuple[int, int]:
        """Freeze it; returns the position in the delta log and the number of live photos.

        The position is read first: a photo that comes or goes afterwards is in the log behind it,
        and whoever serves the version applies what is behind it.
        """
        seq = delta.head(tx)
        live = 0
        for number, ids in enumerate(_chunks(photos.live_ids(tx), ROWS)):
            table = pa.table({"photo_id": pa.array(ids, pa.string())})
            self._scratch.write_part(number, table, name=LIVE)
            live += len(ids)
        self._write_changes(tx, seq)
        self._scratch.write_json(SOURCES, {"sources": self._list()})
        return seq, live

    def sources(self) -> list[Source]:
        """Every file of vectors there was, oldest run first, the changes of the log last."""
        found = self._scratch.read_json(SOURCES)
        assert found is not None, "a snapshot is taken before it is read"
        return [
            (str(directory), int(part), str(kind)) for directory, part, kind in found["sources"]
        ]

    def batches(self, sources: Iterable[Source]) -> Iterator[tuple[Keys, Halves]]:
        """Keys [n, 32] and float16 vectors [n, space.width] of the live photos in the files."""
        live = self._live()
        for directory, part, family in sources:
            keys, x_nd = self._read(directory, part, family)
            mask = contains(live, comparable(keys))
            if mask.any():
                yield keys[mask], x_nd[mask]

    def wholes(self, sources: Iterable[Source]) -> Iterator[tuple[Keys, Halves]]:
        """As batches, of every photo the vector of its full view only: [n, dim]."""
        for keys, x_nw in self.batches(sources):
            yield keys, x_nw[:, : self._space.dim]

    def discard(self) -> None:
        """Remove the scratch folder."""
        self._scratch.delete()

    def _list(self) -> list[Source]:
        prefix = vectors_dir(self._tenant, self._space.id, "")
        runs = find_runs(self._store, prefix.rstrip("/"))
        stored = [(run.directory, part, "part") for run in runs for part in run.parts()]
        changed = self._scratch.parts(CHANGES)
        return stored + [(self._scratch.directory, part, CHANGES) for part in changed]

    def _write_changes(self, tx: Transaction, head: int) -> None:
        seq = number = 0
        while events := delta.since(tx, self._space.id, seq, ROWS):
            added = [e for e in events if e.vector is not None and e.seq <= head]
            if added:
                x_nd = np.stack([e.vector for e in added if e.vector is not None])
                self._scratch.write_part(
                    number, vector_table(self._space, [e.photo_id for e in added], x_nd), CHANGES
                )
                number += 1
            seq = events[-1].seq
            if seq >= head:
                return

    def _live(self) -> NDArray[np.bytes_]:
        """The live photos, sorted; read once, however many groups of files are asked for."""
        if self._sorted is None:
            keys = [
                comparable(as_keys(self._scratch.read_part(n, LIVE)["photo_id"].to_pylist()))
                for n in self._scratch.parts(LIVE)
            ]
            self._sorted = np.sort(np.concatenate(keys)) if keys else np.zeros(0, "S32")
        return self._sorted

    def _read(self, directory: str, part: int, family: str) -> tuple[Keys, Halves]:
        return read_vectors(Run(self._store, directory), part, self._space, family)


def read_vectors(
    run: Run, part: int, space: EmbeddingSpace, family: str = "part"
) -> tuple[Keys, Halves]:
    """Keys [n, 32] and vectors [n, space.width] of a part; SpaceMismatchError."""
    table = run.read_part(part, name=family)
    schema.require_space(table.schema, space, f"{run.directory} part {part}")
    flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return as_keys(table["photo_id"].to_pylist()), flat.reshape(len(table), space.width)


def vector_table(
    space: EmbeddingSpace, photo_ids: Sequence[str], x_nw: NDArray[np.float32]
) -> pa.Table:
    """Vectors [n, space.width] under their photo ids in the schema of the space."""
    target = schema.vectors(space)
    halves = pa.array(np.ascontiguousarray(x_nw, np.float16).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(halves, space.width)
    return pa.table([pa.array(photo_ids, pa.string()), vectors], schema=target)


def _chunks(ids: Iterator[str], size: int) -> Iterator[list[str]]:
    while chunk := list(itertools.islice(ids, size)):
        yield chunk
