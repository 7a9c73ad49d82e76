"""Rows of runs as the stages write them, made up from a number."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa

from photoorg import schema

WHEN = datetime(2024, 5, 1, 12, tzinfo=UTC)


def photo_id(content: object) -> str:
    return hashlib.sha256(str(content).encode()).hexdigest()


def photo(uri: str, content: object | None = None, **changes: Any) -> dict[str, Any]:
    """A whole row of schema.PHOTOS whose bytes are named by `content` (the URI if not given)."""
    digest = hashlib.sha256(str(uri if content is None else content).encode()).digest()
    row = dict.fromkeys(schema.PHOTOS.names)
    row |= {
        "uri": uri,
        "etag": "1-1",
        "photo_id": digest.hex(),
        "mime": "image/jpeg",
        "size": 1000,
        "width": 640,
        "height": 480,
        "frames": 1,
        "decoder": "test/1",
        "status": "ready",
        "captured_at": WHEN,
        "captured_source": "offset",
        "latitude": 52.5,
        "longitude": 13.4,
        "make": "Maker",
        "orientation": 1,
        "pdq": digest,
        "pdq_quality": 90,
        "phash": digest[:8],
        "dhash": digest[8:16],
        "ahash": digest[16:24],
        "sharpness": 0.5,
        "exposure": 0.5,
        "contrast": 0.5,
        "resolution": 0.5,
        "quality": 0.5,
        "has_thumbnail": True,
        "failures": [],
    }
    return row | changes


def face(seed: int, dim: int = 8) -> dict[str, Any]:
    vector = np.random.default_rng(seed).standard_normal(dim).astype(np.float16)
    return {
        "box": [0.1, 0.2, 0.3, 0.4],
        "landmarks": [i / 10 for i in range(10)],
        "score": 0.9,
        "quality": 0.8,
        "age": None,
        "gender": None,
        "embedding": vector,
    }


def failure(uri: str, stage: str = "embed", *, retryable: bool = False) -> dict[str, Any]:
    return {
        "key": uri,
        "stage": stage,
        "reason": "It did not work.",
        "code": "decode-failed",
        "retryable": retryable,
    }


def photos(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema.with_version(schema.PHOTOS))


def rejects(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=schema.with_version(schema.REJECTS))


def keys(*uris: str, etag: str = "1-1", part: int = 0) -> pa.Table:
    rows = [{"uri": u, "size": 1, "etag": etag, "modified_at": WHEN, "part": part} for u in uris]
    return pa.Table.from_pylist(rows, schema=schema.with_version(schema.KEYS))
