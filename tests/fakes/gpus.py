"""GPUs made of CPU memory: they take what FAISS takes on real ones, and refuse what it refuses."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from photoorg.index import faiss_io

MOST = 2_048


class FakeGpus:
    """`count` devices of `capacity` vectors each. `refuse` makes every search fail from then on."""

    def __init__(self, count: int = 1, capacity: int = 10**9) -> None:
        self._count = count
        self.capacity = capacity
        self.opened: list[int] = []
        self.refuse = False
        self.while_copying: Callable[[], object] = lambda: None
        self.searches: list[tuple[int, int]] = []
        """Device and k of every search that reached one."""
        self.overlaps = 0
        self._alive: weakref.WeakSet[FakeCopy] = weakref.WeakSet()

    @property
    def alive(self) -> list[FakeCopy]:
        """Copies whose memory is not free yet."""
        return sorted(self._alive, key=lambda copy: copy.device)

    def count(self) -> int:
        return self._count

    def open(self, number: int) -> object:
        self.opened.append(number)
        return threading.Lock()

    def copy(self, index: Any, number: int, opened: Any) -> FakeCopy:
        faiss = faiss_io.library()
        known = (
            faiss.IndexFlat,
            faiss.IndexScalarQuantizer,
            faiss.IndexIVFFlat,
            faiss.IndexIVFScalarQuantizer,
            faiss.IndexIVFPQ,
        )
        if not isinstance(index, known):
            raise RuntimeError("Error in GpuCloner:\nThis index type is not implemented on GPU.")
        held = sum(c.ntotal for c in self.alive if c.device == number)
        if held + index.ntotal > self.capacity:
            raise RuntimeError("StandardGpuResources: alloc fail (cudaMalloc error out of memory)")
        self.while_copying()
        made = FakeCopy(self, index, number, opened)
        self._alive.add(made)
        return made


class FakeCopy:
    """One index in the memory of one device; two searches at once on a device are counted."""

    def __init__(self, gpus: FakeGpus, index: Any, device: int, stream: Any) -> None:
        self.device = device
        self.index = index
        self.d, self.ntotal = int(index.d), int(index.ntotal)
        self._gpus = gpus
        self._stream = stream

    def search(
        self, x_nd: np.ndarray, k: int, *, params: Any = None
    ) -> tuple[np.ndarray, np.ndarray]:
        if self._gpus.refuse:
            raise RuntimeError("StandardGpuResources: alloc fail (cudaMalloc error out of memory)")
        if k > MOST or getattr(params, "nprobe", 1) > MOST:
            raise RuntimeError("GPU index only supports up to 2048")
        if getattr(params, "sel", None) is not None:
            raise RuntimeError("GPU index does not support selectors")
        if not self._stream.acquire(blocking=False):
            self._gpus.overlaps += 1
            raise RuntimeError("two searches at once on one device")
        try:
            self._gpus.searches.append((self.device, k))
            found: tuple[np.ndarray, np.ndarray] = self.index.search(x_nd, k, params=params)
            return found
        finally:
            self._stream.release()
