"""Anomaly scan over a tenant's library, in one process; fills the review queue."""

from __future__ import annotations

import sys
import time
from typing import Any

from photoorg.config import PhotoOrgConfig
from photoorg.curate.anomaly_review import findings, store
from photoorg.errors import NotFoundError
from photoorg.store.catalog import events, spaces
from photoorg.store.opening import open_catalog
from pipelines.entry import Entry
from pipelines.stored_vectors import stored_vectors


def run(config: PhotoOrgConfig, *, actor: str = "cli") -> dict[str, Any]:
    """Scan the tenant's default space; photos, open, space and seconds."""
    started = time.monotonic()
    with open_catalog(config) as catalog:
        with catalog.tenant(config.tenant) as tx:
            space = spaces.get_default(tx, "image")
            photo_ids = [row.photo_id for row in events.photo_rows(tx)]
        if space is None:
            raise NotFoundError("No photo has a vector yet.", fix="Run `photoorg ingest` first.")
        found = findings(photo_ids, stored_vectors(config, catalog, space, photo_ids))
        with catalog.tenant(config.tenant) as tx:
            count = store(tx, space.id, found, len(photo_ids), actor)
    return {
        "photos": len(photo_ids),
        "found": len(found),
        "open": count,
        "space": space.id,
        "seconds": round(time.monotonic() - started, 3),
    }


main = Entry("anomalies", "scan")

if __name__ == "__main__":
    sys.exit(main())
