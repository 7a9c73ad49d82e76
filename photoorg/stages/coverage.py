"""Which live photos an index version lacks: its shards' own ids and the log, against the catalog.

What a version holds is read from its files, not from what some job noted of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import IndexCorruptError, NotFoundError
from photoorg.index.manifest import NAME, IndexManifest, file_name
from photoorg.index.photo_ids import BYTES, comparable, contains, hex_ids, names_of
from photoorg.index.seal import FIX
from photoorg.models import IndexVersion
from photoorg.stages.parts import REJECTS
from photoorg.stages.reembedding import INFO, REEMBED
from photoorg.store.catalog import Catalog, Transaction, delta, indexes, photos, runs
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import find_runs

Names = NDArray[np.bytes_]
CHUNK = 100_000


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment: how many parts of ingests were loaded, and how far the log went."""

    parts: int
    seq: int


@dataclass(frozen=True, slots=True)
class Gap:
    """Photos that a version lacks, in order of their id, of the `wanted` that it should hold."""

    photo_ids: list[str]
    wanted: int
    mark: Mark


class Coverage:
    """Compares versions of one tenant with its photos."""

    def __init__(self, store: ObjectStore, catalog: Catalog, tenant: str) -> None:
        self._store = store
        self._catalog = catalog
        self._tenant = tenant

    def gap(self, version: IndexVersion, *, against: IndexVersion | None = None) -> Gap:
        """What the version lacks of the live photos, or of those that `against` holds of them.

        Photos that a re-embedding into the space found to be unusable are not counted as lacking.
        NotFoundError for a version whose files are gone, IndexCorruptError for damaged ones.
        """
        base = self._base(version)
        wanted = None if against is None else self._base(against)
        with self._catalog.tenant(self._tenant) as tx:
            mark = Mark(runs.count_loaded(tx), delta.head(tx))
            # Before the photos and after them: one that comes or goes meanwhile is in one of both.
            before = self._since(tx, version)
            also = None if against is None else self._since(tx, against)
            live = np.concatenate([np.zeros(0, f"S{BYTES}"), *_live(tx)])
            after = self._since(tx, version)
        if wanted is not None and also is not None:
            live = live[_held(wanted, *also, live)]
        there = _held(base, *before, live) | _held(base, *after, live)
        lacking = live[~there]
        if against is None and len(lacking):
            lacking = lacking[~contains(self._unusable(version.space_id), lacking)]
        keys = np.frombuffer(lacking.tobytes(), np.uint8).reshape(-1, BYTES)
        return Gap(hex_ids(keys), len(live), mark)

    def moved(self, tx: Transaction, space_id: str, mark: Mark) -> bool:
        """Whether photos came since the mark that may lack a vector in the space."""
        return runs.count_loaded(tx) != mark.parts or delta.elsewhere(tx, space_id, mark.seq) > 0

    def _base(self, version: IndexVersion) -> Names:
        """Ids in the shards, sorted."""
        folder = version.location.rstrip("/")
        where = f"{folder}/{NAME}"
        manifest = IndexManifest.from_json(self._store.read(where), where)
        found = [np.zeros(0, f"S{BYTES}")]
        for shard in manifest.shards:
            path = f"{folder}/{file_name(shard.slot, 'ids')}"
            rows = shard.rows // len(manifest.space.views)
            data = self._store.read(path)[: rows * BYTES]
            if len(data) < rows * BYTES:
                raise IndexCorruptError(f"{path} is truncated.", fix=FIX)
            found.append(comparable(np.frombuffer(data, np.uint8).reshape(-1, BYTES)))
        return np.sort(np.concatenate(found))

    def _since(self, tx: Transaction, version: IndexVersion) -> tuple[Names, Names]:
        """Photos that came and that went since the version was built, both sorted."""
        found = indexes.get(tx, version.space_id, version.version)
        if found is None:
            raise NotFoundError(f"There is no index version {version.version!r}.")
        came, gone = delta.last_words(tx, version.space_id, found[1])
        return np.sort(names_of(came)), np.sort(names_of(gone))

    def _unusable(self, space_id: str) -> Names:
        """Photos that a re-embedding into the space tried, where another try cannot help."""
        found = [np.zeros(0, f"S{BYTES}")]
        for run in find_runs(self._store, run_dir(self._tenant, REEMBED, "")):
            info = run.read_json(INFO)
            if info is None or info["space"] != space_id:
                continue
            for part in run.parts(REJECTS):
                rows = run.read_part(part, name=REJECTS).select(["key", "retryable"]).to_pylist()
                found.append(names_of([row["key"] for row in rows if not row["retryable"]]))
        return np.sort(np.concatenate(found))


def _held(base: Names, came: Names, gone: Names, wanted: Names) -> NDArray[np.bool_]:
    kept = contains(base, wanted) & ~contains(gone, wanted)
    return np.asarray(kept | contains(came, wanted))


def _live(tx: Transaction) -> Iterator[Names]:
    chunk: list[str] = []
    for photo_id in photos.live_ids(tx):
        chunk.append(photo_id)
        if len(chunk) == CHUNK:
            yield names_of(chunk)
            chunk = []
    yield names_of(chunk)
