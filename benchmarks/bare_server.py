"""The limit of the serve benchmark: one process of FastAPI and FAISS that answers ids and scores.

No catalog, no signals, no reasons, no re-ranking, no shards: the least a similar-search can be.
python -m benchmarks.bare_server VECTORS.npy PORT
"""

from __future__ import annotations

import sys
from pathlib import Path

import faiss
import numpy as np
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel


class Hit(BaseModel):
    """An id and its cosine."""

    photo_id: str
    score: float


class Hits(BaseModel):
    """What was found."""

    results: list[Hit]


def create_app(x_nd: np.ndarray, ids: list[str]) -> FastAPI:
    """Exact search over all vectors."""
    faiss.omp_set_num_threads(1)
    index = faiss.IndexFlatIP(x_nd.shape[1])
    index.add(x_nd)
    rows = {photo_id: row for row, photo_id in enumerate(ids)}
    app = FastAPI()

    @app.get("/v1/photos/{photo_id}/similar")
    async def similar(photo_id: str, top_k: int = 20) -> Hits:
        row = rows[photo_id]
        scores, found = index.search(x_nd[row : row + 1], top_k + 1)
        pairs = zip(found[0].tolist(), scores[0].tolist(), strict=True)
        return Hits(results=[Hit(photo_id=ids[i], score=s) for i, s in pairs if i != row][:top_k])

    return app


def main() -> None:
    """Serve until killed."""
    path = Path(sys.argv[1])
    ids = path.with_suffix(".ids").read_text().splitlines()
    app = create_app(np.load(path), ids)
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="warning")


if __name__ == "__main__":
    main()
