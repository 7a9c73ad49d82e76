"""Vectors of photos that are there into a version beside the one that serves: through the log."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.errors import NotFoundError
from photoorg.index.photo_ids import comparable, contains, hex_ids, names_of
from photoorg.space import EmbeddingSpace
from photoorg.stages.vectors import read_vectors
from photoorg.store.catalog import Catalog, Transaction, delta, indexes, originals
from photoorg.store.layout import vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run, find_runs

ROWS = 1_000


class Landing:
    """Puts the photos of an ingest into the spaces that the library may move to.

    Their vectors were stored by the run; those of the `spaces` go to the log too, in the
    transaction in which the photos become known, so that every version that is being built or
    waits there holds them. No more than `most` photos are logged: a re-embedding takes in the
    others with less trouble, and embeds none of them again.
    """

    def __init__(
        self, store: ObjectStore, tenant: str, spaces: Sequence[EmbeddingSpace], most: int
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._spaces = tuple(spaces)
        self._most = most
        self._room: dict[str, int] = {}
        self._lacking: set[str] = set()

    def begin(self, tx: Transaction) -> None:
        """Before the photos of a part change: the order in which everybody takes the locks."""
        if self._spaces:
            delta.lock(tx)

    def land(self, tx: Transaction, run_id: str, part: int, photo_ids: Sequence[str]) -> None:
        """Log the vectors of a part of a run, which holds these photos."""
        wanted = np.unique(names_of(photo_ids))
        for space in self._spaces:
            run = Run(self._store, vectors_dir(self._tenant, space.id, run_id))
            try:
                keys, x_nw = read_vectors(run, part, space)
            except NotFoundError:  # of a run that began before the space came
                self._lacking.add(space.id)
                continue
            if not contains(np.sort(comparable(keys)), wanted).all():
                self._lacking.add(space.id)
            if space.id not in self._room:
                self._room[space.id] = self._left(tx, space)
            if len(keys) > self._room[space.id]:
                self._lacking.add(space.id)
                continue
            self._room[space.id] -= _log_live(tx, space, hex_ids(keys), x_nw)

    def whole(self, space: EmbeddingSpace) -> bool:
        """Whether every photo of the ingest got to the space."""
        return space.id in {s.id for s in self._spaces} - self._lacking

    def _left(self, tx: Transaction, space: EmbeddingSpace) -> int:
        """How many more the log takes."""
        came, _ = delta.waiting(tx, space.id, indexes.oldest_seq(tx, space.id) or 0)
        return self._most - came


def log_stored(
    store: ObjectStore,
    catalog: Catalog,
    tenant: str,
    space: EmbeddingSpace,
    photo_ids: Sequence[str],
) -> int:
    """Log the newest stored vectors of these photos in the space; how many there were.

    Every version of the space that is in use then holds them. Photos that went meanwhile stay gone.
    """
    wanted = np.sort(names_of(photo_ids))
    done = 0
    runs = find_runs(store, vectors_dir(tenant, space.id, ""))
    for run, part in ((r, n) for r in reversed(runs) for n in reversed(r.parts())):
        if not len(wanted):
            break
        keys, x_nw = read_vectors(run, part, space)
        names = comparable(keys)
        mine = contains(wanted, names)
        if mine.any():
            done += _log(catalog, tenant, space, hex_ids(keys[mine]), x_nw[mine])
            wanted = wanted[~contains(np.sort(names[mine]), wanted)]
    return done


def _log(
    catalog: Catalog,
    tenant: str,
    space: EmbeddingSpace,
    photo_ids: Sequence[str],
    x_nw: NDArray[np.float16],
) -> int:
    done = 0
    for start in range(0, len(photo_ids), ROWS):
        rows = slice(start, start + ROWS)
        with catalog.tenant(tenant) as tx:
            done += _log_live(tx, space, photo_ids[rows], x_nw[rows])
    return done


def _log_live(
    tx: Transaction,
    space: EmbeddingSpace,
    photo_ids: Sequence[str],
    x_nw: NDArray[np.float16],
) -> int:
    # Under the lock of the log, under which photos are deleted too.
    delta.lock(tx)
    live = originals.still_live(tx, photo_ids)
    kept = [row for row, photo_id in enumerate(photo_ids) if photo_id in live]
    delta.add(tx, space.id, [photo_ids[row] for row in kept], np.asarray(x_nw[kept], np.float32))
    return len(kept)
