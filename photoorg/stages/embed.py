"""Stages that run a model over pixels."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg import schema
from photoorg.encoders.base import Encoder, FaceEncoder
from photoorg.encoders.crops import encode_photos
from photoorg.models import Face, Rejection, Rgb
from photoorg.space import EmbeddingSpace
from photoorg.stages import rows

VECTOR = "vector"


def beside(space: EmbeddingSpace) -> str:
    """The column of vectors in a space that the library may move to."""
    return f"{VECTOR} {space.id}"


class Embed:
    """Adds `vector`: float16 [width], null where a photo was rejected or could not be encoded.

    The vectors of all views of the encoder's space, side by side. In a `further` space the column
    is beside(space), and a photo that cannot be encoded there is none the worse for it.
    """

    def __init__(self, encoder: Encoder, *, further: bool = False) -> None:
        self._encoder = encoder
        self._further = further

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, rows with vectors out; the pixels stay."""
        pixels = rows.images(table)
        vectors, failed = self._encode(table, {i: pixels[i] for i in rows.live(table)})
        space = self._encoder.space
        column = beside(space) if self._further else VECTOR
        table = rows.set_column(table, column, *_as_column(len(table), vectors, space.width))
        return table if self._further else rows.mark_failed(table, failed)

    def _encode(
        self, table: pa.Table, images: Mapping[int, Rgb]
    ) -> tuple[dict[int, NDArray[np.float32]], dict[int, Rejection]]:
        try:
            vectors = encode_photos(self._encoder, list(images.values()))
            return dict(zip(images, vectors, strict=True)), {}
        except Exception:  # one bad row must not cost the batch: find it by going row by row
            return rows.per_row(
                table, "embed", images, lambda i: encode_photos(self._encoder, [images[i]])[0]
            )


def _as_column(
    count: int, vectors: dict[int, NDArray[np.float32]], width: int
) -> tuple[pa.Array, pa.DataType]:
    kind = pa.list_(pa.float16(), width)
    flat = np.zeros((count, width), dtype=np.float16)
    missing = np.ones(count, dtype=bool)
    for row, vector in vectors.items():
        flat[row] = vector
        missing[row] = False
    array = pa.FixedSizeListArray.from_arrays(
        pa.array(flat.ravel()), type=kind, mask=pa.array(missing)
    )
    return array, kind


class DetectFaces:
    """Adds `faces`: boxes, landmarks, quality and embeddings of the faces in each photo."""

    def __init__(self, encoder: FaceEncoder, *, min_score: float) -> None:
        self._encoder = encoder
        self._min_score = min_score

    def __call__(self, table: pa.Table) -> pa.Table:
        """Rows with pixels in, rows with faces (maybe none) out; the pixels stay."""
        pixels = rows.images(table)

        def detect(row: int) -> list[dict[str, object]]:
            found = self._encoder.detect(pixels[row])
            return [_face_struct(face) for face in found if face.score >= self._min_score]

        done, failed = rows.per_row(table, "faces", rows.live(table), detect)
        table = rows.set_column(table, "faces", rows.scatter(len(table), done), schema.FACES)
        return rows.mark_failed(table, failed)


def _face_struct(face: Face) -> dict[str, object]:
    return {
        "box": [float(v) for v in face.box],
        "landmarks": [float(v) for point in face.landmarks for v in point],
        "score": face.score,
        "quality": face.quality,
        "age": face.age,
        "gender": face.gender,
        "embedding": face.embedding.astype(np.float16),
    }
