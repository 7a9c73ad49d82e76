"""Connecting, migrating, and what a person reads when either goes wrong."""

import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from photoorg.config import DatabaseConfig
from photoorg.errors import CatalogError
from photoorg.store.catalog import Catalog, migrating, photos
from tests.catalog import rows
from tests.threads import at_once

pytestmark = pytest.mark.postgres
SECRET = "s3cr3t-pass"
FAST = DatabaseConfig(connect_timeout_s=2)


def password_url(postgres_url: str, database: str = "postgres", port: int = 1) -> str:
    return f"postgresql://ann:{SECRET}@127.0.0.1:{port}/{database}"


def test_migrating_twice_applies_everything_once(empty_url: str) -> None:
    with Catalog(empty_url, FAST) as catalog:
        numbers = [m.number for m in migrating.shipped()]
        assert numbers == sorted(set(numbers)) and numbers[0] == 1
        assert catalog.migrate() == numbers
        assert catalog.migrate() == []


def test_migrating_from_several_processes_at_once_is_safe(empty_url: str) -> None:
    code = (
        "import sys; from photoorg.config import DatabaseConfig\n"
        "from photoorg.store.catalog import Catalog\n"
        "print(Catalog(sys.argv[1], DatabaseConfig()).migrate())"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_url], stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    found = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    everything = str([m.number for m in migrating.shipped()])
    assert sorted(found) == [everything, "[]", "[]", "[]"]


def test_a_database_of_a_newer_photoorg_is_refused(catalog: Catalog, catalog_url: str) -> None:
    with psycopg.connect(catalog_url) as conn:
        conn.execute("INSERT INTO schema_migrations VALUES (9000, '9000_future.sql', 'x')")
    with pytest.raises(CatalogError, match="newer photoorg") as caught:
        catalog.migrate()
    assert not caught.value.retryable


def test_an_altered_migration_is_refused(catalog: Catalog, catalog_url: str) -> None:
    with psycopg.connect(catalog_url) as conn:
        conn.execute("UPDATE schema_migrations SET checksum = 'other' WHERE number = 1")
    with pytest.raises(CatalogError, match="0001_"):
        catalog.migrate()


def test_an_application_role_that_may_bypass_is_refused(postgres_url: str, empty_url: str) -> None:
    role = "bypasser_" + empty_url.split("@/")[1].split("?")[0][-8:]
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {role} BYPASSRLS")
        try:
            with (
                pytest.raises(CatalogError, match="bypass row level security"),
                Catalog(empty_url, DatabaseConfig(app_role=role)) as catalog,
            ):
                catalog.migrate()
        finally:
            conn.execute(f"DROP ROLE {role}")


def test_a_database_without_tables_says_to_migrate(empty_url: str) -> None:
    for config in (FAST, DatabaseConfig(app_role="never_made")):
        with Catalog(empty_url, config) as catalog:
            with pytest.raises(CatalogError, match="migrate"), catalog.tenant("a"):
                pass
            with pytest.raises(CatalogError, match="migrate"):
                catalog.glance("a", "SELECT count(*) FROM photos")


def test_an_unreachable_server_is_named_without_the_password(postgres_url: str) -> None:
    with Catalog(password_url(postgres_url), FAST) as catalog:
        with pytest.raises(CatalogError, match="cannot be reached") as caught:
            catalog.ping()
        assert caught.value.retryable and "127.0.0.1:1" in str(caught.value)
        assert SECRET not in str(caught.value) + repr(catalog)


def test_a_missing_database_and_a_missing_user_say_so(postgres_url: str) -> None:
    missing = postgres_url.replace("@/postgres", "@/nonesuch")
    with Catalog(missing, FAST) as catalog, pytest.raises(CatalogError, match="no such database"):
        catalog.migrate()
    unknown = postgres_url.replace("postgres@/", f"nobody:{SECRET}@/")
    with (
        Catalog(unknown, FAST) as catalog,
        pytest.raises(CatalogError, match="user and password") as caught,
    ):
        catalog.ping()
    assert SECRET not in str(caught.value) and not caught.value.retryable


