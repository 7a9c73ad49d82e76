"""Clustering jobs: faces into persons, photos into scenes.

Run them as `ray job submit --working-dir . -- python -m pipelines.cluster people cluster`.
"""

from __future__ import annotations

import secrets
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.curate.people import People, PeopleSummary
from photoorg.curate.scene_albums import SceneAlbums, ScenesSummary
from photoorg.errors import IndexNotReadyError, NotFoundError
from photoorg.index.photo_ids import hex_ids
from photoorg.registry import load
from photoorg.space import EmbeddingSpace
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog, spaces, trash
from photoorg.store.embedded import database_url
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore


def people(
    config: PhotoOrgConfig, *, actor: str = "job", space: str | None = None, new: bool = False
) -> PeopleSummary:
    """Group all faces of the tenant into persons, or (`new`) only place those without one."""
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()
        service = People(catalog, config.tenant, config.people, actor)
        return service.place_new(space) if new else service.cluster(space)


def scenes(
    config: PhotoOrgConfig, *, actor: str = "job", space: str | None = None
) -> ScenesSummary:
    """Group the tenant's photos into scenes by their vectors in a space (None: the default)."""
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()
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
        hidden = set(trash.ids(tx))
    if space is None:
        raise NotFoundError("No such space is known.", fix="Run `photoorg ingest` first.")
    store = ObjectStore(config.storage.root, config.storage)
    scratch = run_dir(config.tenant, "scenes", secrets.token_hex(8))
    snapshot = VectorSnapshot(store, config.tenant, space, scratch)
    rows: dict[str, NDArray[np.float16]] = {}
    try:
        with catalog.tenant(config.tenant) as tx:
            snapshot.take(tx)
        for keys, x_nd in snapshot.wholes(snapshot.sources()):
            rows.update(zip(hex_ids(keys), x_nd, strict=True))
    finally:
        snapshot.discard()
    ids = sorted(rows.keys() - hidden)
    if not ids:
        raise IndexNotReadyError("There are no photos yet.", fix="Run `photoorg ingest` first.")
    x_nd = np.stack([rows[i] for i in ids]).astype(np.float32)
    x_nd /= np.maximum(np.linalg.norm(x_nd, axis=1, keepdims=True), 1e-6)
    return ids, x_nd, space


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.cluster people cluster`: the same as `photoorg people cluster`."""
    return int(load("photoorg.cli:main")(list(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    sys.exit(main())
