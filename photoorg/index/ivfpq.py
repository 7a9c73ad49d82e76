"""Inverted files over compressed codes: any FAISS factory string that holds an IVF."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np

from photoorg.errors import ConfigError
from photoorg.index import faiss_io, gpu, seal
from photoorg.index.base import FloatMatrix, Ids, Mask
from photoorg.index.faiss_index import FaissIndex

BLOCK = 32
"""Fast-scan codes are stored in blocks of this many vectors."""
SMALLEST_TABLE, PAGE = 256, 4096
LIST_BYTES = 80
"""What a list takes besides codes and ids: two vectors and their heads."""


class IvfPqIndex(FaissIndex):
    """Approximate search: the `effort` nearest of the inverted lists are scanned.

    Product quantization: Jegou et al., TPAMI 2011; OPQ: Ge et al., CVPR 2013; 4-bit fast scan:
    Andre et al., VLDB 2015. Scores are those of the codes; a shard re-scores the candidates.
    """

    kind = "ivfpq"
    exact = False

    def __init__(self, dim: int, factory: str = "IVF64,PQ16x4fs", *, use_gpu: bool = False) -> None:
        faiss = faiss_io.library()

        try:
            index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
            ivf = faiss.try_extract_index_ivf(index)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1]
            raise ConfigError(
                f"FAISS cannot make an index of {factory!r} in {dim} dimensions: {reason}.",
                fix="Mend index.factory; codes of PQ{m} need a dimension divisible by m.",
            ) from None
        if ivf is None:
            raise ConfigError(
                f"The index factory {factory!r} has no inverted file.",
                fix='Use one such as "OPQ{pq},IVF{nlist},PQ{pq}x4fs".',
            )
        self._adopt(index)
        self._use_gpu = use_gpu

    def _adopt(self, index: Any) -> None:
        faiss = faiss_io.library()

        # The IVF view does not own the index it was taken from: both must live equally long.
        self._index = index
        self._ivf = faiss.downcast_index(faiss.extract_index_ivf(index))
        self._nested = isinstance(index, faiss.IndexPreTransform)
        self._use_gpu = False
        self._lender: IvfPqIndex | None = None

    @property
    def max_effort(self) -> int:
        """Number of inverted lists."""
        return int(self._ivf.nlist)

    def train(self, x_nd: FloatMatrix) -> None:
        """Learn rotation, centroids and codebooks; wants 39 to 256 vectors per list."""
        faiss = faiss_io.library()

        x_nd = faiss_io.rows_of(x_nd, self.dim)
        # FAISS only warns, on stderr, where a list has few points; the plan already saw to it.
        self._ivf.cp.min_points_per_centroid = 1
        with ExitStack() as stack:
            if self._nested:
                for i in range(self._index.chain.size()):
                    transform = faiss.downcast_VectorTransform(self._index.chain.at(i))
                    stack.enter_context(_quick_opq(transform, self._ivf))
            stack.enter_context(gpu.clustering(self._ivf, enabled=self._use_gpu))
            self._index.train(x_nd)

    def add(self, ids_n: Ids, x_nd: FloatMatrix) -> None:
        """Encode vectors into their lists."""
        if len(x_nd):
            x_nd = faiss_io.rows_of(x_nd, self.dim)
            self._index.add_with_ids(x_nd, np.ascontiguousarray(ids_n, dtype=np.int64))

    def search_parameters(
        self, effort: int | None, allowed: Mask | Any | None, *, lists: Ids | None = None
    ) -> Any:
        """Nprobe and selector as FAISS takes them for one call.

        Given `lists`, only the nearest of those are scanned; so the centroids of others are not
        even compared with the query. FAISS does so where `picks` says it.
        """
        faiss = faiss_io.library()

        wanted: dict[str, Any] = {"nprobe": min(effort or int(self._ivf.nprobe), self.max_effort)}
        if allowed is not None:
            wanted["sel"] = faiss_io.selector(allowed)
        if lists is not None:
            some = np.zeros(self.max_effort, np.bool_)
            some[lists] = True
            wanted["quantizer_params"] = faiss.SearchParameters(sel=faiss_io.selector(some))
        inner = faiss.SearchParametersIVF(**wanted)
        return faiss.SearchParametersPreTransform(index_params=inner) if self._nested else inner

    @property
    def picks(self) -> bool:
        """Whether single lists can be told apart: their centroids are in a flat index."""
        faiss = faiss_io.library()

        return isinstance(faiss.downcast_index(self._ivf.quantizer), faiss.IndexFlat)

    @property
    def ivf(self) -> Any:
        """The inverted file itself, behind any rotation; to be read, never changed."""
        return self._ivf

    def rotated(self, x_nd: FloatMatrix) -> FloatMatrix:
        """Vectors as the inverted file takes them, [n, its dimensions]."""
        faiss = faiss_io.library()

        x_nd = faiss_io.rows_of(x_nd, self.dim)
        if self._nested:
            for i in range(self._index.chain.size()):
                x_nd = faiss.downcast_VectorTransform(self._index.chain.at(i)).apply(x_nd)
        return x_nd

    def list_sizes(self) -> Ids:
        """How many vectors each inverted list holds."""
        lists = self._ivf.invlists
        return np.array([lists.list_size(i) for i in range(self.max_effort)], np.int64)

    def list_of_rows(self) -> Ids:
        """The inverted list of each dense id [rows]."""
        faiss = faiss_io.library()

        lists = self._ivf.invlists
        found = np.zeros(len(self), np.int64)
        for number in range(self.max_effort):
            size = int(lists.list_size(number))
            if size:
                found[faiss.rev_swig_ptr(lists.get_ids(number), size)] = number
        return found

    def nearness(self, x_nd: FloatMatrix) -> FloatMatrix:
        """Inner products of queries with the centroids of all lists, [n, lists].

        One matrix product: FAISS's own search for all lists sorts them in a heap, which takes
        longer than a whole search without a filter.
        """
        faiss = faiss_io.library()

        assert self.picks, "centroids are in a flat index"
        x_nd = self.rotated(x_nd)
        quantizer = faiss.downcast_index(self._ivf.quantizer)
        values = faiss.rev_swig_ptr(quantizer.get_xb(), self.max_effort * int(quantizer.d))
        near: FloatMatrix = x_nd @ values.reshape(self.max_effort, -1).T
        return near

    def share(self, other: Self) -> None:
        """Use the centroids of another shard of the same version instead of an own copy.

        Must come before the first search. Centroids that differ are kept.
        """
        if other is self or self._lender is not None:
            return
        own, lent = self._ivf.quantizer, other._ivf.quantizer
        if faiss_io.to_bytes(own) != faiss_io.to_bytes(lent):
            return
        self._ivf.quantizer = lent
        self._ivf.own_fields = False
        # The old ones must go by way of a C++ owner: handing them to Python (own(True)) miscounts
        # references inside SWIG and ends in a crash at exit. The lender has to outlive us.
        heir = faiss_io.library().IndexIVFFlat(own, own.d, own.ntotal, own.metric_type)
        heir.own_fields = True
        self._lender = other

    def memory_bytes(self) -> int:
        """Bytes of codes, ids, centroids (unless they are another's), codebooks and rotations.

        A list's packed codes lie in a table of a power of two, whose unused pages cost nothing.
        """
        faiss = faiss_io.library()

        sizes_n = self.list_sizes()
        codes_n = sizes_n * int(self._ivf.code_size)
        if isinstance(self._ivf, faiss.IndexIVFFastScan):
            packed_n = -(-sizes_n // BLOCK) * BLOCK * int(self._ivf.code_size)
            tables_n = np.exp2(np.ceil(np.log2(np.maximum(packed_n, SMALLEST_TABLE))))
            codes_n = np.where(sizes_n > 0, np.minimum(tables_n, packed_n + PAGE), 0)
        codes = int(codes_n.sum()) + LIST_BYTES * len(sizes_n)
        quantizer = faiss.downcast_index(self._ivf.quantizer)
        own = self._lender is None
        centroids = int(quantizer.sa_code_size()) * self.max_effort if own else 0
        pq = getattr(self._ivf, "pq", None)
        books = 4 * int(pq.centroids.size() + pq.sdc_table.size()) if pq is not None else 0
        return codes + 8 * int(sizes_n.sum()) + centroids + books + 4 * self._rotation_values()

    def _rotation_values(self) -> int:
        faiss = faiss_io.library()

        if not self._nested:
            return 0
        chain = self._index.chain
        transforms = [faiss.downcast_VectorTransform(chain.at(i)) for i in range(chain.size())]
        return sum(int(t.A.size() + t.b.size()) for t in transforms if hasattr(t, "A"))

    @classmethod
    def load(cls, path: Path, *, mmap: bool = False, verify: bool = True) -> Self:
        """Read what save wrote; codes stay in memory, as fast-scan blocks cannot be mapped."""
        found = seal.check(path, part="base", kind=cls.kind, verify=verify)
        index = cls.__new__(cls)
        index._adopt(faiss_io.read(path, found, mmap=False))
        return index

    def to_bytes(self) -> bytes:
        """The whole index as bytes: how a trained one travels to the tasks that fill shards."""
        return faiss_io.to_bytes(self._index)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Inverse of to_bytes."""
        index = cls.__new__(cls)
        index._adopt(faiss_io.from_bytes(data))
        return index


@contextmanager
def _quick_opq(transform: Any, ivf: Any) -> Iterator[None]:
    """While inside, OPQ learns from the codes that will be used, in few iterations.

    Its defaults (50 iterations for 8-bit codes, whatever the codes are) take minutes and gain
    nothing measurable once candidates are re-scored.
    """
    pq = getattr(ivf, "pq", None)
    if not hasattr(transform, "niter_pq_0") or pq is None:
        yield
        return
    transform.niter = 5
    transform.niter_pq = 3
    transform.niter_pq_0 = 8
    transform.max_train_points = 20_000
    books = faiss_io.library().ProductQuantizer(transform.d_out, transform.M, pq.nbits)
    books.cp.min_points_per_centroid = 1
    transform.pq = books
    try:
        yield
    finally:
        transform.pq = None
