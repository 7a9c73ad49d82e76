"""A file that a row is about to name is still in the store; which is seldom asked for it."""

from __future__ import annotations

from photoorg.store.catalog import Transaction, blobs
from photoorg.store.layout import blob_path
from photoorg.store.objects import ObjectStore


def promise(tx: Transaction, store: ObjectStore, blob_id: str, data: bytes) -> None:
    """Make sure that the blob, written a moment ago, is there when this transaction commits.

    It begins with this. Only where files of that content were ever removed is the store looked at,
    so that a slow one holds up uploads, and not the connections to the database as well.
    """
    blobs.hold(tx)
    path = blob_path(tx.tenant, blob_id)
    if blobs.removed(tx, [blob_id]) and not store.exists(path):
        store.write(path, data)
