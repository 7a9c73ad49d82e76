"""Clustering jobs: faces into persons, photos into scenes.

Run them as `ray job submit --working-dir . -- python -m pipelines.cluster people cluster`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from photoorg.config import PhotoOrgConfig
from photoorg.curate.people import People, PeopleSummary
from photoorg.registry import load
from photoorg.store.catalog import Catalog
from photoorg.store.embedded import database_url


def people(
    config: PhotoOrgConfig, *, actor: str = "job", space: str | None = None, new: bool = False
) -> PeopleSummary:
    """Group all faces of the tenant into persons, or (`new`) only place those without one."""
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()
        service = People(catalog, config.tenant, config.people, actor)
        return service.place_new(space) if new else service.cluster(space)


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m pipelines.cluster people cluster`: the same as `photoorg people cluster`."""
    return int(load("photoorg.cli:main")(list(sys.argv[1:] if arguments is None else arguments)))


if __name__ == "__main__":
    sys.exit(main())
