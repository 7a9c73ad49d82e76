"""Event detection over a tenant's library.

One process is enough: a hundred thousand photos take about a second, so Ray is not started. Run it
as `ray job submit --working-dir . -- python -m pipelines.events`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.curate.detecting import DetectSummary, detect_events
from photoorg.curate.geography import gazetteer
from photoorg.registry import load
from photoorg.stages.publish import new_version
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog, spaces
from photoorg.store.embedded import database_url
from photoorg.store.objects import ObjectStore


def run(config: PhotoOrgConfig, *, visual: bool = True, actor: str = "cli") -> DetectSummary:
    """Find the events of the configured tenant; `visual` also looks at the photos' vectors."""
    store = ObjectStore(config.storage.root, config.storage)
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()

        def vectors(photo_ids: Sequence[bytes]) -> NDArray[np.float32] | None:
            return stored_vectors(config, store, catalog, photo_ids)

        return detect_events(
            catalog,
            config.tenant,
            config.events,
            actor=actor,
            gazetteer=gazetteer(),
            vectors=vectors if visual else None,
        )


def stored_vectors(
    config: PhotoOrgConfig, store: ObjectStore, catalog: Catalog, photo_ids: Sequence[bytes]
) -> NDArray[np.float32] | None:
    """Unit-norm vectors [n, dim] of the tenant's default space, zeros for photos without one."""
    with catalog.tenant(config.tenant) as tx:
        space = spaces.get_default(tx, "image")
        if space is None or not photo_ids:
            return None
        scratch = f"{config.tenant}/scratch/events-{new_version()}"
        snapshot = VectorSnapshot(store, config.tenant, space, scratch)
        snapshot.take(tx)
    try:
        x_nd = np.zeros((len(photo_ids), space.dim), np.float32)
        place = {photo: number for number, photo in enumerate(photo_ids)}
        for keys, halves in snapshot.batches(snapshot.sources()):
            rows = np.array([place.get(bytes(key), -1) for key in keys], np.int64)
            x_nd[rows[rows >= 0]] = halves[rows >= 0]
    finally:
        snapshot.discard()
    norms = np.linalg.norm(x_nd, axis=1, keepdims=True)
    x_nd /= np.maximum(norms, 1e-12)
    return x_nd if norms.any() else None


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.events`: the same command as `photoorg events detect`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return int(load("photoorg.cli:main")(["events", "detect", *given]))


if __name__ == "__main__":
    sys.exit(main())
