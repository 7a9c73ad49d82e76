"""Devices: GPUs that shards are searched on, each with one stream, one lock and a budget."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Ids, Index, Mask
from photoorg.index.device_form import (
    device_bytes,
    device_form,
    device_parameters,
    device_queries,
)
from photoorg.index.rescore import Rescorer
from photoorg.index.searcher import CpuSearcher, Searcher

log = logging.getLogger(__name__)
MAX_K = 2_048
"""A GPU gives at most so many candidates, and scans at most so many lists."""
MORE = 16
"""Candidates asked for beyond twice k where a copy's float16 scores are nearly exact."""
LOOK_S = 1.0
"""How often what was dropped is freed, and what waits for room is looked at."""
REST_S, REST_MOST_S = 60.0, 3_600.0
"""How long a shard stays away from GPUs after one failed it; doubled each time."""
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


class PinnedSearcher:
    """Candidates from the shard's copy on a GPU, from the CPU where there is none or it cannot.

    The CPU answers filtered searches, those beyond MAX_K, and all while no device has room. Either
    way candidates are re-scored from the same vectors, so scores are the same.
    """

    def __init__(
        self, index: Index, rescorer: Rescorer, failed: Callable[[PinnedSearcher], None]
    ) -> None:
        self.index = index
        self.rescorer = rescorer
        self.size = device_bytes(index)
        self.copy: DeviceCopy | None = None
        self.rests_until = 0.0
        self.told = False
        self._rest_s = 0.0
        self._failed = failed
        self._cpu = CpuSearcher(index, rescorer)

    def best(
        self,
        x_nd: FloatMatrix,
        k: int,
        *,
        wanted: int,
        effort: int,
        allowed: Mask | Any | None = None,
        lists: Ids | None = None,
    ) -> tuple[FloatMatrix, Ids]:
        """See Searcher."""
        if self.index.exact:
            count = min(2 * k + MORE, len(self.index))
        else:
            count = min(max(wanted, k + MORE), len(self.index))
        copy = self.copy
        if copy is not None and allowed is None and lists is None and 0 < count <= MAX_K >= effort:
            try:
                rows = copy.candidates(x_nd, count, effort)
            except FAILURES as error:
                log.warning("a shard leaves GPU %d: %s", copy.device.number, _reason(error))
                self.copy = None
                self._failed(self)
            else:
                if rows is not None:
                    return self.rescorer.best(x_nd, rows, k)
        return self._cpu.best(x_nd, k, wanted=wanted, effort=effort, allowed=allowed, lists=lists)

    def rest(self) -> None:
        """Stay on the CPU for a while, twice as long as the last time."""
        self._rest_s = min(max(REST_S, 2 * self._rest_s), REST_MOST_S)
        self.rests_until = time.monotonic() + self._rest_s


class Devices:
    """The GPUs of this process and the shards pinned to them, `budget_bytes` on each.

    A shard is searched on the CPU until a thread of this object has copied it, so that no query
    waits. It goes to the emptiest device, which spreads the shards of a version evenly whatever
    their numbers are, and stays there until it is dropped. One that finds no room waits for it.
    """

    def __init__(self, gpus: Gpus, budget_bytes: int) -> None:
        self._devices = [Device(n, gpus, budget_bytes) for n in range(gpus.count())]
        self._waiting: weakref.WeakSet[PinnedSearcher] = weakref.WeakSet()
        self._guard = threading.Lock()
        self._changed = threading.Event()
        self._stopped = False
        self._loader = threading.Thread(target=self._load, name="gpu-loader", daemon=True)

    def searcher(self, index: Index, rescorer: Rescorer) -> Searcher:
        """How a shard is searched; its copy is made soon."""
        made = PinnedSearcher(index, rescorer, self._away)
        self._wait(made)
        return made

    def start(self) -> None:
        """Begin to copy what waits."""
        self._loader.start()

    def close(self) -> None:
        """Copy nothing more; what is there goes on being searched."""
        self._stopped = True
        self._changed.set()

    def settle(self) -> None:
        """Free what was dropped, then copy the shards that wait and fit."""
        for device in self._devices:
            device.sweep()
        with self._guard:
            waiting = list(self._waiting)
        for searcher in waiting:
            if searcher.rests_until <= time.monotonic():
                self._move_in(searcher)

    def status(self) -> str:
        """What is where, in a few words."""
        places = [
            f"GPU {d.number}: {d.shards} shards, {d.used / 1e6:.0f} MB" for d in self._devices
        ]
        with self._guard:
            waiting = len(self._waiting)
        return ", ".join([*places, *([f"{waiting} shards on the CPU"] if waiting else [])])

    def _move_in(self, searcher: PinnedSearcher) -> None:
        device = min(self._devices, key=lambda d: d.used)
        free = device.budget - device.used
        if searcher.size > free:
            if not searcher.told:
                searcher.told = True
                log.warning(
                    "a shard stays on the CPU: it takes %.0f MB, GPUs have %.0f of %.0f MB left"
                    " (serve.shard_gpu_memory_mb)",
                    searcher.size / 1e6,
                    free / 1e6,
                    device.budget / 1e6,
                )
            return
        try:
            form = device_form(searcher.index, searcher.rescorer)
            searcher.copy = device.take(searcher.index, form, searcher.size)
        except FAILURES as error:
            log.warning("a shard stays on the CPU: GPU %d: %s", device.number, _reason(error))
            searcher.rest()
            return
        with self._guard:
            self._waiting.discard(searcher)
        log.info("a shard of %d rows is searched on GPU %d", len(searcher.index), device.number)

    def _away(self, searcher: PinnedSearcher) -> None:
        searcher.rest()
        self._wait(searcher)

    def _wait(self, searcher: PinnedSearcher) -> None:
        with self._guard:
            self._waiting.add(searcher)
        self._changed.set()

    def _load(self) -> None:
        while not self._stopped:
            self._changed.wait(LOOK_S)
            self._changed.clear()
            try:
                self.settle()
            except Exception:  # the end of one look: the next one comes soon
                log.exception("shards could not be copied to a GPU")


def _reason(error: BaseException) -> str:
    return str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
