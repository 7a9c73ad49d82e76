"""Tables of photos and rejects into the catalog: staged by COPY, then merged by key."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pyarrow as pa

from photoorg import schema
from photoorg.models import ZERO_SHOT, PhotoTag
from photoorg.store import layout
from photoorg.store.catalog import consent, tags
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import filename, photo_key, uri_key
from photoorg.store.catalog.staging import float16_bytes, hex_column, stage

FACE_SPACE = b"photoorg.faces_space"
STAGES = b"photoorg.stages"

DECODED = ("mime", "size", "width", "height", "frames", "decoder")

# A stage that ran fills its marker column; the columns of one that did not run keep what they had.
GROUPS = {
    "captured_source": schema.EXIF,
    "pdq": schema.HASHES,
    "quality": schema.QUALITY,
    "ocr_text": ("ocr_text",),
    "nsfw": ("nsfw",),
}

PHOTO_COLUMNS = {
    "photo_id": "bytea",
    "uri": "text",
    "uri_key": "bytea",
    "etag": "text",
    "blob_uri": "text",
    "filename": "text",
    "mime": "text",
    "size": "bigint",
    "width": "integer",
    "height": "integer",
    "frames": "integer",
    "decoder": "text",
    "status": "text",
    "captured_at": "timestamptz",
    "captured_offset_minutes": "integer",
    "captured_source": "text",
    "latitude": "double precision",
    "longitude": "double precision",
    "altitude_m": "double precision",
    "make": "text",
    "model": "text",
    "lens": "text",
    "exposure_s": "double precision",
    "f_number": "double precision",
    "iso": "integer",
    "focal_mm": "double precision",
    "software": "text",
    "content_id": "text",
    "burst_id": "text",
    "subsec": "text",
    "orientation": "integer",
    "pdq": "bytea",
    "pdq_quality": "integer",
    "phash": "bytea",
    "dhash": "bytea",
    "ahash": "bytea",
    "sharpness": "real",
    "exposure": "real",
    "contrast": "real",
    "resolution": "real",
    "quality": "real",
    "has_thumbnail": "boolean",
    "ocr_text": "text",
    "nsfw": "real",
    "has_faces": "boolean",
}
FACE_COLUMNS = {
    "photo_id": "bytea",
    "face_no": "integer",
    "box": "real[]",
    "landmarks": "real[]",
    "score": "real",
    "quality": "real",
    "age": "real",
    "gender": "text",
    "space_id": "text",
    "embedding": "bytea",
}
FAILURE_COLUMNS = {
    "photo_id": "bytea",
    "stage": "text",
    "reason": "text",
    "code": "text",
    "retryable": "boolean",
}
REJECT_COLUMNS = {
    "uri_key": "bytea",
    "key": "text",
    "etag": "text",
    "stage": "text",
    "reason": "text",
    "code": "text",
    "retryable": "boolean",
}

STAGED = "staged_photos"
OWN = [c for c in PHOTO_COLUMNS if c not in ("etag", "has_faces")]

# Ordered by key, so that two loads that share photos lock them in the same order.
UPSERT_PHOTOS = """
INSERT INTO photos AS p (tenant_id, run_id, {columns})
SELECT DISTINCT ON (photo_id) %(tenant)s, %(run)s, {columns}
FROM staged_photos ORDER BY photo_id, uri
ON CONFLICT (tenant_id, photo_id) DO UPDATE SET {assignments},
    status = excluded.status,
    reason = NULL,
    blob_uri = coalesce(excluded.blob_uri, p.blob_uri),
    has_thumbnail = p.has_thumbnail OR excluded.has_thumbnail,
    updated_at = now()
"""
UPSERT_SOURCES = """
INSERT INTO photo_sources (tenant_id, uri_key, uri, photo_id, etag, run_id, part)
SELECT DISTINCT ON (uri_key) %(tenant)s, uri_key, uri, photo_id, etag, %(run)s, %(part)s::integer
FROM staged_photos ORDER BY uri_key
ON CONFLICT (tenant_id, uri_key) DO UPDATE SET photo_id = excluded.photo_id,
    etag = excluded.etag, run_id = excluded.run_id, part = excluded.part, seen_at = now()
