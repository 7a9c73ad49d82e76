"""The two files of a live photo, made on the spot."""

from __future__ import annotations

import io

from tests.pictures import picture
from tests.unit.imaging.files import apple_note, box, exif_block, movie


def still(seed: int, content_id: str) -> bytes:
    """A JPEG whose maker note carries the identifier."""
    note = apple_note(content_id, "")
    block = exif_block({0x010F: (2, "Apple"), 0x0110: (2, "Phone")}, {0x927C: (7, note)})
    buffer = io.BytesIO()
    picture(seed).save(buffer, "JPEG", quality=90, exif=b"Exif\0\0" + block)
    return buffer.getvalue()


def video(content_id: str, seconds: float = 2.5) -> bytes:
    """A QuickTime file that carries the identifier."""
    return movie(content_id, seconds)


def plain_video() -> bytes:
    """An MP4 file that belongs to nothing."""
    return box(b"ftyp", b"isom\0\0\0\0isommp42") + box(b"mdat", bytes(2_000))
