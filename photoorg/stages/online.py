"""One uploaded photo through the same stages as the bulk job."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg import schema
from photoorg.config import PhotoOrgConfig
from photoorg.models import Rejection
from photoorg.stages import rows
from photoorg.stages.consenting import without_faces
from photoorg.stages.ingest import Models, cpu_stages, made_by, model_stages, run_stages
from photoorg.stages.parts import finish
from photoorg.store.objects import ObjectStore


@dataclass(frozen=True, slots=True)
class OnlineResult:
    """What one upload became: a PHOTOS table of one row and its vector, or a rejection."""

    photos: pa.Table | None
    vector: NDArray[np.float32] | None
    rejection: Rejection | None


class OnlineIngest:
    """Decodes, measures, thumbnails and embeds single uploads; the bytes are already stored."""

    def __init__(self, config: PhotoOrgConfig, store: ObjectStore, models: Models) -> None:
        self._line = [*cpu_stages(config, store, keep_data=False), *model_stages(config, models)]
        self._made = made_by(config, models)

    def process(
        self, data: bytes, *, uri: str, filename: str, uploaded_at: datetime | None = None
    ) -> OnlineResult:
        """Run every enabled stage over one file's bytes; never raises for a bad file."""
        when = uploaded_at or datetime.now(UTC)
        name = f"{uri}/{filename}" if filename else uri
        keys = pa.table(
            [[name], [len(data)], [""], [when], [0]],
            schema=schema.KEYS,
        )
        table = rows.set_column(rows.start(keys), "data", [data], pa.large_binary())
        table = run_stages(table, self._line)
        table = rows.set_column(table, "uri", [uri], pa.string())
        part = finish(table, self._made)
        if len(part.rejects):
            return OnlineResult(None, None, Rejection(**part.rejects.to_pylist()[0]))
        vector = None
        if part.vectors is not None and len(part.vectors):
            values = part.vectors["vector"].combine_chunks().values
            vector = values.to_numpy(zero_copy_only=False).astype(np.float32)
        return OnlineResult(part.photos, vector, None)


class ConsentedIngest:
    """OnlineIngest with faces or without them, as consent stands when a photo comes."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        store: ObjectStore,
        models: Models,
        agreed: Callable[[], bool],
    ) -> None:
        plain = Models(encoder=models.encoder)
        self._plain = OnlineIngest(without_faces(config), store, plain)
        self._faces = None if models.faces is None else OnlineIngest(config, store, models)
        self._agreed = agreed

    def process(
        self, data: bytes, *, uri: str, filename: str, uploaded_at: datetime | None = None
    ) -> OnlineResult:
        """As OnlineIngest."""
        faces = self._faces if self._faces is not None and self._agreed() else None
        line = faces or self._plain
        return line.process(data, uri=uri, filename=filename, uploaded_at=uploaded_at)