"""
REMEMBER = """
DELETE FROM forgotten_sources f USING staged_photos s
WHERE f.tenant_id = %(tenant)s AND f.uri_key = s.uri_key
"""
FORGET_REJECTS = """
DELETE FROM rejects r USING staged_photos s WHERE r.tenant_id = %(tenant)s AND r.uri_key = s.uri_key
"""
FORGET_FACES = """
DELETE FROM faces f USING staged_photos s
WHERE f.tenant_id = %(tenant)s AND f.photo_id = s.photo_id AND s.has_faces
"""
INSERT_FACES = """
INSERT INTO faces (tenant_id, user_id, {columns})
SELECT %(tenant)s, %(user)s, {columns} FROM staged_faces ORDER BY photo_id, face_no
ON CONFLICT DO NOTHING
"""
FORGET_FAILURES = """
DELETE FROM photo_failures f USING staged_photos s
WHERE f.tenant_id = %(tenant)s AND f.photo_id = s.photo_id
    AND (%(stages)s::text[] IS NULL OR f.stage = ANY(%(stages)s))
"""
STILL_PARTIAL = """
UPDATE photos p SET status = 'partial' FROM staged_photos s
WHERE p.tenant_id = %(tenant)s AND p.photo_id = s.photo_id AND p.status = 'ready'
    AND EXISTS (SELECT FROM photo_failures f
        WHERE f.tenant_id = p.tenant_id AND f.photo_id = p.photo_id)
"""
INSERT_FAILURES = """
INSERT INTO photo_failures (tenant_id, photo_id, stage, reason, code, retryable)
SELECT DISTINCT ON (photo_id, stage) %(tenant)s, photo_id, stage, reason, code, retryable
FROM staged_failures ORDER BY photo_id, stage
ON CONFLICT (tenant_id, photo_id, stage) DO UPDATE SET reason = excluded.reason,
    code = excluded.code, retryable = excluded.retryable, failed_at = now()
"""
UPSERT_REJECTS = """
INSERT INTO rejects (tenant_id, uri_key, key, etag, stage, reason, code, retryable, run_id, part)
SELECT DISTINCT ON (uri_key) %(tenant)s, uri_key, key, etag, stage, reason, code, retryable,
    %(run)s, %(part)s::integer
FROM staged_rejects ORDER BY uri_key
ON CONFLICT (tenant_id, uri_key) DO UPDATE SET etag = excluded.etag, stage = excluded.stage,
    reason = excluded.reason, code = excluded.code, retryable = excluded.retryable,
    run_id = excluded.run_id, part = excluded.part, rejected_at = now()
