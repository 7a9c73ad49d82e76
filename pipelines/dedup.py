"""The duplicate job: `photoorg dedup scan`, `python -m pipelines.dedup`.

Hashes, evidence and groups are one process's work at a million photos; the vectors of large
libraries are read where the index build reads them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.curate.neighbours import Neighbours
from photoorg.curate.sweep import sweep
from photoorg.curate.thumbnails import Thumbnails
from photoorg.registry import load
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog, spaces
from photoorg.store.embedded import database_url
from photoorg.store.objects import ObjectStore


def run(config: PhotoOrgConfig) -> dict[str, Any]:
    """Find and store the duplicates of the tenant's live photos; the summary and seconds."""
    started = time.monotonic()
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()
        store = ObjectStore(config.storage.root, config.storage)
        neighbours = _Vectors(config, catalog, store)
        summary = sweep(
            catalog,
            config.tenant,
            config.dedup,
            visual=neighbours.open if config.dedup.neighbours else None,
            pictures=Thumbnails(store, config.tenant) if config.dedup.looks else None,
        )
    return summary.to_dict() | {"seconds": round(time.monotonic() - started, 3)}


class _Vectors:
    """Opens the vectors of the tenant's default space as neighbours."""

    def __init__(self, config: PhotoOrgConfig, catalog: Catalog, store: ObjectStore) -> None:
        self._config, self._catalog, self._store = config, catalog, store

    @contextmanager
    def open(self, keys_n32: NDArray[np.uint8]) -> Iterator[Neighbours | None]:
        """Neighbours for these photos while the block lasts; None without any vectors."""
        tenant = self._config.tenant
        with self._catalog.tenant(tenant) as tx:
            space = spaces.get_default(tx, "image")
        if space is None or not len(keys_n32):
            yield None
            return
        with tempfile.TemporaryDirectory(prefix="photoorg-dedup-") as name:
            scratch = f"{tenant}/scratch/{Path(name).name}"
            snapshot = VectorSnapshot(self._store, tenant, space, scratch)
            try:
                with self._catalog.tenant(tenant) as tx:
                    snapshot.take(tx)
                batches = list(snapshot.sources())
                if not batches:
                    yield None
                    return
                yield Neighbours.build(
                    snapshot.wholes(batches), keys_n32, space, self._config.index, Path(name)
                )
            finally:
                snapshot.discard()


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.dedup`: the same command as `photoorg dedup scan`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return int(load("photoorg.cli:main")(["dedup", "scan", *given]))


if __name__ == "__main__":
    sys.exit(main())
