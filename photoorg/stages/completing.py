"""Stored vectors into a version that is whole already: through the log, as uploads come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.index.photo_ids import comparable, contains, hex_ids, names_of
from photoorg.space import EmbeddingSpace
from photoorg.stages.vectors import read_vectors
from photoorg.store.catalog import Catalog, delta, originals
from photoorg.store.layout import vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import find_runs

ROWS = 1_000


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
        rows = range(start, min(start + ROWS, len(photo_ids)))
        with catalog.tenant(tenant) as tx:
            # Under the lock of the log, under which photos are deleted too.
            delta.lock(tx)
            live = originals.still_live(tx, [photo_ids[row] for row in rows])
            kept = [row for row in rows if photo_ids[row] in live]
            vectors = np.asarray(x_nw[kept], np.float32)
            delta.add(tx, space.id, [photo_ids[row] for row in kept], vectors)
        done += len(kept)
    return done
