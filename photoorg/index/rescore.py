"""The second look: every vector in 8 or 16 bits a value, in a file that is mapped, not read."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np

from photoorg.index import faiss_io, seal
from photoorg.index.base import FloatMatrix, Ids, Mask

Codec = Literal["sq8", "fp16"]
NTOTAL_AT = 8
"""Offset of the number of vectors in FAISS's flat files: after the four-character code and d."""

DECODED_AT_ONCE = 20_000
"""Candidates whose vectors are held as float32 at the same time."""


def train_codec(codec: Codec, x_nd: FloatMatrix) -> bytes:
    """Learn the range of every dimension (sq8) from a sample; the empty codec as bytes.

    One codec serves all shards of a version, so that equal vectors score equally everywhere.
    """
    faiss = faiss_io.library()

    kinds = {"sq8": faiss.ScalarQuantizer.QT_8bit, "fp16": faiss.ScalarQuantizer.QT_fp16}
    index = faiss.IndexScalarQuantizer(x_nd.shape[1], kinds[codec], faiss.METRIC_INNER_PRODUCT)
    # Values beyond the range seen are clipped, so leave room for what the sample did not show.
    index.sq.rangestat_arg = 0.15
    if len(x_nd):
        index.train(np.ascontiguousarray(x_nd, dtype=np.float32))
    index.is_trained = True
    return faiss_io.to_bytes(index)


class Rescorer:
    """Vectors of one shard by row, mapped from their file; FAISS re-scores candidates with it."""

    def __init__(self, index: Any) -> None:
        self.faiss = index

    @classmethod
    def write(
        cls, path: Path, codec: bytes, blocks: Iterable[FloatMatrix], rows: int, *, space: str
    ) -> seal.Seal:
        """Encode `rows` vectors, given in row order in blocks, holding one block in memory.

        FAISS can only write what it holds whole, so the codes are streamed behind the header of an
        empty index of the same codec, with the two counts in it set; open() checks the result.
        """
        index = faiss_io.from_bytes(codec)
        size = int(index.sa_code_size())
        header = bytearray(codec)
        header[NTOTAL_AT : NTOTAL_AT + 8] = rows.to_bytes(8, "little")
        header[-8:] = (rows * size).to_bytes(8, "little")
        with path.open("wb") as file:
            file.write(header)
            for x_nd in blocks:
                if len(x_nd):
                    file.write(index.sa_encode(np.ascontiguousarray(x_nd)).tobytes())
        return seal.close(
            path, part="rescore", kind=_codec_name(index), space=space, dim=index.d, rows=rows
        )

    @classmethod
    def open(cls, path: Path, found: seal.Seal) -> Self:
        """Map a file whose seal was checked."""
        return cls(faiss_io.read(path, found, mmap=True))

    def codec(self) -> bytes:
        """The empty codec its vectors were written with, as train_codec gave it."""
        faiss = faiss_io.library()

        old = faiss.downcast_index(self.faiss)
        index = faiss.IndexScalarQuantizer(old.d, old.sq.qtype, faiss.METRIC_INNER_PRODUCT)
        faiss.copy_array_to_vector(faiss.vector_to_array(old.sq.trained), index.sq.trained)
        index.is_trained = True
        return faiss_io.to_bytes(index)

    def __len__(self) -> int:
        return int(self.faiss.ntotal)

    def vectors(self, rows_n: Ids) -> FloatMatrix:
        """Unit-norm float32 [n, dim] of rows."""
        return unit(self.decoded(rows_n))

    def decoded(self, rows_n: Ids) -> FloatMatrix:
        """Float32 [n, dim] of rows as they are stored, what scores are computed from."""
        if len(rows_n) == 0:
            return np.zeros((0, int(self.faiss.d)), np.float32)
        x_nd: FloatMatrix = self.faiss.reconstruct_batch(np.ascontiguousarray(rows_n))
        return x_nd

    def best(self, x_nd: FloatMatrix, rows_nm: Ids, k: int) -> tuple[FloatMatrix, Ids]:
        """The k best of each query's candidates (-1: none): scores and rows, both [n, k]."""
        scores_nm = np.full(rows_nm.shape, -np.inf, np.float32)
        at_once = max(1, DECODED_AT_ONCE // max(1, rows_nm.shape[1]))
        for start in range(0, len(x_nd), at_once):
            part = slice(start, start + at_once)
            some = np.maximum(rows_nm[part], 0)
            near = self.decoded(some.ravel()).reshape(*some.shape, -1)
            scores_nm[part] = np.matmul(near, x_nd[part, :, None])[..., 0]
        scores_nm[rows_nm < 0] = -np.inf
        first = np.argsort(-scores_nm, axis=1, kind="stable")[:, :k]
        scores_nk = np.take_along_axis(scores_nm, first, 1)
        return faiss_io.padded(scores_nk, np.take_along_axis(rows_nm, first, 1), k)

    def scan(self, x_nd: FloatMatrix, k: int, allowed: Mask | None) -> tuple[FloatMatrix, Ids]:
        """The k best of all allowed rows, every one of them compared."""
        faiss = faiss_io.library()
        chosen = None
        if allowed is not None:
            chosen = faiss.SearchParameters(sel=faiss_io.selector(allowed))
        return faiss_io.search(self.faiss, x_nd, k, chosen)


def unit(x_nd: FloatMatrix) -> FloatMatrix:
    """Rows scaled to length 1; rows of zeros stay zeros."""
    norms_n1 = np.linalg.norm(x_nd, axis=1, keepdims=True)
    return np.asarray(x_nd / np.where(norms_n1 > 0, norms_n1, 1), np.float32)


def _codec_name(index: Any) -> str:
    faiss = faiss_io.library()

    return "fp16" if index.sq.qtype == faiss.ScalarQuantizer.QT_fp16 else "sq8"
