"""No tenant ever sees another's rows, whoever connects and whatever table is added later."""

import psycopg
import pytest

from photoorg.config import DatabaseConfig
from photoorg.errors import CatalogError
from photoorg.store.catalog import Catalog, photos, uploads
from tests.catalog import rows

pytestmark = pytest.mark.postgres


def load(catalog: Catalog, tenant: str, uri: str) -> str:
    with catalog.tenant(tenant) as tx:
        table = rows.photos(rows.photo(uri, faces=[rows.face(1)]))
        photos.copy_part(tx, "run", 0, table, rows.rejects(rows.failure("bad")))
    return rows.photo_id(uri)


def protected(url: str) -> dict[str, tuple[bool, bool]]:
    """Every table with a tenant_id: whether row level security is on, and forced."""
    with psycopg.connect(url) as conn:
        found = conn.execute(
            "SELECT c.relname, c.relrowsecurity, c.relforcerowsecurity FROM pg_class c"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant_id'"
            " WHERE c.relkind IN ('r', 'p') AND c.relnamespace = current_schema()::regnamespace"
        )
        return {name: (on, forced) for name, on, forced in found}


def test_every_tenant_table_has_row_level_security_enabled_and_forced(catalog_url: str) -> None:
    tables = protected(catalog_url)
    assert len(tables) >= 18
    assert {name for name, state in tables.items() if state != (True, True)} == set()


def test_every_tenant_table_has_just_the_tenant_policy_for_reading_and_writing(
    catalog_url: str,
) -> None:
    with psycopg.connect(catalog_url) as conn:
        policies = conn.execute(
            "SELECT tablename, policyname, cmd, roles, qual, with_check FROM pg_policies"
            " WHERE schemaname = current_schema()"
        ).fetchall()
    rule = "(tenant_id = photoorg_tenant())"
    expected = {(t, "tenant", "ALL", ("photoorg_app",), rule, rule) for t in protected(catalog_url)}
    expected.add(("uploads", "worker", "ALL", ("photoorg_app_worker",), "true", "true"))
    assert {(t, n, c, tuple(r), q, w) for t, n, c, r, q, w in policies} == expected


def test_every_tenant_table_is_keyed_by_the_tenant_first(catalog_url: str) -> None:
    with psycopg.connect(catalog_url) as conn:
        first = conn.execute(
            "SELECT c.relname, a.attname FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
            " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
            " WHERE i.indisprimary AND c.relnamespace = current_schema()::regnamespace"
        ).fetchall()
    keyed = {name for name, column in first if column == "tenant_id"}
    assert keyed == set(protected(catalog_url))


def test_application_roles_can_neither_log_in_nor_bypass(catalog_url: str) -> None:
    with psycopg.connect(catalog_url) as conn:
        found = conn.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcanlogin, rolcreaterole FROM pg_roles"
            " WHERE rolname LIKE 'photoorg_app%' ORDER BY rolname"
        ).fetchall()
    assert found == [
        ("photoorg_app", False, False, False, False),
        ("photoorg_app_worker", False, False, False, False),
    ]


def test_one_tenant_does_not_see_the_rows_of_another(catalog: Catalog, catalog_url: str) -> None:
    load(catalog, "a", "file:///a.jpg")
    for table in protected(catalog_url):
        with catalog.tenant("b") as tx:
            found = tx.conn.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert found == (1 if table == "tenants" else 0,), table


def test_two_tenants_hold_the_same_bytes_apart(catalog: Catalog) -> None:
    photo_id = load(catalog, "a", "file:///same.jpg")
    load(catalog, "b", "file:///same.jpg")
    with catalog.tenant("b") as tx:
        assert photos.delete(tx, photo_id)
    with catalog.tenant("a") as tx:
        assert photos.get(tx, photo_id) is not None
    with catalog.tenant("b") as tx:
        assert photos.get(tx, photo_id) is None


