"""From finished rows to the three tables of a run part, and their commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from photoorg import schema
from photoorg.space import EmbeddingSpace
from photoorg.stages.embed import VECTOR, beside
from photoorg.store.layout import run_dir, vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run

INGEST = "ingest"
REJECTS = "rejects"


@dataclass(frozen=True, slots=True)
class Part:
    """What became of the files of one part: photos, their vectors, and rejects.

    `further` are their vectors in other spaces, by space id.
    """

    photos: pa.Table
    vectors: pa.Table | None
    rejects: pa.Table
    further: Mapping[str, pa.Table] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.photos) + len(self.rejects)


@dataclass(frozen=True, slots=True)
class Made:
    """What a line of stages makes: which optional stages ran, and the spaces of its vectors.

    `space` is that of the photo vectors, None where they were not asked for; `face_space_id` that
    of the faces, empty without them; `face_user` whose consent covers them; `further` are spaces
    that the library may move to, where there are vectors too.
    """

    stages: tuple[str, ...]
    space: EmbeddingSpace | None = None
    face_space_id: str = ""
    face_user: str = ""
    further: tuple[EmbeddingSpace, ...] = ()


def finish(table: pa.Table, made: Made) -> Part:
    """Split rows that went through every stage; columns of stages that did not run are null."""
    rejected = pc.is_valid(table["reject"])
    good = table.filter(pc.invert(rejected))
    return Part(
        photos=_photos(good, made),
        vectors=_vectors(good, made.space, VECTOR) if made.space is not None else None,
        rejects=_rejects(table.filter(rejected)),
        further={
            space.id: _vectors(good, space, beside(space))
            for space in made.further
            # A worker that could not open the encoder did without.
            if beside(space) in good.column_names
        },
    )


def _photos(good: pa.Table, made: Made) -> pa.Table:
    failures = pc.list_value_length(good["failures"]).to_numpy(zero_copy_only=False)
    status = np.where(failures > 0, "partial", "ready")
    good = good.append_column("status", pa.array(status, pa.string()))
    columns = []
    for wanted in schema.PHOTOS:
        if wanted.name in good.column_names:
            columns.append(good[wanted.name].cast(wanted.type))
        elif wanted.type == pa.bool_():
            columns.append(pa.array([False] * len(good), pa.bool_()))
        else:
            columns.append(pa.nulls(len(good), wanted.type))
    return pa.table(columns, schema=schema.photos(made.stages, made.face_space_id, made.face_user))


def _vectors(good: pa.Table, space: EmbeddingSpace, column: str) -> pa.Table:
    kept = good.filter(pc.is_valid(good[column]))
    return pa.table([kept["photo_id"], kept[column]], schema=schema.vectors(space))


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
        self._store, self._tenant, self._run_id = store, tenant, run_id
        self._run = Run(store, run_dir(tenant, INGEST, run_id))
        self._vectors = self._vectors_of(space.id) if space else None

    def write(self, number: int, part: Part) -> None:
        """Write part `number`; doing it again overwrites it with the same rows."""
        if self._vectors is not None and part.vectors is not None:
            self._vectors.write_part(number, part.vectors)
        for space_id, vectors in part.further.items():
            self._vectors_of(space_id).write_part(number, vectors)
        self._run.write_part(number, part.rejects, name=REJECTS)
        self._run.write_part(number, part.photos)

    def _vectors_of(self, space_id: str) -> Run:
        return Run(self._store, vectors_dir(self._tenant, space_id, self._run_id))
