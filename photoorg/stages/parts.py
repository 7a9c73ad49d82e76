"""From finished rows to the three tables of a run part, and their commit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoorg import schema
from photoorg.space import EmbeddingSpace
from photoorg.store.layout import run_dir, vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run

INGEST = "ingest"
REJECTS = "rejects"


@dataclass(frozen=True, slots=True)
class Part:
    """What became of the files of one part: photos, their vectors, and rejects."""

    photos: pa.Table
    vectors: pa.Table | None
    rejects: pa.Table

    def __len__(self) -> int:
        return len(self.photos) + len(self.rejects)


@dataclass(frozen=True, slots=True)
class Made:
    """What a line of stages makes: which optional stages ran, and the spaces of its vectors.

    `space` is that of the photo vectors, None where they were not asked for; `face_space_id` that
    of the faces, empty without them; `face_user` whose consent covers them.
    """

    stages: tuple[str, ...]
    space: EmbeddingSpace | None = None
    face_space_id: str = ""
    face_user: str = ""


def finish(table: pa.Table, made: Made) -> Part:
    """Split rows that went through every stage; columns of stages that did not run are null."""
    rejected = pc.is_valid(table["reject"])
    good = table.filter(pc.invert(rejected))
    return Part(
        photos=_photos(good, made),
        vectors=_vectors(good, made.space) if made.space is not None else None,
        rejects=_rejects(table.filter(rejected)),
    )


def _photos(good: pa.Table, made: Made) -> pa.Table:
    failures = pc.list_value_length(good["failures"]).to_numpy(zero_copy_only=False)
    status = np.where(failures > 0, "partial", "ready")
    good = good.append_column("status", pa.array(status, pa.string()))
    columns = []
    for field in schema.PHOTOS:
        if field.name in good.column_names:
            columns.append(good[field.name].cast(field.type))
        elif field.type == pa.bool_():
            columns.append(pa.array([False] * len(good), pa.bool_()))
        else:
            columns.append(pa.nulls(len(good), field.type))
    return pa.table(columns, schema=schema.photos(made.stages, made.face_space_id, made.face_user))


def _vectors(good: pa.Table, space: EmbeddingSpace) -> pa.Table:
    kept = good.filter(pc.is_valid(good["vector"]))
    return pa.table([kept["photo_id"], kept["vector"]], schema=schema.vectors(space))


def _rejects(bad: pa.Table) -> pa.Table:
    structs = bad["reject"].combine_chunks()
    columns = [structs.field(f.name) for f in schema.REJECTS]
    table = pa.table(columns, schema=schema.with_version(schema.REJECTS))
    if "companion" in bad.column_names and bad["companion"].null_count < len(bad):
        table = table.append_column("companion", bad["companion"])
    return table


class PartWriter:
    """Commits parts of one ingest run: vectors and rejects first, the photos file last.

    A part counts as done only when its photos file exists under its final name.
    """

    def __init__(
        self, store: ObjectStore, tenant: str, run_id: str, space: EmbeddingSpace | None
    ) -> None:
        self._run = Run(store, run_dir(tenant, INGEST, run_id))
        self._space = space
        self._vectors = Run(store, vectors_dir(tenant, space.id, run_id)) if space else None

    def write(self, number: int, part: Part) -> None:
        """Write part `number`; doing it again overwrites it with the same rows."""
        if self._vectors is not None and part.vectors is not None:
            self._vectors.write_part(number, part.vectors)
        self._run.write_part(number, part.rejects, name=REJECTS)
        self._run.write_part(number, part.photos)