@pytest.fixture
def user_with_password(postgres_url: str) -> Iterator[str]:
    """The name of a user from whom the server asks for a password."""
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        (hba,) = conn.execute("SHOW hba_file").fetchone() or ("",)
        before = Path(hba).read_text()
        Path(hba).write_text("local all with_password scram-sha-256\n" + before)
        conn.execute(f"CREATE ROLE with_password LOGIN PASSWORD '{SECRET}'")
        conn.execute("SELECT pg_reload_conf()")
        try:
            yield "with_password"
        finally:
            Path(hba).write_text(before)
            conn.execute("DROP ROLE with_password")
            conn.execute("SELECT pg_reload_conf()")


def test_a_wrong_or_missing_password_says_so(postgres_url: str, user_with_password: str) -> None:
    def url(password: str) -> str:
        return postgres_url.replace("postgres@/", f"{user_with_password}{password}@/")

    for password in (":wrong-one", ""):
        with Catalog(url(password), FAST) as catalog:
            with pytest.raises(CatalogError, match="user and password") as caught:
                catalog.ping()
            assert "wrong-one" not in str(caught.value) and not caught.value.retryable
    with Catalog(url(f":{SECRET}"), FAST) as catalog:
        catalog.ping()


@pytest.mark.parametrize("url", [f"postgresql://u:{SECRET}@[bad", f"u={SECRET}", f"x{SECRET}"])
def test_a_url_that_is_none_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(CatalogError, match="connection string") as caught:
        Catalog(url, FAST)
    assert SECRET not in str(caught.value)


def test_a_statement_that_takes_too_long_is_cancelled(catalog_url: str) -> None:
    with Catalog(catalog_url, DatabaseConfig(statement_timeout_ms=100)) as catalog:
        with pytest.raises(CatalogError, match="too long") as caught, catalog.tenant("a") as tx:
            tx.conn.execute("SELECT pg_sleep(30)")
        assert caught.value.retryable
        catalog.ping()


def test_busy_connections_say_so(catalog_url: str) -> None:
    config = DatabaseConfig(pool_max=1, connect_timeout_s=1)
    with Catalog(catalog_url, config) as catalog, catalog.tenant("a"):
        with pytest.raises(CatalogError, match="busy"):
            catalog.ping()


def cut_connections(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_connections_cut_by_a_restart_are_replaced(catalog: Catalog, catalog_url: str) -> None:
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "r", 0, rows.photos(rows.photo("u")), rows.rejects())
    cut_connections(catalog_url)
    with catalog.tenant("a") as tx:
        assert photos.count(tx) == 1


def test_a_glance_reads_in_one_round_trip_what_a_transaction_would(
    catalog: Catalog, catalog_url: str
) -> None:
    for tenant in ("a", "b"):
        with catalog.tenant(tenant) as tx:
            photos.copy_part(tx, "r", 0, rows.photos(rows.photo(tenant)), rows.rejects())
    cut_connections(catalog_url)
    # The tenant, the role and the reading end with the glance.
    assert catalog.glance("a", "SELECT tenant_id, %(tenant)s FROM photos") == [("a", "a")]
    assert catalog.glance("o'b", "SELECT tenant_id, %(tenant)s FROM photos") == []
    assert catalog.glance("b", "SELECT current_user") == [(DatabaseConfig().app_role,)]
    with pytest.raises(CatalogError, match="read-only"):
        catalog.glance("a", "DELETE FROM photos")
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "s", 0, rows.photos(rows.photo("c")), rows.rejects())
    assert catalog.glance("a", "SELECT count(*) FROM photos") == [(2,)]


def test_a_connection_lost_in_the_middle_is_a_retryable_error(
    catalog: Catalog, catalog_url: str
) -> None:
    with pytest.raises(CatalogError) as caught, catalog.tenant("a") as tx:
        with psycopg.connect(catalog_url, autocommit=True) as conn:
            conn.execute("SELECT pg_terminate_backend(%s)", [tx.conn.info.backend_pid])
        tx.conn.execute("SELECT 1")
    assert caught.value.retryable


def test_a_catalog_travels_between_processes_and_threads(catalog: Catalog) -> None:
    with pickle.loads(pickle.dumps(catalog)) as copy:
        with copy.tenant("a") as tx:
            photos.copy_part(tx, "r", 0, rows.photos(rows.photo("u")), rows.rejects())
        counts: list[int] = []

        def count() -> None:
            with copy.tenant("a") as tx:
                counts.append(photos.count(tx))

        at_once(*[count] * 20)
        assert counts == [1] * 20
    with catalog.tenant("a") as tx:
        assert photos.count(tx) == 1
