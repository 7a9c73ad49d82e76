"""From finished shards to a version that serves: files first, the manifest last, then the alias."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path

from photoorg.index.manifest import NAME, IndexManifest
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Transaction, indexes
from photoorg.store.layout import index_dir
from photoorg.store.objects import ObjectStore


def new_version() -> str:
    """A version name that sorts by time and is not given twice."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(3)}"


class Publisher:
    """Puts one version of a tenant's index into the store and the catalog."""

    def __init__(
        self, store: ObjectStore, tenant: str, space: EmbeddingSpace, version: str
    ) -> None:
        self._store = store
        self._tenant = tenant
        self._space = space
        self._version = version
        self.directory = index_dir(tenant, space.id, version)

    def upload(self, folder: Path) -> None:
        """Copy every finished file of a build folder but the manifest."""
        for path in sorted(folder.iterdir()):
            if path.name != NAME and not path.name.startswith("."):
                self._store.upload(f"{self.directory}/{path.name}", path)

    def commit(self, manifest: IndexManifest) -> None:
        """Write the manifest: from now on the version exists."""
        self._store.write(f"{self.directory}/{NAME}", manifest.to_json().encode())

    def activate(self, tx: Transaction, manifest: IndexManifest) -> None:
        """Record the version and let it serve, in the caller's transaction."""
        version = IndexVersion(
            tenant=self._tenant,
            space_id=self._space.id,
            version=self._version,
            status="shadow",
            location=self.directory,
            vectors=manifest.vectors,
            shards=len(manifest.shards),
            created_at=datetime.fromisoformat(manifest.created_at),
            recall_at_10=manifest.recall_at_10,
        )
        indexes.create(tx, version, manifest.delta_seq)
        indexes.activate(tx, self._space.id, self._version)
