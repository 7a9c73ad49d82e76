"""Numbered SQL migrations, each applied once, whole or not at all."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import Any

import psycopg
from psycopg import sql

from photoorg.errors import CatalogError

LOCK = 0x70686F746F6F7267  # "photoorg"
NAME = re.compile(r"(\d{4})_[a-z0-9_]+\.sql")
WORKER = "_worker"


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file: its number, its name and its text."""

    number: int
    name: str
    text: str

    @property
    def checksum(self) -> str:
        """sha256 of the text, whatever the line endings."""
        return hashlib.sha256(self.text.replace("\r\n", "\n").encode()).hexdigest()


def shipped() -> list[Migration]:
    """The migrations of this version of photoorg, in order."""
    found = []
    for file in resources.files(__package__).joinpath("migrations").iterdir():
        match = NAME.fullmatch(file.name)
        if match:
            found.append(Migration(int(match[1]), file.name, file.read_text("utf-8")))
    return sorted(found, key=lambda m: m.number)


def worker_role(app_role: str) -> str:
    """The role of the queue worker that goes with an application role (63 bytes at most)."""
    return app_role[: 63 - len(WORKER)] + WORKER


def migrate(conn: psycopg.Connection[Any], app_role: str) -> list[int]:
    """Apply what is missing, one transaction per migration, under an advisory lock."""
    conn.autocommit = True
    conn.execute("SELECT pg_advisory_lock(%s)", [LOCK])
    try:
        _ensure_roles(conn, app_role)
        applied = _applied(conn)
        _refuse_others(applied)
        missing = [m for m in shipped() if m.number not in applied]
        for migration in missing:
            with conn.transaction():
                _apply(conn, migration, app_role)
        return [m.number for m in missing]
    finally:
        conn.execute("SELECT pg_advisory_unlock(%s)", [LOCK])


def _apply(conn: psycopg.Connection[Any], migration: Migration, app_role: str) -> None:
    conn.execute(
        "SELECT set_config('photoorg.app_role', %s, true), set_config('photoorg.worker_role', %s,"
        " true)",
        [app_role, worker_role(app_role)],
    )
    conn.execute(migration.text.encode())
    conn.execute(
        "INSERT INTO schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
        [migration.number, migration.name, migration.checksum],
    )


def _applied(conn: psycopg.Connection[Any]) -> dict[int, str]:
    there = conn.execute("SELECT to_regclass('schema_migrations')").fetchone()
    if there == (None,):
        conn.execute(
            "CREATE TABLE schema_migrations (number integer PRIMARY KEY, name text NOT NULL,"
            " checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
    return dict(conn.execute("SELECT number, checksum FROM schema_migrations").fetchall())


def _refuse_others(applied: dict[int, str]) -> None:
    known = {m.number: m for m in shipped()}
    newer = [number for number in applied if number not in known]
    if newer:
        raise CatalogError(
            f"The database is of a newer photoorg: it has migration {max(newer):04d}, this version"
            f" knows up to {max(known):04d}.",
            fix="Use the photoorg that wrote it, or a later one.",
            retryable=False,
        )
    for number, checksum in applied.items():
        if known[number].checksum != checksum:
            raise CatalogError(
                f"Migration {known[number].name} is not the one that made this database.",
                fix="Install an unchanged photoorg; migrations are never edited after release.",
                retryable=False,
            )


def _ensure_roles(conn: psycopg.Connection[Any], app_role: str) -> None:
    """Create what is missing of the two roles and let the connecting user become them."""
    becoming = "SET" if conn.info.server_version >= 160_000 else "MEMBER"
    for role in (app_role, worker_role(app_role)):
        row = conn.execute(
            "SELECT rolsuper OR rolbypassrls, pg_has_role(current_user, oid, %s) FROM pg_roles"
            " WHERE rolname = %s",
            [becoming, role],
        ).fetchone()
        if row is None:
            _create_role(conn, role)
            row = (False, False)
        if row[0]:
            raise CatalogError(
                f"Role {role!r} may bypass row level security.",
                fix=f"ALTER ROLE {role} NOSUPERUSER NOBYPASSRLS, or choose another app_role.",
                retryable=False,
            )
        if not row[1]:
            _permit(conn, role)


def _create_role(conn: psycopg.Connection[Any], role: str) -> None:
    create = sql.SQL("CREATE ROLE {} NOLOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE")
    try:
        conn.execute(create.format(sql.Identifier(role)))
    except (psycopg.errors.DuplicateObject, psycopg.errors.UniqueViolation):
        pass  # another database of the same server is migrating too
    except psycopg.errors.InsufficientPrivilege:
        raise _ask_administrator(role) from None


def _permit(conn: psycopg.Connection[Any], role: str) -> None:
    grant = sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role))
    try:
        conn.execute(grant)
    except psycopg.errors.InsufficientPrivilege:
        raise _ask_administrator(role) from None
    except (psycopg.errors.UniqueViolation, psycopg.errors.InternalError_):
        # Granted at the same moment by the migration of another database of this server.
        conn.execute(grant)


def _ask_administrator(role: str) -> CatalogError:
    return CatalogError(
        f"This database user may not create or use the role {role!r}.",
        fix=f"Let an administrator run: CREATE ROLE {role} NOLOGIN; GRANT {role} TO <this user>;",
        retryable=False,
    )
