"""Files that no row knows go from a bucket as from a folder."""

from __future__ import annotations

import time

import pytest

from photoorg.stages.orphans import OrphanSweep
from photoorg.store.catalog import Catalog, photos
from photoorg.store.layout import blob_path, thumb_path
from photoorg.store.objects import ObjectStore
from tests.catalog import rows
from tests.s3server import S3Server

pytestmark = [pytest.mark.s3, pytest.mark.postgres]
T = "default"


def test_files_without_a_row_are_swept_from_a_bucket(
    s3: S3Server, s3_prefix: str, catalog: Catalog
) -> None:
    store = ObjectStore(s3.storage(s3_prefix))
    with catalog.tenant(T) as tx:
        table = rows.photos(rows.photo("known"))
        photos.copy_part(tx, "run", 0, table, rows.rejects(), stored=True)
        tx.conn.execute("UPDATE tenants SET created_at = now() - interval '1 day'")
    paths = [
        path(T, rows.photo_id(n)) for n in ("known", "lost") for path in (blob_path, thumb_path)
    ]
    for path in paths:
        store.write(path, b"x")
    time.sleep(1.1)  # a bucket tells whole seconds
    assert OrphanSweep(catalog, store, T, 1.0).run(remove=True, most=1.0).files == 0
    found = OrphanSweep(catalog, store, T, 0.0).run(remove=True, most=1.0)
    assert (found.files, found.blobs, found.thumbnails, found.removed) == (4, 1, 1, 1)
    assert sorted(store.list()) == sorted(paths[:2])
