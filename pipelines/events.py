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
from photoorg.store.catalog import spaces
from photoorg.store.opening import open_catalog
from pipelines.entry import Entry
from pipelines.stored_vectors import stored_vectors


def run(config: PhotoOrgConfig, *, visual: bool = True, actor: str = "cli") -> DetectSummary:
    """Find the events of the configured tenant; `visual` also looks at the photos' vectors."""
    with open_catalog(config) as catalog:

        def vectors(photo_ids: Sequence[bytes]) -> NDArray[np.float32] | None:
            with catalog.tenant(config.tenant) as tx:
                space = spaces.get_default(tx, "image")
            return None if space is None else stored_vectors(config, catalog, space, photo_ids)

        return detect_events(
            catalog,
            config.tenant,
            config.events,
            actor=actor,
            gazetteer=gazetteer(),
            vectors=vectors if visual else None,
        )


main = Entry("events", "detect")

if __name__ == "__main__":
    sys.exit(main())
