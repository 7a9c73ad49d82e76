"""From finished shards to a version: noted as building, files, the manifest last, then a shadow."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from photoorg.index.manifest import NAME, IndexManifest
from photoorg.models import IndexStatus, IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, Transaction, delta, indexes, spaces
from photoorg.store.layout import index_dir
from photoorg.store.objects import ObjectStore


def new_version() -> str:
    """A version name that sorts by time and is not given twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class Publisher:
    """Puts one version of a tenant's index into the store and the catalog.

    begin, upload, commit, complete, in this order. Whoever dies on the way leaves a version that is
    `building` for ever, which no search looks at and maintenance removes.
    """

    def __init__(
        self, store: ObjectStore, tenant: str, space: EmbeddingSpace, version: str
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._space = space
        self._version = version
        self.directory = index_dir(tenant, space.id, version)

    def begin(self, catalog: Catalog, *, since: int | None = None) -> None:
        """Note that the version is being built: from now on, photos that come or go reach it.

        Their events after position `since` (None: the log's end) stay in the log until it is whole.
        """
        with catalog.tenant(self._tenant) as tx:
            delta.lock(tx)
            spaces.register(tx, self._space)
            if indexes.get(tx, self._space.id, self._version) is None:
                position = delta.head(tx) if since is None else since
                indexes.create(tx, self._record("building"), position)

    def upload(self, folder: Path) -> None:
        """Copy every finished file of a build folder but the manifest."""
        for path in sorted(folder.iterdir()):
            if path.name != NAME and not path.name.startswith("."):
                self._store.upload(f"{self.directory}/{path.name}", path)

    def commit(self, manifest: IndexManifest) -> None:
        """Write the manifest: from now on the version exists."""
        self._store.write(f"{self.directory}/{NAME}", manifest.to_json().encode())

    def complete(self, catalog: Catalog, manifest: IndexManifest) -> None:
        """Make the whole version a shadow: slots may hold it, a cutover may choose it."""
        with catalog.tenant(self._tenant) as tx:
            indexes.complete(tx, self._record("shadow", manifest), manifest.delta_seq)

    def abandon(self, catalog: Catalog) -> None:
        """Remove what there is of a version that will not be finished."""
        with catalog.tenant(self._tenant) as tx:
            if _status(tx, self._space.id, self._version) == "building":
                indexes.set_status(tx, self._space.id, self._version, "deleted")
        self._store.delete_prefix(f"{self.directory}/")

    def _record(self, status: IndexStatus, manifest: IndexManifest | None = None) -> IndexVersion:
        created = manifest.created_at if manifest else datetime.now(UTC).isoformat()
        return IndexVersion(
            tenant=self._tenant,
            space_id=self._space.id,
            version=self._version,
            status=status,
            location=self.directory,
            vectors=manifest.vectors if manifest else 0,
            shards=len(manifest.shards) if manifest else 0,
            created_at=datetime.fromisoformat(created),
            recall_at_10=manifest.recall_at_10 if manifest else None,
        )


def _status(tx: Transaction, space_id: str, version: str) -> IndexStatus | None:
    found = indexes.get(tx, space_id, version)
    return None if found is None else found[0].status
