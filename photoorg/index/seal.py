"""The seal at the end of every index file: what the file is, and a checksum of what it holds.

Layout: payload, JSON footer, footer length (8 bytes, little-endian), 8 magic bytes. The payload
starts at byte 0, so that FAISS can read or map it in place.
"""

from __future__ import annotations

import hashlib
import json
import mmap
from dataclasses import asdict, dataclass
from pathlib import Path

from photoorg.errors import IndexCorruptError, NotFoundError

MAGIC = b"PHOTOIX1"
SCHEMA = 1
TAIL = 8 + len(MAGIC)
FIX = "Fetch the file again, or rebuild the index: `photoorg index build`."


@dataclass(frozen=True, slots=True)
class Seal:
    """`part` is base, rescore or ids; `bytes` and `sha256` are the payload's."""

    part: str
    kind: str
    space: str
    dim: int
    rows: int
    bytes: int
    sha256: str
    schema: int = SCHEMA


def close(path: Path, *, part: str, kind: str, space: str, dim: int, rows: int) -> Seal:
    """Seal a finished payload; the file is complete after this and only after this."""
    size = path.stat().st_size
    seal = Seal(part, kind, space, dim, rows, size, _sha256(path, size))
    footer = json.dumps(asdict(seal), separators=(",", ":")).encode()
    with path.open("ab") as file:
        file.write(footer + len(footer).to_bytes(8, "little") + MAGIC)
    return seal


def check(path: Path, *, part: str, kind: str | None = None, verify: bool = True) -> Seal:
    """The seal of a whole and unaltered file; IndexCorruptError says what is wrong with another.

    `verify` False skips reading the payload for its checksum.
    """
    seal = _read(path)
    if seal.part != part or kind not in (None, seal.kind):
        raise IndexCorruptError(
            f"{path} holds {seal.part} data of kind {seal.kind!r},"
            f" not {part} data{f' of kind {kind!r}' if kind else ''}.",
            fix=FIX,
        )
    if verify and _sha256(path, seal.bytes) != seal.sha256:
        raise IndexCorruptError(f"{path} was altered: its checksum does not fit.", fix=FIX)
    return seal


def _read(path: Path) -> Seal:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            file.seek(max(0, size - TAIL))
            tail = file.read()
            if tail[-len(MAGIC) :] != MAGIC:
                raise IndexCorruptError(
                    f"{path} is truncated or no index file of this version: its seal is missing.",
                    fix=FIX,
                )
            length = int.from_bytes(tail[:8], "little")
            file.seek(max(0, size - TAIL - length))
            footer = json.loads(file.read(min(length, size)))
        schema = footer.get("schema")
        seal = Seal(**footer) if schema == SCHEMA else None
    except FileNotFoundError:
        raise NotFoundError(f"There is no index file {path}.", fix=FIX) from None
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise IndexCorruptError(f"{path} has a damaged seal: {error}.", fix=FIX) from None
    if seal is None:
        raise IndexCorruptError(f"{path} has format {schema!r}, this program {SCHEMA}.", fix=FIX)
    if seal.bytes != size - TAIL - length:
        raise IndexCorruptError(
            f"{path} was altered: its payload has {size - TAIL - length} bytes, not {seal.bytes}.",
            fix=FIX,
        )
    return seal


def _sha256(path: Path, size: int) -> str:
    if size == 0:
        return hashlib.sha256().hexdigest()
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as whole,
        whole[:size] as payload,
    ):
        return hashlib.sha256(payload).hexdigest()
