"""The trash is emptied: photos that lay in it long enough go for ever, with their files."""

from __future__ import annotations

from photoorg.store.catalog import Catalog, audit, delta, photos, trash
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore

ACTOR = "maintenance"
AT_ONCE = 500


def purge_trash(catalog: Catalog, store: ObjectStore, tenant: str, days: float) -> int:
    """Delete photos that were put into the trash more than `days` ago; how many.

    The row first, in a transaction of its own, so that a photo restored meanwhile stays; then its
    files, unless the same bytes came again. Files outside the store (an ingest by reference) are
    nobody's to delete but their owner's.
    """
    gone = 0
    while True:
        with catalog.tenant(tenant) as tx:
            old = trash.older_than(tx, days, AT_ONCE)
        for photo_id in old:
            gone += _purge(catalog, store, tenant, photo_id, days)
        if len(old) < AT_ONCE:
            return gone


def _purge(catalog: Catalog, store: ObjectStore, tenant: str, photo_id: str, days: float) -> bool:
    with catalog.tenant(tenant) as tx:
        delta.lock(tx)
        if not trash.is_older(tx, photo_id, days) or not photos.delete(tx, photo_id):
            return False
        audit.record(tx, ACTOR, "photo.purge", "photo", photo_id, {"days": days})
    with catalog.tenant(tenant) as tx:
        delta.lock(tx)
        if photos.get(tx, photo_id) is None:
            store.delete(thumb_path(tenant, photo_id))
            store.delete(blob_path(tenant, photo_id))
    return True
