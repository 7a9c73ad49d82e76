"""From stored photos to the features of two random views each, part by part."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.encoders.base import Encoder
from photoorg.imaging.guard import GuardedDecoder
from photoorg.learn.augment import Augmentation
from photoorg.models import Rgb
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run
from photoorg.store.sources import read_original

log = logging.getLogger(__name__)
JOB = "train"
PHOTOS = "photos"
FEATURES = "features"
PIECE = 32


@dataclass(frozen=True, slots=True)
class Views:
    """Features of photos: `plain` of the photo itself, `a` and `b` of two views, each [n, dim]."""

    photo_ids: list[str]
    plain: NDArray[np.float32]
    a: NDArray[np.float32]
    b: NDArray[np.float32]


class EmbedViews:
    """Embeds one part's photos; a photo that cannot be read is left out, with a line in the log."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        store: ObjectStore,
        encoder: Encoder,
        augmentation: Augmentation,
    ) -> None:
        self._config = config
        self._store = store
        self._encoder = encoder
        self._augmentation = augmentation
        self._decoder = GuardedDecoder(config.imaging)

    def __call__(self, photos: pa.Table) -> pa.Table:
        """Columns photo_id and uri in; photo_id, plain, a and b (float16 lists) out."""
        ids: list[str] = []
        columns: dict[str, list[NDArray[np.float16]]] = {"plain": [], "a": [], "b": []}
        rows = photos.to_pylist()
        for start in range(0, len(rows), PIECE):
            read = [
                (row["photo_id"], rgb)
                for row in rows[start : start + PIECE]
                if (rgb := self._read(row["uri"])) is not None
            ]
            ids += [photo_id for photo_id, _ in read]
            for name, images in self._images(read).items():
                columns[name].append(self._encoder.encode_images(images).astype(np.float16))
        dim = self._encoder.space.dim
        lists = {
            name: pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(parts).ravel()), dim)
            for name, parts in columns.items()
        }
        return pa.table({"photo_id": pa.array(ids, pa.string()), **lists})

    def _images(self, read: Sequence[tuple[str, Rgb]]) -> dict[str, list[Rgb]]:
        pairs = [
            self._augmentation.views(rgb, np.random.default_rng(int(photo_id[:16], 16)))
            for photo_id, rgb in read
        ]
        return {
            "plain": [rgb for _, rgb in read],
            "a": [first for first, _ in pairs],
            "b": [second for _, second in pairs],
        }

    def _read(self, uri: str) -> Rgb | None:
        try:
            data = read_original(
                uri, self._store, self._config.source, max_bytes=self._config.imaging.max_bytes
            )
            return self._decoder.decode(data, short_side=self._config.imaging.short_side).rgb
        except Exception as error:  # the end of one photo
            log.warning("%s is left out of the training: %s", uri, error)
            return None


def read_views(run: Run) -> Views:
    """All parts of a training run that were written."""
    tables = [run.read_part(part, name=FEATURES) for part in run.parts(FEATURES)]
    table = pa.concat_tables(tables)
    return Views(
        table["photo_id"].to_pylist(),
        *(_matrix(table[name].combine_chunks()) for name in ("plain", "a", "b")),
    )


def _matrix(lists: pa.FixedSizeListArray) -> NDArray[np.float32]:
    flat = lists.flatten().to_numpy(zero_copy_only=False).astype(np.float32)
    x_nd = flat.reshape(len(lists), -1)
    norms = np.maximum(np.linalg.norm(x_nd, axis=1, keepdims=True), 1e-12)
    return np.asarray(x_nd / norms, np.float32)
