"""Arrow schemas of every table written to the object store; versions travel in the metadata."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from photoorg.errors import SpaceMismatchError
from photoorg.space import EmbeddingSpace

SCHEMA_VERSION = "1"

KEYS = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("modified_at", pa.timestamp("us", tz="UTC")),
        pa.field("part", pa.int32(), nullable=False),
    ]
)
"""One row per file to ingest, with the number of the part it belongs to."""

REJECTS = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("stage", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("code", pa.string(), nullable=False),
        pa.field("retryable", pa.bool_(), nullable=False),
    ]
)

LIVE_VIDEO = "live-photo-video"
"""The code of rejects that are videos of live photos whose still has not come (yet)."""

COMPANION = pa.struct(
    [
        pa.field("companion_id", pa.string()),
        pa.field("content_id", pa.string()),
        pa.field("mime", pa.string()),
        pa.field("size", pa.int64()),
        pa.field("duration_s", pa.float64()),
    ]
)
"""What is known of such a video; a further column of a part's rejects, where there are any."""

LANDMARKS = pa.list_(pa.float32(), 10)
FACES = pa.list_(
    pa.struct(
        [
            pa.field("box", pa.list_(pa.float32(), 4)),
            pa.field("landmarks", LANDMARKS),
            pa.field("score", pa.float32()),
            pa.field("quality", pa.float32()),
            pa.field("age", pa.float32()),
            pa.field("gender", pa.string()),
            pa.field("embedding", pa.list_(pa.float16())),
        ]
    )
)

TAGS = pa.list_(
    pa.struct(
        [
            pa.field("category", pa.string()),
            pa.field("label", pa.string()),
            pa.field("score", pa.float32()),
        ]
    )
)
"""What a zero-shot tagger found; empty: nothing, null: it did not run."""

EXIF = (
    "captured_at",
    "captured_offset_minutes",
    "captured_source",
    "latitude",
    "longitude",
    "altitude_m",
    "make",
    "model",
    "lens",
    "exposure_s",
    "f_number",
    "iso",
    "focal_mm",
    "software",
    "content_id",
    "burst_id",
    "subsec",
    "orientation",
)
"""The columns of PHOTOS that the exif stage fills, named as in models.Exif."""

HASHES = ("pdq", "pdq_quality", "phash", "dhash", "ahash")
"""The columns of PHOTOS that the hash stage fills, named as in models.Hashes."""

QUALITY = ("sharpness", "exposure", "contrast", "resolution", "quality")
"""The columns of PHOTOS that the quality stage fills; `quality` is models.Quality.score."""

PHOTOS = pa.schema(
    [
        pa.field("uri", pa.string(), nullable=False),
        pa.field("etag", pa.string(), nullable=False),
        pa.field("photo_id", pa.string(), nullable=False),
        pa.field("mime", pa.string(), nullable=False),
        pa.field("size", pa.int64(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("frames", pa.int32(), nullable=False),
        pa.field("decoder", pa.string(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("captured_at", pa.timestamp("us", tz="UTC")),
        pa.field("captured_offset_minutes", pa.int32()),
        pa.field("captured_source", pa.string()),
        pa.field("latitude", pa.float64()),
        pa.field("longitude", pa.float64()),
        pa.field("altitude_m", pa.float64()),
        pa.field("make", pa.string()),
        pa.field("model", pa.string()),
        pa.field("lens", pa.string()),
        pa.field("exposure_s", pa.float64()),
        pa.field("f_number", pa.float64()),
        pa.field("iso", pa.int32()),
        pa.field("focal_mm", pa.float64()),
        pa.field("software", pa.string()),
        pa.field("content_id", pa.string()),
        pa.field("burst_id", pa.string()),
        pa.field("subsec", pa.string()),
        pa.field("orientation", pa.int32()),
        pa.field("pdq", pa.binary(32)),
        pa.field("pdq_quality", pa.int32()),
        pa.field("phash", pa.binary(8)),
        pa.field("dhash", pa.binary(8)),
        pa.field("ahash", pa.binary(8)),
        pa.field("sharpness", pa.float32()),
        pa.field("exposure", pa.float32()),
        pa.field("contrast", pa.float32()),
        pa.field("resolution", pa.float32()),
        pa.field("quality", pa.float32()),
        pa.field("has_thumbnail", pa.bool_(), nullable=False),
        pa.field("failures", pa.list_(pa.struct(list(REJECTS)))),
        pa.field("faces", FACES),
        pa.field("ocr_text", pa.string()),
        pa.field("nsfw", pa.float32()),
        pa.field("tags", TAGS),
    ]
)
"""One row per file that became a photo; `failures` says which optional stages failed and why.

`ocr_text` is empty where no text was found; like `nsfw` and `tags` it is null where its stage did
not run or failed.
"""


def vectors(space: EmbeddingSpace) -> pa.Schema:
    """photo_id plus the photo's float16 vectors; the metadata names the space.

    One vector for each of the space's views, side by side: `space.width` values.
    """
    metadata = {"photoorg.space": space.id, "photoorg.schema": SCHEMA_VERSION}
    if len(space.views) > 1:
        metadata["photoorg.views"] = str(len(space.views))
    return pa.schema(
        [
            pa.field("photo_id", pa.string(), nullable=False),
            pa.field("vector", pa.list_(pa.float16(), space.width), nullable=False),
        ],
        metadata=metadata,
    )


def views_of(schema: pa.Schema) -> int:
    """How many vectors side by side each photo has in a table of vectors."""
    return int((schema.metadata or {}).get(b"photoorg.views", b"1"))


def photos(stages: Sequence[str], face_space_id: str = "", face_user: str = "") -> pa.Schema:
    """PHOTOS; the metadata says which optional stages ran, and of faces the space and consent."""
    metadata = {"photoorg.schema": SCHEMA_VERSION, "photoorg.stages": ",".join(stages)}
    if face_space_id:
        metadata["photoorg.faces_space"] = face_space_id
    if face_user:
        metadata["photoorg.faces_user"] = face_user
    return PHOTOS.with_metadata(metadata)


def with_version(schema: pa.Schema) -> pa.Schema:
    """The same schema with photoorg's schema version in its metadata."""
    return schema.with_metadata({"photoorg.schema": SCHEMA_VERSION})


def require_space(schema: pa.Schema, space: EmbeddingSpace, what: str) -> None:
    """Raise SpaceMismatchError unless the vectors of `schema` are of `space`."""
    found = (schema.metadata or {}).get(b"photoorg.space")
    if found is None:
        raise SpaceMismatchError(f"{what} does not say which space its vectors belong to.")
    space.require(found.decode(), what)
