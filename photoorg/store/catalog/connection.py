"""Catalog: a pool of connections on which every transaction is bound to one tenant."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, LiteralString

import psycopg
from psycopg import ClientCursor
from psycopg_pool import ConnectionPool, PoolTimeout

from photoorg.config import DatabaseConfig
from photoorg.errors import CatalogError
from photoorg.store.catalog import migrating
from photoorg.store.catalog.failures import check_url, explained, place

IDLE_S = 60.0
BIND = (
    "SELECT set_config('role', %(role)s, true), set_config('photoorg.tenant', %(tenant)s, true),"
    " set_config('statement_timeout', %(timeout)s, true)"
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """An open transaction bound to a tenant; `tenant` is empty for the queue worker."""

    conn: psycopg.Connection[Any]
    tenant: str


class Catalog:
    """Connections to the catalog's database.

    Every transaction runs under a role that row level security binds, whoever connects: the
    application role, which sees one tenant, or the worker role, which sees only the upload queue.
    Thread-safe and picklable; connects on first use, anew after a fork. Whatever PostgreSQL
    refuses is raised as CatalogError.
    """

    def __init__(self, url: str, config: DatabaseConfig) -> None:
        check_url(url)
        self._url = url
        self._config = config
        self._pool: ConnectionPool[psycopg.Connection[Any]] | None = None
        self._pid = 0
        self._lock = threading.Lock()
        self._known: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return (Catalog, (self._url, self._config))

    def __repr__(self) -> str:
        return f"Catalog({place(self._url)})"

    def __enter__(self) -> Catalog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def migrate(self) -> list[int]:
        """Bring the schema up to this version of photoorg; return the numbers newly applied.

        Safe from several processes at once. CatalogError if the database is newer than the code,
        if an applied migration was changed since, or if the user may not create what is needed.
        """
        with explained(self._url), self._direct() as conn:
            return migrating.migrate(conn, self._config.app_role)

    @contextmanager
    def tenant(self, name: str) -> Iterator[Transaction]:
        """A transaction that sees and writes rows of this tenant only; commits at the end."""
        with self._bound(self._config.app_role, name) as conn:
            self._introduce(conn, name)
            yield Transaction(conn, name)
        self._known.add(name)

    @contextmanager
    def worker(self) -> Iterator[Transaction]:
        """A transaction that sees the upload queue of every tenant and nothing else."""
        with self._bound(migrating.worker_role(self._config.app_role), "") as conn:
            yield Transaction(conn, "")

    def glance(self, tenant: str, query: LiteralString) -> list[tuple[Any, ...]]:
        """The rows of one query that reads, in one round trip: for what every search asks first.

        It sees the rows of this tenant only, whose name it may use as %(tenant)s.
        """
        with explained(self._url):
            rows = self._glance(tenant, query, check=False)
            if rows is None:
                rows = self._glance(tenant, query, check=True)
            return rows or []

    def _glance(
        self, tenant: str, query: LiteralString, *, check: bool
    ) -> list[tuple[Any, ...]] | None:
        """As glance; None where a connection that was not checked turned out to be lost."""
        role, done = self._config.app_role, False
        with self._leased(check=check) as conn, self._existing(role):
            try:
                conn.autocommit = True
                with ClientCursor(conn) as cursor:
                    values = self._values(tenant, role)
                    cursor.execute(f"BEGIN READ ONLY; {BIND}; {query}; COMMIT", values)
                    cursor.nextset()
                    cursor.nextset()
                    rows = cursor.fetchall()
                conn.autocommit = False
                done = True
            except psycopg.OperationalError:
                if check or not conn.broken:
                    raise
                return None
            finally:
                if not done:
                    conn.close()  # its transaction may still be open
            return rows

    def ping(self) -> None:
        """Prove that the database answers; CatalogError if it does not."""
        with explained(self._url), self._connection() as conn:
            conn.execute("SELECT 1")

    def close(self) -> None:
        """Close every connection; the next use opens new ones."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._pid == os.getpid():
            pool.close()

    @contextmanager
    def _bound(self, role: str, tenant: str) -> Iterator[psycopg.Connection[Any]]:
        with explained(self._url), self._connection() as conn:
            with self._existing(role):
                conn.execute(BIND, self._values(tenant, role))
            yield conn

    @contextmanager
    def _existing(self, role: str) -> Iterator[None]:
        """Say it where the role is not there yet."""
        try:
            yield
        except (psycopg.errors.InvalidParameterValue, psycopg.errors.UndefinedObject):
            raise CatalogError(
                f"{place(self._url)} has no role {role!r} yet.",
                fix="Call Catalog.migrate() once, as the owner of the database.",
                retryable=False,
            ) from None

    def _introduce(self, conn: psycopg.Connection[Any], tenant: str) -> None:
        """Note the tenant, once per process."""
        if tenant not in self._known:
            sql = "INSERT INTO tenants (tenant_id) VALUES (%s) ON CONFLICT DO NOTHING"
            conn.execute(sql, [tenant])

    def _values(self, tenant: str, role: str) -> dict[str, str]:
        """What BIND sets."""
        timeout = str(self._config.statement_timeout_ms)
        return {"role": role, "tenant": tenant, "timeout": timeout}

    @contextmanager
    def _connection(self) -> Iterator[psycopg.Connection[Any]]:
        """A connection for one transaction, which is committed or rolled back at the end."""
        with self._leased(check=True) as conn, conn:  # a connection of a pool stays open
            yield conn

    @contextmanager
    def _leased(self, *, check: bool) -> Iterator[psycopg.Connection[Any]]:
        """A connection of the pool; `check` asks the server first whether it is still good."""
        pool = self._open_pool()
        conn = self._taken(pool, check=check)
        try:
            yield conn
        finally:
            pool.putconn(conn)

    def _taken(
        self, pool: ConnectionPool[psycopg.Connection[Any]], *, check: bool
    ) -> psycopg.Connection[Any]:
        for left in range(self._config.pool_max, -1, -1):
            try:
                conn = pool.getconn()
            except PoolTimeout:
                # The pool does not say why: a connection of our own does, or shows all are busy.
                self._direct().close()
                raise
            if not check:
                break
            try:
                ConnectionPool.check_connection(conn)
                break
            except psycopg.OperationalError:
                pool.putconn(conn)  # which throws it away
                if not left:
                    raise
        return conn

    def _direct(self) -> psycopg.Connection[Any]:
        return psycopg.connect(self._url, connect_timeout=self._config.connect_timeout_s)

    def _open_pool(self) -> ConnectionPool[psycopg.Connection[Any]]:
        with self._lock:
            if self._pool is None or self._pid != os.getpid():
                self._direct().close()
                self._pool = ConnectionPool(
                    self._url,
                    min_size=0,
                    max_size=self._config.pool_max,
                    timeout=self._config.connect_timeout_s,
                    max_idle=IDLE_S,
                    open=False,
                )
                self._pool.open()
                self._pid = os.getpid()
            return self._pool
