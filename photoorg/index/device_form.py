"""What of a shard is copied to a GPU, how many bytes it takes there, and how it is asked.

Exact kinds are copied in float16, inverted files of 8-bit product codes as they are, with tables in
float16. Other codes, as those of 4 bits that CPUs scan fastest, have no form on a GPU: there the
same lists hold the re-score vectors in float16, which misses less at the same effort. Rotations
stay on the CPU.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Ids, Index
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.index.rescore import Rescorer

AT_ONCE = 50_000
"""Vectors that are held as float32 while lists are filled."""
GROUP = 32
"""On a GPU the codes of a list are stored in groups of so many vectors."""
ALIGN = 256
"""Bytes to which GPU memory is given out."""


def device_form(source: Index, rescorer: Rescorer) -> Any:
    """A FAISS index that a GPU can take; it borrows from `source`, which must outlive it.

    Vectors are read once where codes have no form of their own.
    """
    if not isinstance(source, IvfPqIndex):
        return source.faiss
    return source.ivf if _taken(source.ivf) else _float16_lists(source, rescorer)


def device_bytes(source: Index) -> int:
    """Bytes of a shard's form in GPU memory, without making it."""
    if not isinstance(source, IvfPqIndex):
        return 2 * source.dim * len(source)
    ivf = source.ivf
    size = int(ivf.code_size) if _taken(ivf) else 2 * int(ivf.d)
    sizes_n = source.list_sizes()
    codes_n = _up(_up(sizes_n, GROUP) * size, ALIGN)
    ids_n = _up(8 * sizes_n, ALIGN)
    return int(codes_n.sum() + ids_n.sum()) + 2 * int(ivf.d) * len(sizes_n)


def device_queries(source: Index, x_nd: FloatMatrix) -> FloatMatrix:
    """Queries as the form takes them."""
    return source.rotated(x_nd) if isinstance(source, IvfPqIndex) else x_nd


def device_parameters(source: Index, effort: int) -> Any:
    """How many lists to scan, as FAISS takes it for a form."""
    if not isinstance(source, IvfPqIndex):
        return None
    return faiss_io.library().SearchParametersIVF(nprobe=min(effort, source.max_effort))


def _taken(ivf: Any) -> bool:
    """Whether a GPU searches these codes."""
    faiss = faiss_io.library()

    if isinstance(ivf, faiss.IndexIVFPQ):
        return int(ivf.pq.nbits) == 8
    fp16 = faiss.ScalarQuantizer.QT_fp16
    return isinstance(ivf, faiss.IndexIVFScalarQuantizer) and ivf.sq.qtype == fp16


def _float16_lists(source: IvfPqIndex, rescorer: Rescorer) -> Any:
    """The lists of an inverted file with its re-score vectors, rotated, in float16."""
    faiss = faiss_io.library()

    ivf = source.ivf
    fp16, metric = faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT
    made = faiss.IndexIVFScalarQuantizer(ivf.quantizer, ivf.d, ivf.nlist, fp16, metric, False)
    made.is_trained = True
    list_n = source.list_of_rows()
    for start in range(0, len(source), AT_ONCE):
        ids_n = np.arange(start, min(start + AT_ONCE, len(source)), dtype=np.int64)
        x_nd = source.rotated(rescorer.decoded(ids_n))
        some_n = list_n[start : start + AT_ONCE]
        made.add_core(len(ids_n), *(faiss.swig_ptr(a) for a in (x_nd, ids_n, some_n)))
    return made


def _up(sizes_n: Ids, step: int) -> Ids:
    return -(-sizes_n // step) * step
