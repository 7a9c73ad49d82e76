"""From the configuration to a database that runs and a catalog that can be used."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import SecretStr

from photoorg.config import PhotoOrgConfig
from photoorg.store.catalog import Catalog
from photoorg.store.embedded import database_url


@contextmanager
def running_database(config: PhotoOrgConfig) -> Iterator[PhotoOrgConfig]:
    """The configuration with the URL of a running database, for as long as the block lasts.

    Steps that open the catalog in turn then share one embedded PostgreSQL. CatalogError if it
    cannot be started.
    """
    with database_url(config) as url:
        database = config.database.model_copy(update={"url": SecretStr(url)})
        yield config.model_copy(update={"database": database})


@contextmanager
def open_catalog(config: PhotoOrgConfig) -> Iterator[Catalog]:
    """The migrated catalog; where no URL is configured, an embedded PostgreSQL runs in the block.

    CatalogError if the database cannot be reached, started or migrated.
    """
    with database_url(config) as url, Catalog(url, config.database) as catalog:
        catalog.migrate()
        yield catalog
