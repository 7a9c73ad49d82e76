"""The records that travel between floors: frozen, slotted, with no behaviour of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

PhotoStatus = Literal["queued", "processing", "ready", "partial", "failed"]
IndexStatus = Literal["building", "shadow", "active", "deprecated", "deleted"]

ZERO_SHOT = "zero-shot"
"""The source of tags that a model gave by comparing vectors with phrases."""

Rgb = NDArray[np.uint8]
"""An upright sRGB image, shape [height, width, 3], uint8 0..255."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file that a source listed: where it is, and what tells that it has changed."""

    uri: str
    size: int
    etag: str
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """What a row becomes that cannot be used: never an exception, never silently dropped."""

    key: str
    stage: str
    reason: str
    retryable: bool = False
    code: str = "decode-failed"


@dataclass(frozen=True, slots=True)
class Decoded:
    """One decoded photo.

    `rgb` is upright and scaled so that its short side is near what was asked; `width` and `height`
    are those of the upright original. `decoder` names library and version. `exif` is the raw EXIF
    block (may be empty), `mime` was found from content.
    """

    rgb: Rgb
    width: int
    height: int
    mime: str
    decoder: str
    frames: int = 1
    exif: bytes = b""


@dataclass(frozen=True, slots=True)
class Exif:
    """What a camera wrote, normalised; None where it did not or wrote nonsense.

    `captured_at` is timezone-aware UTC when an offset is known, else naive-as-UTC with
    `captured_offset_minutes` None. `captured_source` is one of offset_original, offset, gps,
    exif_local, filename, file, none. Latitude and longitude are WGS-84 decimal degrees.
    """

    captured_at: datetime | None = None
    captured_offset_minutes: int | None = None
    captured_source: str = "none"
    latitude: float | None = None
    longitude: float | None = None
    altitude_m: float | None = None
    make: str | None = None
    model: str | None = None
    lens: str | None = None
    exposure_s: float | None = None
    f_number: float | None = None
    iso: int | None = None
    focal_mm: float | None = None
    software: str | None = None
    content_id: str | None = None
    burst_id: str | None = None
    subsec: str | None = None
    orientation: int = 1


@dataclass(frozen=True, slots=True)
class Hashes:
    """Perceptual hashes as bytes: PDQ 32 bytes with quality 0..100, the others 8 bytes each."""

    pdq: bytes
    pdq_quality: int
    phash: bytes
    dhash: bytes
    ahash: bytes


@dataclass(frozen=True, slots=True)
class Quality:
    """Parts of technical quality and their weighted score, each 0..1 (1 is best)."""

    sharpness: float
    exposure: float
    contrast: float
    resolution: float
    score: float


@dataclass(frozen=True, slots=True)
class Face:
    """One detected face.

    `box` is (x, y, width, height) and `landmarks` are 5 (x, y) points, all as fractions 0..1 of the
    upright photo. `score` is the detector's confidence 0..1, `quality` 0..1 how fit the face is for
    recognition. `embedding` is unit-norm float32 [dim] in the face space.
    """

    box: tuple[float, float, float, float]
    landmarks: tuple[tuple[float, float], ...]
    score: float
    quality: float
    embedding: NDArray[np.float32]
    age: float | None = None
    gender: str | None = None


@dataclass(frozen=True, slots=True)
class PhotoTag:
    """A tag of a photo.

    `score` is the machine's confidence 0..1, None for a tag that a person gave. `source` is
    "zero-shot" for a machine's tag, else "user". `category` is empty where the tag has none.
    """

    label: str
    category: str = ""
    score: float | None = None
    source: str = "user"


@dataclass(frozen=True, slots=True)
class Photo:
    """One photo of a tenant as the catalog knows it, named by tenant and sha256 (hex)."""

    tenant: str
    photo_id: str
    uri: str
    mime: str
    size: int
    width: int
    height: int
    status: PhotoStatus
    created_at: datetime
    exif: Exif = field(default_factory=Exif)
    hashes: Hashes | None = None
    quality: Quality | None = None
    decoder: str = ""
    has_thumbnail: bool = False
    reason: str | None = None
    filename: str = ""
    trashed_at: datetime | None = None
    favourite: bool = False
    ocr_text: str | None = None
    nsfw: float | None = None


@dataclass(frozen=True, slots=True)
class Candidate:
    """A photo that an index returned: `score` is the cosine similarity -1..1."""

    photo_id: str
    score: float


@dataclass(frozen=True, slots=True)
class Hit:
    """One search result with the signals that made its score and why it is here, in words.

    `view` names the part of the photo that is most like the query (photoorg.views); empty where
    photos are embedded as a whole only, or were found by words.
    """

    photo_id: str
    score: float
    uri: str = ""
    signals: Mapping[str, float] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    folded: tuple[str, ...] = ()
    view: str = ""


@dataclass(frozen=True, slots=True)
class IndexVersion:
    """One version of a tenant's index in one space; `location` is relative to the storage root."""

    tenant: str
    space_id: str
    version: str
    status: IndexStatus
    location: str
    vectors: int
    shards: int
    created_at: datetime
    recall_at_10: float | None = None
