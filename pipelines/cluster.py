"""Clustering jobs: faces into persons, photos into scenes.

Run them as `ray job submit --working-dir . -- python -m pipelines.cluster people cluster`.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.curate.people import People, PeopleSummary
from photoorg.curate.scene_albums import SceneAlbums, ScenesSummary
from photoorg.errors import IndexNotReadyError, NotFoundError
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, photos, spaces, trash
from photoorg.store.opening import open_catalog
from pipelines.entry import Entry
from pipelines.stored_vectors import stored_vectors


def people(
    config: PhotoOrgConfig, *, actor: str = "job", space: str | None = None, new: bool = False
) -> PeopleSummary:
    """Group all faces of the tenant into persons, or (`new`) only place those without one."""
    with open_catalog(config) as catalog:
        service = People(catalog, config.tenant, config.people, actor)
        return service.place_new(space) if new else service.cluster(space)


def scenes(
    config: PhotoOrgConfig, *, actor: str = "job", space: str | None = None
) -> ScenesSummary:
    """Group the tenant's photos into scenes by their vectors in a space (None: the default)."""
    with open_catalog(config) as catalog:
        ids, x_nd, chosen = photo_vectors(config, catalog, space)
        return SceneAlbums(catalog, config.tenant, config.scenes, actor).cluster(
            ids, x_nd, chosen.id
        )


def photo_vectors(
    config: PhotoOrgConfig, catalog: Catalog, space_id: str | None
) -> tuple[list[str], NDArray[np.float32], EmbeddingSpace]:
    """Ids, unit vectors [n, dim] and the space of all photos that can be found."""
    with catalog.tenant(config.tenant) as tx:
        space = spaces.get(tx, space_id) if space_id else spaces.get_default(tx, "image")
        shown = sorted(set(photos.live_ids(tx)) - set(trash.ids(tx)))
    if space is None:
        if space_id:
            raise NotFoundError(
                f"No photo was embedded in a space {space_id!r}.",
                fix="Leave --space out to take the one the library is searched in.",
            )
        raise NotFoundError("There are no photos yet.", fix="Run `photoorg ingest` first.")
    x_nd = stored_vectors(config, catalog, space, [bytes.fromhex(i) for i in shown])
    rows = np.flatnonzero(x_nd.any(axis=1))
    if not len(rows):
        raise IndexNotReadyError("There are no photos yet.", fix="Run `photoorg ingest` first.")
    return [shown[row] for row in rows], x_nd[rows], space


main = Entry()

if __name__ == "__main__":
    sys.exit(main())
