"""A real PostgreSQL for tests: one embedded server a session, one database a test."""

import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from photoorg.config import DatabaseConfig
from photoorg.store.catalog import Catalog
from photoorg.store.embedded import embedded

TEMPLATE = "photoorg_template"
MEMORY = Path("/dev/shm")
ROOM_BYTES = 4_000_000_000
NOT_DURABLE = ("fsync", "full_page_writes", "synchronous_commit", "autovacuum")
"""What only serves data that outlives the session, or statistics of databases that live long."""


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The superuser's URL of an embedded server; its database `postgres` stays empty."""
    with _folder() as folder, embedded(folder) as url:
        with psycopg.connect(url, autocommit=True) as conn:
            for name in NOT_DURABLE:
                conn.execute(f"ALTER SYSTEM SET {name} = off")
            conn.execute("SELECT pg_reload_conf()")
        yield url


@pytest.fixture
def server_folder() -> Iterator[Path]:
    """An empty folder fit for an embedded server, as tmp_path is not.

    Started by root, PostgreSQL runs as a user of its own, whom every new pytest session shuts
    out of pytest's temporary folders.
    """
    with _folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def migrated_template(postgres_url: str) -> str:
    """The name of a database with every migration applied, to copy from."""
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {TEMPLATE}")
    with Catalog(url_of(postgres_url, TEMPLATE), DatabaseConfig()) as catalog:
        catalog.migrate()
    return TEMPLATE


@pytest.fixture
def empty_url(postgres_url: str) -> Iterator[str]:
    """The URL of a new database without tables."""
    yield from _database(postgres_url, "template0")


@pytest.fixture
def catalog_url(postgres_url: str, migrated_template: str) -> Iterator[str]:
    """The URL of a new database with every migration applied."""
    yield from _database(postgres_url, migrated_template)


@pytest.fixture
def catalog(catalog_url: str) -> Iterator[Catalog]:
    """A Catalog of its own for one test."""
    with Catalog(catalog_url, DatabaseConfig(pool_max=16)) as catalog:
        yield catalog


def url_of(server_url: str, database: str) -> str:
    """The URL of another database of the same server."""
    return server_url.replace("@/postgres", f"@/{database}")


@contextmanager
def _folder() -> Iterator[Path]:
    """On disk a copy of a database of 700 files takes half a second, in memory 50 ms."""
    where = MEMORY if MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES else None
    with tempfile.TemporaryDirectory(
        prefix="photoorg-", dir=where, ignore_cleanup_errors=True
    ) as name:
        yield Path(name)


def _database(server_url: str, template: str) -> Iterator[str]:
    name = f"test_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(server_url, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield url_of(server_url, name)
    finally:
        with psycopg.connect(server_url, autocommit=True) as conn:
            conn.execute(f"DROP DATABASE {name} WITH (FORCE)")
