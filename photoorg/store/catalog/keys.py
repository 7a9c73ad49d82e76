"""Photo ids and URIs as the database keys them."""

from __future__ import annotations

import hashlib
import re

from photoorg.errors import InputError

PHOTO_ID = re.compile(r"[0-9a-f]{64}")


def photo_key(photo_id: str) -> bytes:
    """The 32 bytes of a photo id; InputError if it is not 64 hexadecimal digits."""
    if not PHOTO_ID.fullmatch(photo_id):
        raise InputError(
            f"{photo_id!r} is no photo id.",
            fix="It is a sha256: 64 lower-case hexadecimal digits.",
        )
    return bytes.fromhex(photo_id)


def uri_key(uri: str) -> bytes:
    """16 bytes that stand for a URI, which may be longer than an index entry can be."""
    return hashlib.blake2b(clean(uri).encode(), digest_size=16).digest()


def clean(text: str) -> str:
    """Text without what PostgreSQL cannot hold: NUL characters and lone surrogates."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def filename(uri: str) -> str:
    """The last part of a path or URI."""
    return uri.rstrip("/").rpartition("/")[2]
