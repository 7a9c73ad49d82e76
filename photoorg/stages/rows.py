"""Reading and writing the columns that flow between stages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from photoorg import schema
from photoorg.errors import PhotoOrgError, StorageError
from photoorg.models import Rejection, Rgb

T = TypeVar("T")

REJECT = pa.struct(list(schema.REJECTS))
FAILURES = pa.list_(REJECT)


def set_column(table: pa.Table, name: str, values: Any, kind: pa.DataType) -> pa.Table:
    """`table` with column `name` replaced or added; values are Python objects or an array."""
    array = values if isinstance(values, pa.Array) else pa.array(values, type=kind)
    if name in table.column_names:
        return table.set_column(table.column_names.index(name), pa.field(name, kind), array)
    return table.append_column(pa.field(name, kind), array)


def start(table: pa.Table) -> pa.Table:
    """A table of KEYS rows with the empty `reject` and `failures` columns every stage expects."""
    table = set_column(table, "reject", [None] * len(table), REJECT)
    return set_column(table, "failures", [[] for _ in range(len(table))], FAILURES)


def live(table: pa.Table) -> list[int]:
    """Row numbers that are not rejected."""
    valid = table.column("reject").combine_chunks().is_null().to_numpy(zero_copy_only=False)
    return [int(i) for i in np.flatnonzero(valid)]


def pixel_array(count: int, images: Mapping[int, Rgb]) -> pa.Array:
    """The pixels of `images` by row number as large_binary [count], null in the other rows.

    Each picture is copied once, straight into its place in the column.
    """
    sizes = np.zeros(count, dtype=np.int64)
    for row, image in images.items():
        sizes[row] = image.size
    ends = np.concatenate([[0], np.cumsum(sizes)])
    pixels = np.empty(ends[-1], dtype=np.uint8)
    for row, image in images.items():
        pixels[ends[row] : ends[row + 1]].reshape(image.shape)[...] = image
    there = np.packbits([row in images for row in range(count)], bitorder="little")
    buffers = [pa.py_buffer(part) for part in (there, ends, pixels)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), count, buffers)


def images(table: pa.Table) -> dict[int, Rgb]:
    """Row number -> pixels [height, width, 3] of rows that have any; shares the table's memory."""
    found: dict[int, Rgb] = {}
    sizes = zip(table["rgb_height"].to_pylist(), table["rgb_width"].to_pylist(), strict=True)
    for row, (cell, (height, width)) in enumerate(zip(table["rgb"], sizes, strict=True)):
        if cell.is_valid:
            pixels = np.frombuffer(cell.as_buffer(), dtype=np.uint8)
            found[row] = pixels.reshape(height, width, 3)
    return found


def rejection(key: str, stage: str, error: BaseException) -> Rejection:
    """What an exception of one row becomes; unknown kinds are named so that they can be mended."""
    if isinstance(error, PhotoOrgError):
        # A full disk or a missing right is no fault of the file: mended, it is tried again.
        retryable = error.retryable or isinstance(error, StorageError)
        return Rejection(key, stage, error.message, retryable, error.code)
    text = f"Unexpected {type(error).__name__}: {error}"
    return Rejection(key, stage, text, isinstance(error, MemoryError | TimeoutError), "internal")


def as_struct(row: Rejection) -> dict[str, Any]:
    """A Rejection as a value of the REJECTS struct."""
    return {
        "key": row.key,
        "stage": row.stage,
        "reason": row.reason,
        "code": row.code,
        "retryable": row.retryable,
    }


def per_row(
    table: pa.Table, stage: str, rows: Iterable[int], work: Callable[[int], T]
) -> tuple[dict[int, T], dict[int, Rejection]]:
    """Run `work` on each row number; an exception becomes that row's Rejection."""
    uris = table["uri"]
    done: dict[int, T] = {}
    failed: dict[int, Rejection] = {}
    for row in rows:
        try:
            done[row] = work(row)
        except Exception as error:  # the end of a row: whatever broke belongs to this row only
            failed[row] = rejection(uris[row].as_py(), stage, error)
    return done, failed


def mark_rejected(table: pa.Table, failed: Mapping[int, Rejection]) -> pa.Table:
    """Rows in `failed` become rejects."""
    if not failed:
        return table
    column = table["reject"].to_pylist()
    for row, why in failed.items():
        column[row] = as_struct(why)
    return set_column(table, "reject", column, REJECT)


def mark_failed(table: pa.Table, failed: Mapping[int, Rejection]) -> pa.Table:
    """Rows in `failed` keep what they have and note the optional stage that failed."""
    if not failed:
        return table
    column = table["failures"].to_pylist()
    for row, why in failed.items():
        column[row] = [*column[row], as_struct(why)]
    return set_column(table, "failures", column, FAILURES)


def scatter(count: int, values: Mapping[int, Any], field: str | None = None) -> list[Any]:
    """A list of `count` cells, None where `values` has no entry; `field` picks an attribute."""
    cells: list[Any] = [None] * count
    for row, value in values.items():
        cells[row] = getattr(value, field) if field else value
    return cells


def add_records(
    table: pa.Table, values: Mapping[int, Any], fields: Sequence[str | tuple[str, str]]
) -> pa.Table:
    """Add columns from records: a field is an attribute name or (column, attribute)."""
    for entry in fields:
        column, attribute = entry if isinstance(entry, tuple) else (entry, entry)
        kind = schema.PHOTOS.field(column).type
        table = set_column(table, column, scatter(len(table), values, attribute), kind)
    return table
