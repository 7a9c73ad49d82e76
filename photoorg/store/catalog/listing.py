"""The files a source lists, noted as they come: known or not, and counted when all is done."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import IO

from photoorg.models import SourceFile
from photoorg.store.catalog import runs, sources
from photoorg.store.catalog.connection import Catalog
from photoorg.store.catalog.keys import uri_key

KEY_BYTES = 16
IN_MEMORY = 16 * 2**20


class Listing:
    """Notes 16 bytes a file, in memory and then on disk; holds no connection while a job runs."""

    def __init__(self, catalog: Catalog, tenant: str) -> None:
        self._catalog = catalog
        self._tenant = tenant
        self._noted: IO[bytes] = tempfile.SpooledTemporaryFile(IN_MEMORY)
        self.files = 0

    def __enter__(self) -> Listing:
        return self

    def __exit__(self, *_: object) -> None:
        self._noted.close()

    def add(self, files: Sequence[SourceFile]) -> list[bool]:
        """Note files; for each, whether the catalog dealt with just that state (etag) of it."""
        for file in files:
            self._noted.write(uri_key(file.uri))
        self.files += len(files)
        with self._catalog.tenant(self._tenant) as tx:
            known = sources.known(tx, [file.uri for file in files])
        return [known.get(file.uri) == file.etag for file in files]

    def totals(self) -> runs.Totals:
        """What the files noted came to; one listed twice counts once."""
        self._noted.seek(0)
        with self._catalog.tenant(self._tenant) as tx:
            return runs.totals_of_keys(tx, iter(lambda: self._noted.read(KEY_BYTES), b""))
