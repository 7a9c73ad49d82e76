"""What a GPU changes: where k-means runs, and a searchable copy of an index in its memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from photoorg.errors import ConfigError, InputError, ResourceError
from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Ids, Index, Mask

MAX_K = 2_048
"""FAISS without cuVS returns at most this many results, and scans at most this many lists."""


def count() -> int:
    """How many GPUs FAISS can use; 0 with faiss-cpu."""
    faiss = faiss_io.library()

    return int(faiss.get_num_gpus()) if hasattr(faiss, "StandardGpuResources") else 0


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


class GpuIndex:
    """A copy of a CPU index in GPU memory, with float16 tables; answers as the original does.

    FAISS's GPU indices may not be used from two threads at once, so calls take turns. Fast-scan
    codes have no GPU form: for those ConfigError names the factories that do.
    """

    def __init__(self, index: Index, *, device: int = 0) -> None:
        faiss = faiss_io.library()

        if count() <= device:
            raise ResourceError(f"FAISS sees {count()} GPUs, so there is no GPU {device}.")
        options = faiss.GpuClonerOptions()
        options.useFloat16 = True
        options.useFloat16CoarseQuantizer = True
        options.usePrecomputed = False
        self._lock = threading.Lock()
        self._resources = faiss.StandardGpuResources()
        self._source = index
        try:
            self._index = faiss.index_cpu_to_gpu(self._resources, device, index.faiss, options)
        except RuntimeError as error:
            raise ConfigError(
                f"This index has no GPU form: {str(error).splitlines()[-1]}.",
                fix='Use "Flat", "IVF{nlist},SQfp16" or "IVF{nlist},PQ{pq}" as index.factory.',
            ) from None

    @property
    def dim(self) -> int:
        """Dimension of its vectors."""
        return self._source.dim

    def __len__(self) -> int:
        return len(self._source)

    def search(
        self, x_nd: FloatMatrix, k: int, *, effort: int | None = None, allowed: Mask | None = None
    ) -> tuple[FloatMatrix, Ids]:
        """Scores and ids, both [n, k]; filtered searches go to the CPU index it was made from."""
        if k > MAX_K or (effort or 0) > MAX_K:
            raise InputError(f"On a GPU k and effort go up to {MAX_K}, not {max(k, effort or 0)}.")
        if allowed is not None:
            return self._source.search(x_nd, k, effort=effort, allowed=allowed)
        parameters = self._source.search_parameters(effort, None)
        with self._lock:
            return faiss_io.search(self._index, x_nd, k, parameters)