"""
FORGET_SOURCES = """
DELETE FROM photo_sources s USING staged_rejects r
WHERE s.tenant_id = %(tenant)s AND s.uri_key = r.uri_key
"""


def upsert_photos(
    tx: Transaction,
    table: pa.Table,
    *,
    run_id: str | None,
    part: int | None,
    stored: bool,
    missing: Collection[str] = (),
    face_space: str = "",
) -> None:
    """Merge rows of schema.PHOTOS: photos by content, sources by URI, faces and failures anew.

    Columns of a stage that did not run (its marker is null) keep their values, as do its recorded
    failures where the table's metadata says which stages ran; `stored` says that
    the bytes lie in the store under layout.blob_path, but for the `missing` ones. Equal contents
    under several URIs are one photo, which keeps the URI it was first seen at.
    """
    if not len(table):
        return
    table = _complete(table)
    values = {"tenant": tx.tenant, "run": run_id, "part": part, "stages": _stages(table)}
    stage(tx, STAGED, PHOTO_COLUMNS, [_staged(tx.tenant, table, stored, missing)])
    columns = ", ".join(OWN)
    tx.conn.execute(
        UPSERT_PHOTOS.format(columns=columns, assignments=_assignments()).encode(), values
    )
    tx.conn.execute(UPSERT_SOURCES, values)
    tx.conn.execute(REMEMBER, values)
    tx.conn.execute(FORGET_REJECTS, values)
    tx.conn.execute(FORGET_FAILURES, values)
    failures = _failures(table)
    if len(failures):
        stage(tx, "staged_failures", FAILURE_COLUMNS, [failures])
        tx.conn.execute(INSERT_FAILURES, values)
    tx.conn.execute(STILL_PARTIAL, values)
    table = consent.covered(tx, table)
    if table["faces"].null_count < len(table):
        values["user"] = consent.user_of(table) or ""
        space = face_space or (table.schema.metadata or {}).get(FACE_SPACE, b"").decode()
        tx.conn.execute(FORGET_FACES, values)
        stage(tx, "staged_faces", FACE_COLUMNS, [_faces(table, space)])
        tx.conn.execute(INSERT_FACES.format(columns=", ".join(FACE_COLUMNS)).encode(), values)
    tagged = table.select(["photo_id", "tags"]).filter(table["tags"].is_valid())
    if len(tagged):
        tags.replace(tx, {i: _tags(found) for i, found in zip(*_lists(tagged), strict=True)})


def upsert_rejects(
    tx: Transaction, table: pa.Table, *, run_id: str, part: int, etags: dict[str, str]
) -> None:
    """Merge rows of schema.REJECTS by key; a rejected file is no source of a photo any more."""
    if not len(table):
        return
    values = {"tenant": tx.tenant, "run": run_id, "part": part}
    keys = table["key"].to_pylist()
    staged = table.append_column("uri_key", hex_column(uri_key(k) for k in keys))
    staged = staged.append_column("etag", pa.array([etags.get(k, "") for k in keys], pa.string()))
    stage(tx, "staged_rejects", REJECT_COLUMNS, [staged])
    tx.conn.execute(UPSERT_REJECTS, values)
    tx.conn.execute(FORGET_SOURCES, values)


def _complete(table: pa.Table) -> pa.Table:
    """The table with every column of PHOTOS; a part written by an older version lacks some."""
    for field in schema.PHOTOS:
        if field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def _stages(table: pa.Table) -> list[str] | None:
    """The optional stages that ran; None where the table does not say, which means all."""
    named = (table.schema.metadata or {}).get(STAGES)
    return None if named is None else [s for s in named.decode().split(",") if s]


def _assignments() -> str:
    parts = [f"{c} = excluded.{c}" for c in DECODED]
    for marker, columns in GROUPS.items():
        for c in columns:
            parts.append(
                f"{c} = CASE WHEN excluded.{marker} IS NULL THEN p.{c} ELSE excluded.{c} END"
            )
    return ", ".join(parts)


def _staged(tenant: str, table: pa.Table, stored: bool, missing: Collection[str]) -> pa.Table:
    uris = table["uri"].to_pylist()
    ids = table["photo_id"].to_pylist()
    kept = [stored and i not in missing for i in ids]
    blobs = [layout.blob_path(tenant, i) if k else None for i, k in zip(ids, kept, strict=True)]
    added: dict[str, Any] = {
        "photo_id": hex_column(photo_key(i) for i in ids),
        "uri_key": hex_column(uri_key(u) for u in uris),
        "filename": pa.array([filename(u) for u in uris], pa.string()),
        "blob_uri": pa.array(blobs, pa.string()),
        "has_faces": table["faces"].is_valid(),
    }
    columns = [added[c] if c in added else table[c] for c in PHOTO_COLUMNS]
    return pa.table(columns, names=list(PHOTO_COLUMNS))


def _failures(table: pa.Table) -> pa.Table:
    rows: dict[str, list[Any]] = {c: [] for c in FAILURE_COLUMNS}
    failing = table.select(["photo_id", "failures"]).filter(table["failures"].is_valid())
    for photo_id, failures in zip(*failing.to_pydict().values(), strict=True):
        for failure in failures:
            rows["photo_id"].append("\\x" + photo_id)
            for name in ("stage", "reason", "code", "retryable"):
                rows[name].append(failure[name])
    types = [pa.string(), *(schema.REJECTS.field(n).type for n in list(FAILURE_COLUMNS)[1:])]
    return pa.table([pa.array(v, t) for v, t in zip(rows.values(), types, strict=True)], list(rows))


def _faces(table: pa.Table, space: str) -> pa.Table:
    rows: dict[str, list[Any]] = {c: [] for c in FACE_COLUMNS}
    found = table.select(["photo_id", "faces"]).filter(table["faces"].is_valid())
    seen: set[str] = set()
    for photo_id, faces in zip(*found.to_pydict().values(), strict=True):
        if photo_id in seen:
            continue
        seen.add(photo_id)
        for number, face in enumerate(faces):
            rows["photo_id"].append("\\x" + photo_id)
            rows["face_no"].append(number)
            rows["box"].append(_array(face["box"]))
            rows["landmarks"].append(_array(face["landmarks"]))
            rows["space_id"].append(space)
            rows["embedding"].append(float16_bytes(face["embedding"]))
            for name in ("score", "quality", "age", "gender"):
                rows[name].append(face[name])
    text, real, raw = pa.string(), pa.float32(), pa.binary()
    types = [text, pa.int32(), text, text, real, real, real, text, text, raw]
    return pa.table([pa.array(v, t) for v, t in zip(rows.values(), types, strict=True)], list(rows))


def _lists(table: pa.Table) -> list[list[Any]]:
    return [column.to_pylist() for column in table.columns]


def _tags(found: list[dict[str, Any]]) -> list[PhotoTag]:
    return [PhotoTag(**tag, source=ZERO_SHOT) for tag in found]


def _array(values: list[float] | None) -> str:
    return "{" + ",".join(repr(float(v)) for v in values or ()) + "}"
