"""What duplicate detection reads of every photo, as one array: a fixed number of bytes a photo."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.store.catalog.connection import Transaction

FIELDS = (
    ("photo_id", "V32"),
    ("pdq", "V32"),
    ("pdq_quality", ">i4"),
    ("phash", "V8"),
    ("width", ">i4"),
    ("height", ">i4"),
    ("size", ">i8"),
    ("mime", ">i4"),
    ("taken", ">f8"),
    ("camera", ">i8"),
    ("burst", ">i8"),
    ("quality", ">f4"),
    ("favourite", "?"),
    ("in_album", "?"),
    ("original", "?"),
    ("added", ">f8"),
)
"""Unknown: pdq_quality -1, taken NaN, camera and burst 0, quality NaN. Times are in seconds."""

SIGNATURE = b"PGCOPY\n\xff\r\n\0"
HEADER = len(SIGNATURE) + 8
TRAILER = b"\xff\xff"
EDITORS = "photoshop|lightroom|gimp|snapseed|affinity|pixelmator|darktable|rawtherapee|capture one"
FACTS = """
COPY (SELECT photo_id,
    coalesce(pdq, decode(repeat('00', 32), 'hex')),
    CASE WHEN pdq IS NULL OR phash IS NULL THEN -1 ELSE coalesce(pdq_quality, 0) END::int4,
    coalesce(phash, decode(repeat('00', 8), 'hex')),
    width, height, size,
    CASE {mimes} ELSE {others} END::int4,
    CASE WHEN captured_source = ANY(%(clocks)s) AND captured_at IS NOT NULL
        THEN extract(epoch FROM captured_at)::float8 ELSE 'NaN'::float8 END,
    CASE WHEN model IS NULL THEN 0
        ELSE hashtextextended(lower(concat_ws(' ', make, model)), 0) END::int8,
    coalesce(hashtextextended(burst_id, 0), 0)::int8,
    coalesce(quality, 'NaN')::float4,
    favourite,
    EXISTS (SELECT FROM album_photos a
        WHERE a.tenant_id = p.tenant_id AND a.photo_id = p.photo_id),
    model IS NOT NULL AND coalesce(software, '') !~* %(editors)s,
    extract(epoch FROM created_at)::float8
FROM photos p
WHERE tenant_id = %(tenant)s AND status IN ('ready', 'partial') AND trashed_at IS NULL {condition}
ORDER BY photo_id) TO STDOUT (FORMAT BINARY)
"""
CLOCKS = ("offset_original", "offset", "gps", "exif_local", "filename")
MIMES = (
    "image/x-",
    "image/heif",
    "image/heic",
    "image/tiff",
    "image/jpeg",
    "image/png",
    "image/avif",
    "image/webp",
    "image/bmp",
    "image/gif",
)
"""`mime` is the place of the first of these it starts with (x-: RAW), or their number."""
PAIRED = """
AND photo_id IN (SELECT unnest(ARRAY[first_id, second_id]) FROM duplicate_pairs
    WHERE tenant_id = %(tenant)s AND confidence >= %(floor)s)
"""


def read(tx: Transaction, *, paired_from: float | None = None) -> NDArray[Any]:
    """Facts of every live photo, ascending by id, as a structured array with FIELDS.

    `paired_from` leaves only photos of scored pairs of that confidence or more.
    """
    mimes = " ".join(f"WHEN mime LIKE '{m}%%' THEN {i}" for i, m in enumerate(MIMES))
    sql = FACTS.format(
        mimes=mimes, others=len(MIMES), condition="" if paired_from is None else PAIRED
    )
    values = {
        "tenant": tx.tenant,
        "clocks": list(CLOCKS),
        "editors": EDITORS,
        "floor": paired_from,
    }
    if paired_from is None:
        del values["floor"]
    data = bytearray()
    tx.conn.execute("SET LOCAL statement_timeout = 0")
    with tx.conn.cursor() as cursor, cursor.copy(sql.encode(), values) as copy:
        for block in copy:
            data += block
    return _parsed(data)


def live_keys(tx: Transaction) -> NDArray[np.bytes_]:
    """Digests of all photos that read() gives now, each of 32 bytes."""
    sql = (
        "COPY (SELECT photo_id FROM photos WHERE tenant_id = %s AND status IN ('ready', 'partial')"
        " AND trashed_at IS NULL) TO STDOUT (FORMAT BINARY)"
    )
    data = bytearray()
    with tx.conn.cursor() as cursor, cursor.copy(sql, [tx.tenant]) as copy:
        for block in copy:
            data += block
    dtype = np.dtype([("fields", ">i2"), ("bytes", ">i4"), ("photo_id", "S32")])
    rows = np.frombuffer(data, dtype, (len(data) - HEADER - len(TRAILER)) // dtype.itemsize, HEADER)
    return np.ascontiguousarray(rows["photo_id"])


def _parsed(data: bytearray) -> NDArray[Any]:
    """Every value has a fixed length, so the binary format is an array of equal records."""
    layout: list[Any] = [("fields", ">i2")]
    for name, kind in FIELDS:
        layout += [(f"{name}_bytes", ">i4"), (name, kind)]
    dtype = np.dtype(layout)
    assert data[: len(SIGNATURE)] == SIGNATURE, "PostgreSQL's binary COPY format"
    rows = np.frombuffer(data, dtype, (len(data) - HEADER - len(TRAILER)) // dtype.itemsize, HEADER)
    assert not len(rows) or (rows["fields"] == len(FIELDS)).all(), "a row of another width"
    return rows[[name for name, _ in FIELDS]]
