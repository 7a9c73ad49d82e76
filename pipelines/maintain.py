"""Maintenance: compaction where it is due, then what is old goes. Meant to run every hour or so.

ray job submit --working-dir . -- python -m pipelines.maintain
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from photoorg.config import PhotoOrgConfig
from photoorg.errors import IndexNotReadyError, NotFoundError
from photoorg.registry import load
from photoorg.stages.upkeep import Upkeep
from photoorg.store.catalog import Catalog
from photoorg.store.embedded import database_url
from photoorg.store.objects import ObjectStore
from pipelines import compact


def run(config: PhotoOrgConfig) -> dict[str, Any]:
    """Returns what was compacted (None where there is no index), purged, abandoned and trimmed."""
    started = time.monotonic()
    store = ObjectStore(config.storage.root, config.storage)
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()
        database = config.database.model_copy(update={"url": _secret(url)})
        here = config.model_copy(update={"database": database})
        try:
            compacted = compact.run(here, if_due=True)
        except (IndexNotReadyError, NotFoundError):
            compacted = None
        tidied = Upkeep(config, store, catalog).run()
    return {
        "compaction": compacted,
        **tidied.to_dict(),
        "seconds": round(time.monotonic() - started, 3),
    }


def _secret(url: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(url)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.maintain`: the same command as `photoorg maintain`."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    return int(load("photoorg.cli:main")(["maintain", *given]))


if __name__ == "__main__":
    sys.exit(main())
