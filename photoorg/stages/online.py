"""One uploaded photo through the same stages as the bulk job."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg import schema
from photoorg.config import PhotoOrgConfig
from photoorg.encoders.base import Encoder
from photoorg.encoders.crops import short_side
from photoorg.models import Rejection
from photoorg.stages import rows
from photoorg.stages.consenting import without_faces
from photoorg.stages.embed import Embed
from photoorg.stages.ingest import (
    Models,
    Stage,
    cpu_stages,
    made_by,
    model_stages,
    run_stages,
    views_side,
)
from photoorg.stages.parts import finish
from photoorg.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """What one upload became: a PHOTOS table of one row and its vectors, or a rejection.

    `vector` is [space.width], `others` are those in further spaces, by space id.
    """

    photos: pa.Table | None
    vector: NDArray[np.float32] | None
    rejection: Rejection | None
    others: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


class OnlineIngest:
    """Decodes, measures, thumbnails and embeds single uploads; the bytes are already stored."""

    def __init__(self, config: PhotoOrgConfig, store: ObjectStore, models: Models) -> None:
        self._config = config
        self._store = store
        self._side = views_side(config, models)
        # Larger pictures only while another space, with smaller views, is filled as well.
        self._lines = {self._side: self._line(self._side)}
        self._models = model_stages(config, models)
        self._made = made_by(config, models)

    def process(
        self,
        data: bytes,
        *,
        uri: str,
        filename: str,
        uploaded_at: datetime | None = None,
        also: Sequence[Encoder] = (),
    ) -> OnlineResult:
        """Run every enabled stage over one file's bytes; never raises for a bad file.

        Where the configured encoder embeds it, those of `also` embed the same pixels.
        """
        when = uploaded_at or datetime.now(UTC)
        name = f"{uri}/{filename}" if filename else uri
        keys = pa.table(
            [[name], [len(data)], [""], [when], [0]],
            schema=schema.KEYS,
        )
        table = rows.set_column(rows.start(keys), "data", [data], pa.large_binary())
        side = max([self._side, *(short_side(encoder, self._side) for encoder in also)])
        if side not in self._lines:
            self._lines[side] = self._line(side)
        table = run_stages(table, self._lines[side])
        others = {e.space.id: _vector(Embed(e)(table)) for e in also}
        table = run_stages(table, self._models)
        table = rows.set_column(table, "uri", [uri], pa.string())
        part = finish(table, self._made)
        if len(part.rejects):
            return OnlineResult(None, None, Rejection(**part.rejects.to_pylist()[0]))
        vector = _vector(part.vectors) if part.vectors is not None else None
        return OnlineResult(
            part.photos, vector, None, {i: x_d for i, x_d in others.items() if x_d is not None}
        )

    def _line(self, side: int) -> list[Stage]:
        return cpu_stages(self._config, self._store, keep_data=False, least_side=side)


class ConsentedIngest:
    """OnlineIngest with faces or without them, as consent stands when a photo comes."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        store: ObjectStore,
        models: Models,
        agreed: Callable[[], bool],
    ) -> None:
        plain = replace(models, faces=None)
        self._plain = OnlineIngest(without_faces(config), store, plain)
        self._faces = None if models.faces is None else OnlineIngest(config, store, models)
        self._agreed = agreed

    def process(
        self,
        data: bytes,
        *,
        uri: str,
        filename: str,
        uploaded_at: datetime | None = None,
        also: Sequence[Encoder] = (),
    ) -> OnlineResult:
        """As OnlineIngest."""
        faces = self._faces if self._faces is not None and self._agreed() else None
        line = faces or self._plain
        return line.process(data, uri=uri, filename=filename, uploaded_at=uploaded_at, also=also)


def _vector(table: pa.Table) -> NDArray[np.float32] | None:
    """The vector of a table's only row, None where it has none."""
    if not len(table) or table["vector"].null_count:
        return None
    values = table["vector"].combine_chunks().flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False), np.float32)
