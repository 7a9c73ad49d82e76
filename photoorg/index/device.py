"""Device: one GPU with its stream, its lock and the copies of shards in its memory."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from typing import Any, Protocol

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Ids, Index
from photoorg.index.device_form import device_parameters, device_queries

FAILURES = (RuntimeError, MemoryError)
"""What FAISS raises where a GPU has no memory left, or does not know an index."""


class Gpus(Protocol):
    """The layer below: FAISS on GPUs, numbered as this process sees them."""

    def count(self) -> int:
        """How many there are."""

    def open(self, number: int) -> Any:
        """Stream and scratch memory of one GPU."""

    def copy(self, index: Any, number: int, opened: Any) -> Any:
        """A FAISS index in the memory of a GPU; RuntimeError or MemoryError if that fails."""


class Device:
    """One GPU. Its copies share one stream, and FAISS allows one call at a time on it."""

    def __init__(self, number: int, gpus: Gpus, budget: int) -> None:
        self.number = number
        self.budget = budget
        self.used = 0
        self.shards = 0
        self._gpus = gpus
        self._opened: Any = None
        self._lock = threading.Lock()
        self._copying = False
        self._left: deque[tuple[Any, int]] = deque()

    def take(self, source: Index, form: Any, size: int) -> DeviceCopy:
        """A copy of a form that stays for as long as it is referred to; FAILURES."""
        self._copying = True
        try:
            with self._lock:
                if self._opened is None:
                    self._opened = self._gpus.open(self.number)
                index = self._gpus.copy(form, self.number, self._opened)
                self.used += size
                self.shards += 1
        finally:
            self._copying = False
        copy = DeviceCopy(self, source, index)
        # Not freed there and then: whoever lets go of it may be in a hurry, or hold the lock.
        weakref.finalize(copy, self._left.append, (index, size)).atexit = False
        return copy

    def search(self, index: Any, x_nd: FloatMatrix, k: int, parameters: Any) -> Ids | None:
        """Rows [n, k] of candidates; None while something is copied, as that takes long."""
        if self._copying:
            return None
        with self._lock:
            return faiss_io.search(index, x_nd, k, parameters)[1]

    def sweep(self) -> None:
        """Free the copies nobody refers to any more."""
        with self._lock:
            while self._left:
                self.used -= self._left.popleft()[1]
                self.shards -= 1


class DeviceCopy:
    """A shard's form in the memory of one device."""

    def __init__(self, device: Device, source: Index, index: Any) -> None:
        self.device = device
        self._source = source
        self._index = index

    def candidates(self, x_nd: FloatMatrix, count: int, effort: int) -> Ids | None:
        """Rows [n, count], -1 pads; None while the device is busy. FAILURES."""
        queries = device_queries(self._source, x_nd)
        parameters = device_parameters(self._source, effort)
        return self.device.search(self._index, queries, count, parameters)


def reason(error: BaseException) -> str:
    """The last line of a failure: FAISS puts its own source before it."""
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
