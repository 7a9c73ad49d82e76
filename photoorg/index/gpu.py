"""FAISS on GPUs: how many there are, k-means on them, and copies of indices in their memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from photoorg.errors import ResourceError
from photoorg.index import faiss_io

SCRATCH = 256 << 20
"""Bytes of a GPU that FAISS keeps for what a search needs while it runs."""


def count() -> int:
    """How many GPUs FAISS can use; 0 with faiss-cpu."""
    faiss = faiss_io.library()

    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


def cuvs() -> bool:
    """Whether FAISS was built with NVIDIA cuVS."""
    return "CUVS" in faiss_io.library().get_compile_options()


def wanted(use_gpu: bool | Literal["auto"]) -> bool:
    """Whether to use a GPU; ResourceError where one was demanded and there is none."""
    if use_gpu is True and count() == 0:
        raise ResourceError(
            "index.use_gpu is true, but FAISS sees no GPU here.",
            fix='Install faiss-gpu on a GPU host, or set index.use_gpu to "auto".',
        )
    return use_gpu is not False and count() > 0


@contextmanager
def clustering(ivf: Any, *, enabled: bool) -> Iterator[None]:
    """While inside, k-means of an inverted file runs on every GPU; the index stays a CPU index."""
    if not enabled:
        yield
        return
    faiss = faiss_io.library()

    flat = faiss.IndexFlatIP(ivf.d)
    helper = faiss.index_cpu_to_all_gpus(flat)
    ivf.clustering_index = helper
    try:
        yield
    finally:
        ivf.clustering_index = None


class FaissGpus:
    """GPUs as FAISS sees them, numbered as in this process: see device.Gpus."""

    def count(self) -> int:
        """How many there are."""
        return count()

    def open(self, number: int) -> Any:
        """Streams and scratch memory of one GPU."""
        resources = faiss_io.library().StandardGpuResources()
        resources.setTempMemory(SCRATCH)
        return resources

    def copy(self, index: Any, number: int, opened: Any) -> Any:
        """The index in the memory of a GPU, with float16 tables and centroids."""
        faiss = faiss_io.library()

        options = faiss.GpuClonerOptions()
        options.useFloat16 = True
        options.useFloat16CoarseQuantizer = True
        options.usePrecomputed = False
        if hasattr(options, "use_cuvs"):
            # It knows no scalar codes, and is not asked about others by default.
            options.use_cuvs = cuvs() and isinstance(index, faiss.IndexFlat | faiss.IndexIVFPQ)
        return faiss.index_cpu_to_gpu(opened, number, index, options)
