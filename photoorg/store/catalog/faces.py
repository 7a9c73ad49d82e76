"""The faces of photos, as the ingest stage found them."""

from __future__ import annotations

import numpy as np

from photoorg.models import Face
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.keys import photo_key


def of_photo(tx: Transaction, photo_id: str) -> list[Face]:
    """The photo's faces in the order they were found (largest first); empty if it has none."""
    rows = tx.conn.execute(
        "SELECT box, landmarks, score, quality, embedding, age, gender FROM faces"
        " WHERE tenant_id = %s AND photo_id = %s ORDER BY face_no",
        [tx.tenant, photo_key(photo_id)],
    )
    return [
        Face(
            box=(box[0], box[1], box[2], box[3]),
            landmarks=tuple(zip(points[::2], points[1::2], strict=True)),
            score=score,
            quality=quality,
            embedding=np.frombuffer(embedding or b"", "<f2").astype(np.float32),
            age=age,
            gender=gender,
        )
        for box, points, score, quality, embedding, age, gender in rows
    ]
