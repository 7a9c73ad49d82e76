"""manifest.json: what a version of an index is; written last, so that it exists means all does."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from photoorg.errors import IndexCorruptError, NotFoundError
from photoorg.index.seal import FIX
from photoorg.space import EmbeddingSpace

SCHEMA = "photoorg.index/1"
NAME = "manifest.json"
SUFFIXES = {"base": "faiss", "rescore": "rescore", "ids": "ids"}


def file_name(slot: int, part: str) -> str:
    """`shard-<slot>.<suffix>` of a part (base, rescore or ids)."""
    return f"shard-{slot}.{SUFFIXES[part]}"


@dataclass(frozen=True, slots=True)
class FileInfo:
    """Size of a whole file in bytes, and the sha256 in its seal."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ShardInfo:
    """One shard: its slot, rows, resident bytes, and its files by part (base, rescore, ids).

    A row is one vector of a photo: as many for each photo as its space has views, side by side.
    """

    slot: int
    rows: int
    memory_bytes: int
    files: Mapping[str, FileInfo]


@dataclass(frozen=True, slots=True)
class IndexManifest:
    """A whole version. `effort` and `rescore_factor` reach `recall_at_10` on held-out vectors.

    `delta_seq` is the last event of the delta log that is inside. `training` holds figures of the
    build (rows, seconds, the recall curve) for people to read.
    """

    space: EmbeddingSpace
    version: str
    kind: str
    factory: str
    nlist: int
    rescore: str
    rescore_factor: int
    effort: int
    recall_at_10: float
    vectors: int
    delta_seq: int
    shards: tuple[ShardInfo, ...]
    training: Mapping[str, Any] = field(default_factory=dict)
    created_at: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    schema: str = SCHEMA

    def to_json(self) -> str:
        """Indented JSON, stable in its order."""
        data = {f: getattr(self, f) for f in self.__slots__}
        data["space"] = self.space.to_dict()
        data["shards"] = [asdict(s) for s in self.shards]
        data["training"] = dict(self.training)
        return json.dumps({"schema": data.pop("schema"), **data}, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, where: str = NAME) -> IndexManifest:
        """Inverse of to_json; IndexCorruptError for anything else."""
        try:
            data = json.loads(text)
            if data.get("schema") != SCHEMA:
                raise IndexCorruptError(
                    f"{where} has format {data.get('schema')!r}, this program {SCHEMA!r}.", fix=FIX
                )
            data["space"] = EmbeddingSpace.from_dict(data["space"])
            data["shards"] = tuple(_shard(s) for s in data["shards"])
            return cls(**data)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise IndexCorruptError(
                f"{where} is damaged: {type(error).__name__} {error}.", fix=FIX
            ) from None

    def write(self, directory: Path) -> None:
        """Put it beside the shards, whole or not at all."""
        part = directory / f".{NAME}.{os.getpid()}"
        part.write_text(self.to_json(), encoding="utf-8")
        part.replace(directory / NAME)

    @classmethod
    def read(cls, directory: Path) -> IndexManifest:
        """Read a folder's manifest; NotFoundError where the version was never finished."""
        path = directory / NAME
        try:
            return cls.from_json(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise NotFoundError(
                f"There is no finished index in {directory}: it has no {NAME}.", fix=FIX
            ) from None

    def files(self) -> list[str]:
        """Names of the shard files, the manifest not among them."""
        return [file_name(s.slot, part) for s in self.shards for part in s.files]


def _shard(data: dict[str, Any]) -> ShardInfo:
    return ShardInfo(**{**data, "files": {k: FileInfo(**v) for k, v in data["files"].items()}})
