"""Vectors of a tenant's photos, gathered for jobs that run in one process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.space import EmbeddingSpace
from photoorg.stages.publish import new_version
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog
from photoorg.store.objects import ObjectStore


def stored_vectors(
    config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace, photo_ids: Sequence[bytes]
) -> NDArray[np.float32]:
    """Unit-norm vectors [n, dim] in the order of the ids, zeros for photos without one."""
    store = ObjectStore(config.storage)
    scratch = f"{config.tenant}/scratch/vectors-{new_version()}"
    snapshot = VectorSnapshot(store, config.tenant, space, scratch)
    x_nd = np.zeros((len(photo_ids), space.dim), np.float32)
    place = {photo: number for number, photo in enumerate(photo_ids)}
    try:
        with catalog.tenant(config.tenant) as tx:
            snapshot.take(tx)
        for keys, halves in snapshot.wholes(snapshot.sources()):
            rows = np.array([place.get(bytes(key), -1) for key in keys], np.int64)
            x_nd[rows[rows >= 0]] = halves[rows >= 0]
    finally:
        snapshot.discard()
    x_nd /= np.maximum(np.linalg.norm(x_nd, axis=1, keepdims=True), 1e-12)
    return x_nd
