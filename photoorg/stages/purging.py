"""What lay long enough in the trash, or waited long enough for its still, goes with its files."""

from __future__ import annotations

from photoorg.stages.companions import join
from photoorg.store.catalog import Catalog, audit, blobs, companions, delta, photos, trash
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore

ACTOR = "maintenance"
AT_ONCE = 500
BLOBS_AT_ONCE = 20
"""Nobody may take a blob in use while these are removed, so they are few."""
DAY_S = 86_400.0


def purge_trash(catalog: Catalog, store: ObjectStore, tenant: str, days: float) -> int:
    """Delete photos that were put into the trash more than `days` ago; how many.

    The rows first, each in a transaction of its own, so that a photo restored meanwhile stays; then
    their files, unless the same bytes came again. Files outside the store (an ingest by reference)
    are nobody's to delete but their owner's.
    """
    gone = 0
    while True:
        with catalog.tenant(tenant) as tx:
            old = trash.older_than(tx, days, AT_ONCE)
        for photo_id in old:
            gone += _purge(catalog, tenant, photo_id, days)
        if len(old) < AT_ONCE:
            remove_left_blobs(catalog, store, tenant)
            return gone


def release_videos(catalog: Catalog, store: ObjectStore, tenant: str, days: float) -> int:
    """Let go the bytes of videos whose still has not come for more than `days`; how many.

    Those that could join a still that is there do so first. Killed anywhere, the next call goes on.
    """
    gone = 0
    while True:
        with catalog.tenant(tenant) as tx:
            join(tx)
            released = companions.release(tx, days * DAY_S, AT_ONCE)
            for companion_id in released:
                audit.record(tx, ACTOR, "video.release", "companion", companion_id, {"days": days})
        gone += len(released)
        if len(released) < AT_ONCE:
            remove_left_blobs(catalog, store, tenant)
            return gone


def remove_left_blobs(catalog: Catalog, store: ObjectStore, tenant: str) -> int:
    """Remove the files of rows that are gone, but for those that came again; how many."""
    removed = 0
    while True:
        with catalog.tenant(tenant) as tx:
            blobs.lock(tx)
            left = blobs.leaving(tx, BLOBS_AT_ONCE)
            came = blobs.referred(tx, left)
            free = set(left) - came
            for blob_id in free:
                store.delete(thumb_path(tenant, blob_id))
                store.delete(blob_path(tenant, blob_id))
            blobs.settle(tx, free, came)
        removed += len(free)
        if len(left) < BLOBS_AT_ONCE:
            return removed


def _purge(catalog: Catalog, tenant: str, photo_id: str, days: float) -> bool:
    with catalog.tenant(tenant) as tx:
        delta.lock(tx)
        if not trash.is_older(tx, photo_id, days) or not photos.delete(tx, photo_id):
            return False
        audit.record(tx, ACTOR, "photo.purge", "photo", photo_id, {"days": days})
    return True
