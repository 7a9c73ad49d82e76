"""What a part of an ingest says is in the store, looked at once more before its rows say so."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from photoorg.stages.companions import missing_videos
from photoorg.store.catalog import Transaction, blobs
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class Missing:
    """Contents of a part, photos and videos, whose copies or whose thumbnails are gone again."""

    blobs: frozenset[str] = frozenset()
    thumbnails: frozenset[str] = frozenset()


def missing_files(
    tx: Transaction,
    store: ObjectStore,
    photos: pa.Table,
    rejects: pa.Table | None = None,
    *,
    stored: bool,
) -> Missing:
    """Files that were there when a worker wrote the part and are not now, with the others held.

    A photo may be deleted while the same bytes are ingested from elsewhere, and what a killed job
    left is removed once it is old. Only contents that files were ever removed of are looked at.
    The transaction is to be the one that loads the part, and begins with this. `stored`: originals
    were copied, too.
    """
    blobs.hold(tx)
    videos = missing_videos(tx, store, rejects) if stored and rejects is not None else set()
    doubtful = blobs.removed(tx, photos["photo_id"].to_pylist())
    lost = {i for i in doubtful if stored and not store.exists(blob_path(tx.tenant, i))}
    bare = {i for i in doubtful if not store.exists(thumb_path(tx.tenant, i))}
    return Missing(frozenset(lost | videos), frozenset(bare))


def without_thumbnails(photos: pa.Table, missing: Missing) -> pa.Table:
    """Rows of schema.PHOTOS that no longer promise the thumbnails that are missing."""
    if not missing.thumbnails:
        return photos
    gone = pc.is_in(photos["photo_id"], pa.array(sorted(missing.thumbnails), pa.string()))
    kept = pc.and_(photos["has_thumbnail"], pc.invert(gone))
    index = photos.schema.get_field_index("has_thumbnail")
    return photos.set_column(index, photos.schema.field(index), kept)