def test_rows_of_another_tenant_cannot_be_changed_or_removed(catalog: Catalog) -> None:
    photo_id = load(catalog, "a", "file:///a.jpg")
    with catalog.tenant("b") as tx:
        assert tx.conn.execute("UPDATE photos SET mime = 'stolen'").rowcount == 0
        assert tx.conn.execute("DELETE FROM photos").rowcount == 0
        assert not photos.delete(tx, photo_id)
    with catalog.tenant("a") as tx:
        photo = photos.get(tx, photo_id)
    assert photo is not None and photo.mime == "image/jpeg"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO runs (tenant_id, run_id) VALUES ('a', 'forged')",
        "UPDATE runs SET tenant_id = 'a'",
        "TRUNCATE photos",
        "ALTER TABLE photos DISABLE ROW LEVEL SECURITY",
        "DROP POLICY tenant ON photos",
        "UPDATE audit_log SET actor = 'someone else'",
        "DELETE FROM audit_log",
        "SELECT * FROM schema_migrations",
    ],
)
def test_the_application_role_is_refused(catalog: Catalog, statement: str) -> None:
    load(catalog, "b", "file:///b.jpg")
    with pytest.raises(CatalogError), catalog.tenant("b") as tx:
        tx.conn.execute(statement.encode())


def test_without_a_tenant_there_are_no_rows(catalog: Catalog, catalog_url: str) -> None:
    load(catalog, "a", "file:///a.jpg")
    with psycopg.connect(catalog_url) as conn:
        conn.execute("SET LOCAL ROLE photoorg_app")
        with pytest.raises(psycopg.errors.UndefinedObject):
            conn.execute("SELECT * FROM photos")
    with psycopg.connect(catalog_url) as conn:
        conn.execute("SET LOCAL ROLE photoorg_app")
        conn.execute("SET LOCAL photoorg.tenant = ''")
        assert conn.execute("SELECT * FROM photos").fetchall() == []


def test_the_tenant_does_not_stay_on_a_pooled_connection(catalog_url: str) -> None:
    with Catalog(catalog_url, DatabaseConfig(pool_max=1)) as catalog:
        load(catalog, "a", "file:///a.jpg")
        with catalog.worker() as tx:
            current = tx.conn.execute(
                "SELECT current_user, current_setting('photoorg.tenant')"
            ).fetchone()
    assert current == ("photoorg_app_worker", "")


def test_the_worker_sees_the_queue_of_all_tenants_and_nothing_else(catalog: Catalog) -> None:
    for tenant in ("a", "b"):
        with catalog.tenant(tenant) as tx:
            uploads.enqueue(
                tx, photo_id=rows.photo_id(1), uri="x", mime="m", size=1, filename="f.jpg"
            )
    with catalog.worker() as tx:
        assert uploads.depth(tx) == 2
    for table in ("photos", "photo_sources", "delta_log", "tenants"):
        with pytest.raises(CatalogError, match="right"), catalog.worker() as tx:
            tx.conn.execute(f"SELECT * FROM {table}")
    for change in ("DELETE FROM uploads", "UPDATE uploads SET tenant_id = 'b'"):
        with pytest.raises(CatalogError, match="right"), catalog.worker() as tx:
            tx.conn.execute(change.encode())


def test_a_plain_owner_without_superuser_rights_is_bound_too(
    postgres_url: str, empty_url: str
) -> None:
    name = empty_url.split("@/")[1].split("?")[0]
    with psycopg.connect(postgres_url, autocommit=True) as conn:
        conn.execute(f"CREATE ROLE {name}_owner LOGIN CREATEROLE")
        conn.execute(f"ALTER DATABASE {name} OWNER TO {name}_owner")
    url = empty_url.replace("postgres@", f"{name}_owner@")
    try:
        config = DatabaseConfig(app_role=f"{name}_app")
        with Catalog(url, config) as catalog:
            catalog.migrate()
            load(catalog, "a", "file:///a.jpg")
            with catalog.tenant("b") as tx:
                assert photos.count(tx) == 0
            with catalog.tenant("a") as tx:
                assert photos.count(tx) == 1
        with psycopg.connect(url) as conn:  # the owner of the tables, without any role taken
            with pytest.raises(psycopg.errors.UndefinedObject, match=r"photoorg\.tenant"):
                conn.execute("SELECT count(*) FROM photos")
    finally:
        with psycopg.connect(empty_url, autocommit=True) as conn:
            conn.execute(f"DROP OWNED BY {name}_owner, {name}_app, {name}_app_worker CASCADE")
            conn.execute(f"ALTER DATABASE {name} OWNER TO postgres")
            conn.execute(f"DROP ROLE {name}_app, {name}_app_worker, {name}_owner")
