"""What PostgreSQL refused, as a sentence for a person; never with the password in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import PoolClosed, PoolTimeout, TooManyRequests

from photoorg.errors import CatalogError, ConflictError, InputError, PhotoOrgError

LAST_COPY = "PO001"
"""The state of the exception with which the database keeps the last live copy of a photo."""
URL_SHAPE = "postgresql://user:password@host:5432/database"


def place(url: str) -> str:
    """Host, port and database of a connection URL, without user and password."""
    try:
        parts = conninfo_to_dict(url)
    except psycopg.Error:
        return "the database"
    where = parts.get("host") or "localhost"
    port = f":{parts['port']}" if parts.get("port") else ""
    name = parts.get("dbname") or parts.get("user") or ""
    return f"PostgreSQL at {where}{port}, database {name!r}"


def check_url(url: str) -> None:
    """CatalogError if `url` is no connection string that libpq understands."""
    try:
        conninfo_to_dict(url)
    except psycopg.Error:
        # The library's message repeats parts of the string, among them perhaps the password.
        raise CatalogError(
            "database.url is no PostgreSQL connection string.",
            fix=f"Write {URL_SHAPE}, special characters of the password percent-encoded.",
            retryable=False,
        ) from None


def last_copy(error: psycopg.Error) -> ConflictError:
    """What the database says when the last live copy would go to the trash."""
    said = error.diag.message_primary or "the last live copy would go"
    return ConflictError(
        f"{said[0].upper()}{said[1:]}.",
        fix="Keep another photo of the group, or undo the merge that needs this one.",
    )


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turn what psycopg raises in the block into an error that explain() gives."""
    try:
        yield
    except (psycopg.Error, PoolTimeout, PoolClosed, TooManyRequests, UnicodeEncodeError) as error:
        raise explain(error, url) from error


def explain(error: Exception, url: str) -> PhotoOrgError:
    """The CatalogError for an error of psycopg or its pool.

    InputError for text it cannot hold, ConflictError where the last live copy would go.
    """
    where = place(url)
    said = str(error) if isinstance(error, psycopg.DataError) else ""
    if "NUL" in said or "\\u0000" in said:  # as text, and inside of JSON
        return InputError("Text may not hold NUL characters.", fix="Take them out.")
    if isinstance(error, UnicodeEncodeError) or "surrogate" in said:
        return InputError("Text may not hold halves of characters (surrogates).", fix="Mend it.")
    if isinstance(error, PoolTimeout | TooManyRequests):
        return CatalogError(
            f"All connections to {where} are busy.",
            fix="Try again, or raise database.pool_max.",
        )
    if isinstance(error, PoolClosed):
        return CatalogError(f"The catalog of {where} was closed.", retryable=False)
    if isinstance(error, psycopg.Error) and error.sqlstate == LAST_COPY:
        return last_copy(error)
    found = _by_state(error, where)
    if found is not None:
        return found
    if isinstance(error, psycopg.OperationalError):
        return _unreachable(_said(error, url), where)
    return CatalogError(
        f"{where} refused a statement: {_said(error, url)}.",
        fix="This is likely a fault of photoorg; report it with the log.",
        retryable=False,
    )


def _by_state(error: Exception, where: str) -> CatalogError | None:
    if isinstance(error, errors.InvalidPassword | errors.InvalidAuthorizationSpecification):
        return _wrong_password(where)
    if isinstance(error, errors.InvalidCatalogName):
        return _no_database(where)
    if isinstance(error, errors.QueryCanceled):
        return CatalogError(
            f"A statement took too long at {where} and was cancelled.",
            fix="Try again, or raise database.statement_timeout_ms.",
        )
    if isinstance(error, errors.LockNotAvailable):
        return CatalogError(f"A lock was not to be had at {where}.", fix="Try again.")
    if isinstance(error, errors.UndefinedTable | errors.UndefinedColumn | errors.UndefinedFunction):
        return CatalogError(
            f"The tables at {where} are not those of this photoorg.",
            fix="Run `photoorg ingest` or call Catalog.migrate() once to bring them up to date.",
            retryable=False,
        )
    if isinstance(error, errors.InsufficientPrivilege):
        return CatalogError(
            f"The database user lacks a right at {where}: {_primary(error)}.",
            fix="Run migrate() as the owner of the database, or let an administrator grant it.",
            retryable=False,
        )
    if isinstance(error, errors.DiskFull | errors.OutOfMemory | errors.ConfigurationLimitExceeded):
        return CatalogError(
            f"{where} has run out of room: {_primary(error)}.", fix="Free disk or memory there."
        )
    if isinstance(error, errors.TooManyConnections):
        return CatalogError(
            f"{where} takes no more connections.",
            fix="Raise its max_connections, or lower database.pool_max.",
        )
    if isinstance(error, errors.DeadlockDetected | errors.SerializationFailure):
        return CatalogError(f"Two transactions met at {where}.", fix="Try again.")
    return None


def _unreachable(said: str, where: str) -> CatalogError:
    """Errors while connecting carry no SQLSTATE, only the server's or the resolver's words."""
    text = said.lower()
    if "password" in text and ("authentication" in text or "no password" in text):
        return _wrong_password(where)
    if "role" in text and "does not exist" in text:
        return _wrong_password(where)
    if "database" in text and "does not exist" in text:
        return _no_database(where)
    if "too many clients" in text or "remaining connection slots" in text:
        return CatalogError(
            f"{where} takes no more connections.",
            fix="Raise its max_connections, or lower database.pool_max.",
        )
    return CatalogError(
        f"{where} cannot be reached: {said}.",
        fix="Check database.url and that the server is running.",
    )


def _wrong_password(where: str) -> CatalogError:
    return CatalogError(
        f"{where} does not accept this user and password.",
        fix="Correct them in database.url (PHOTOORG_DATABASE__URL).",
        retryable=False,
    )


def _no_database(where: str) -> CatalogError:
    return CatalogError(
        f"There is no such database: {where}.",
        fix="Create it (createdb), or correct database.url.",
        retryable=False,
    )


def _primary(error: Exception) -> str:
    text = error.diag.message_primary if isinstance(error, psycopg.Error) else None
    return text or type(error).__name__


def _said(error: Exception, url: str) -> str:
    """The first line of the message, with the password struck out."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if lines[0].startswith("Multiple connection attempts") and len(lines) > 1:
        del lines[0]
    text = lines[0].strip(" -").rstrip(".")
    try:
        password = conninfo_to_dict(url).get("password")
    except psycopg.Error:
        password = None
    return text.replace(str(password), "***") if password else text
