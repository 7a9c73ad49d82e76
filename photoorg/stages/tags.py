"""Tag photos again from their stored vectors, without their pixels."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from photoorg.encoders.prompts import Tagger
from photoorg.index.photo_ids import hex_ids
from photoorg.stages.vectors import VectorSnapshot
from photoorg.store.catalog import Catalog, tags
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore

BATCH = 2_000
JOB = "tags"


@dataclass(frozen=True, slots=True)
class Retagged:
    """What came of it: photos that were looked at and the tags they have from it now."""

    photos: int
    tags: int
    space: str

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON form."""
        return asdict(self)


def recompute(
    catalog: Catalog,
    store: ObjectStore,
    tenant: str,
    tagger: Tagger,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> Retagged:
    """Replace the machine's tags of every photo that has a vector in the tagger's space.

    What people gave or refused stays. It commits in batches of BATCH photos; a run that breaks off
    leaves some photos with their old tags, and the next does all of them again. A vector that is
    stored twice counts the later one. `progress` gets photos done and photos in all.
    """
    scratch = run_dir(tenant, JOB, secrets.token_hex(6))
    snapshot = VectorSnapshot(store, tenant, tagger.space, scratch)
    try:
        with catalog.tenant(tenant) as tx:
            _, live = snapshot.take(tx)
        last: dict[str, int] = {}
        for keys, x_nd in snapshot.wholes(snapshot.sources()):
            for start in range(0, len(keys), BATCH):
                ids = hex_ids(keys[start : start + BATCH])
                found = tagger.tag(x_nd[start : start + BATCH].astype(np.float32))
                with catalog.tenant(tenant) as tx:
                    tags.replace(tx, dict(zip(ids, found, strict=True)))
                last |= {photo_id: len(one) for photo_id, one in zip(ids, found, strict=True)}
                if progress is not None:
                    progress(len(last), live)
        return Retagged(len(last), sum(last.values()), tagger.space.id)
    finally:
        snapshot.discard()
