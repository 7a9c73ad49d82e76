"""Arrow tables into temporary tables by COPY, with everything a column cannot hold taken out."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from pyarrow import csv

from photoorg.store.catalog.connection import Transaction

EARLIEST = datetime(1, 1, 3, tzinfo=UTC)
LATEST = datetime(9999, 12, 29, tzinfo=UTC)


def stage(
    tx: Transaction, name: str, columns: Mapping[str, str], tables: Iterable[pa.Table]
) -> None:
    """Fill the session's temporary table `name` (column -> SQL type) with the rows of `tables`.

    The rows of an earlier use are gone. Each table has at least these columns; binary ones become
    bytea. NULs leave text, NaN and infinities become null, as do times that no calendar of ours
    can show (before year 1, after 9999).
    """
    target = sql.Identifier(name)
    types = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(c), sql.SQL(t)) for c, t in columns.items()
    )
    create = sql.SQL("CREATE TEMPORARY TABLE IF NOT EXISTS {} ({}) ON COMMIT DELETE ROWS")
    tx.conn.execute(create.format(target, types))
    tx.conn.execute(sql.SQL("DELETE FROM {}").format(target))
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    copy = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT csv)").format(target, names)
    with tx.conn.cursor() as cursor, cursor.copy(copy) as stream:
        for table in tables:
            stream.write(_csv(table.select(list(columns))))


def hex_column(values: Iterable[bytes | None]) -> pa.Array:
    """Bytes in the form that COPY reads into a bytea."""
    return pa.array([None if v is None else "\\x" + v.hex() for v in values], pa.string())


def float16_bytes(values: Sequence[float] | None) -> bytes | None:
    """A vector as little-endian float16."""
    return None if values is None else np.asarray(values, dtype="<f2").tobytes()


def _csv(table: pa.Table) -> bytes:
    columns = [_fit(table.column(name).combine_chunks()) for name in table.column_names]
    fitted = pa.table(columns, names=table.column_names)
    sink = io.BytesIO()
    csv.write_csv(fitted, sink, csv.WriteOptions(include_header=False, quoting_style="needed"))
    return sink.getvalue()


def _fit(column: Any) -> Any:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pc.replace_substring(column, pattern="\0", replacement="")
    if pa.types.is_floating(kind):
        return pc.if_else(pc.is_finite(column), column, pa.scalar(None, kind))
    if pa.types.is_timestamp(kind):
        shown = pc.and_(
            pc.greater_equal(column, pa.scalar(EARLIEST, kind)),
            pc.less_equal(column, pa.scalar(LATEST, kind)),
        )
        return pc.if_else(shown, column, pa.scalar(None, kind))
    if pa.types.is_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return hex_column(column.to_pylist())
    return column
