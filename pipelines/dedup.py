"""The duplicate job: `photoorg dedup scan`, `python -m pipelines.dedup`.

Hashes, evidence and groups are one process's work at a million photos; the vectors of large
libraries are read where the index build reads them.
"""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.curate.facts import Facts
from photoorg.curate.neighbours import Neighbours
from photoorg.curate.scoring import Scored
from photoorg.curate.sweep import compare, sweep
from photoorg.curate.thumbnails import Thumbnails
from photoorg.encoders.base import Encoder
from photoorg.encoders.spaces import open_encoder
from photoorg.errors import PhotoOrgError
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog, spaces
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from pipelines.entry import Entry

log = logging.getLogger(__name__)


def run(config: PhotoOrgConfig, *, confidence: float | None = None) -> dict[str, Any]:
    """Find and store the duplicates of the tenant's live photos; the summary and seconds.

    `confidence` goes before what is calibrated and configured.
    """
    started = time.monotonic()
    with _opened(config) as (catalog, sources):
        summary = sweep(catalog, config.tenant, config.dedup, confidence=confidence, **sources)
    return summary.to_dict() | {"seconds": round(time.monotonic() - started, 3)}


def compared(config: PhotoOrgConfig) -> tuple[Facts, Scored]:
    """The tenant's live photos and their scored pairs; writes nothing."""
    with _opened(config) as (catalog, sources):
        return compare(catalog, config.tenant, config.dedup, **sources)


@contextmanager
def _opened(config: PhotoOrgConfig) -> Iterator[tuple[Catalog, dict[str, Any]]]:
    """The catalog, and where vectors, pictures and the encoder come from."""
    dedup = config.dedup
    with open_catalog(config) as catalog:
        store = ObjectStore(config.storage)
        vectors = _Vectors(config, catalog, store)
        yield (
            catalog,
            {
                "visual": vectors.open if dedup.neighbours else None,
                "pictures": Thumbnails(store, config.tenant) if dedup.looks else None,
                "encoder": vectors.encoder if dedup.looks and dedup.turned_views else None,
            },
        )


class _Vectors:
    """Opens the vectors of the tenant's default space as neighbours."""

    def __init__(self, config: PhotoOrgConfig, catalog: Catalog, store: ObjectStore) -> None:
        self._config, self._catalog, self._store = config, catalog, store

    def encoder(self) -> Encoder | None:
        """The encoder of those vectors; None where it is another one or cannot be loaded here."""
        with self._catalog.tenant(self._config.tenant) as tx:
            space = spaces.get_default(tx, "image")
        try:
            encoder = open_encoder(self._config.encoder, self._config.models_dir)
        except PhotoOrgError as error:
            log.warning("turned pictures are found by their hashes only: %s", error)
            return None
        return encoder if space is not None and encoder.space.id == space.id else None

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


main = Entry("dedup", "scan")

if __name__ == "__main__":
    sys.exit(main())
