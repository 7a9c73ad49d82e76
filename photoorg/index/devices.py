"""Devices: which shards are searched on which GPU, within a budget of memory."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from photoorg.index.base import FloatMatrix, Ids, Index, Mask
from photoorg.index.device import FAILURES, Device, DeviceCopy, Gpus, reason
from photoorg.index.device_form import device_bytes, device_form
from photoorg.index.rescore import Rescorer
from photoorg.index.searcher import CpuSearcher, Searcher

log = logging.getLogger(__name__)
MAX_K = 2_048
"""A GPU gives at most so many candidates, and scans at most so many lists."""
MORE = 16
"""Candidates asked for beyond twice k where a copy's float16 scores are nearly exact."""
HIDDEN_SHARE = 0.1
"""Up to this share of hidden rows candidates come from a GPU, which knows no masks."""
LOOK_S = 1.0
"""How often what was dropped is freed, and what waits for room is looked at."""
REST_S, REST_MOST_S = 60.0, 3_600.0
"""How long a shard stays away from GPUs after one failed it; doubled each time."""


class PinnedSearcher:
    """Candidates from the shard's copy on a GPU, from the CPU where there is none or it cannot.

    The CPU answers filtered searches, those beyond MAX_K, and all while no device has room. A mask
    that hides few rows, as of deleted photos, is no filter: the copy is asked for more candidates
    and the hidden are left out. Candidates are scored by the same vectors either way, so
    scores are the same.
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
        # Exact kinds score by their own vectors, which may hold more bits than those to re-score.
        self._scored_by = Rescorer(index.faiss) if index.exact else rescorer

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
        found = None
        if self.copy is not None and lists is None:
            found = self._there(self.copy, x_nd, k, wanted, effort, allowed)
        if found is not None:
            return found
        return self._cpu.best(x_nd, k, wanted=wanted, effort=effort, allowed=allowed, lists=lists)

    def _there(
        self,
        copy: DeviceCopy,
        x_nd: FloatMatrix,
        k: int,
        wanted: int,
        effort: int,
        allowed: Mask | Any | None,
    ) -> tuple[FloatMatrix, Ids] | None:
        """The same from the copy's candidates; None for the CPU to answer."""
        count = 2 * k + MORE if self.index.exact else max(wanted, k + MORE)
        if allowed is not None and not isinstance(allowed, np.ndarray):
            return None
        hidden = 0 if allowed is None else len(allowed) - int(np.count_nonzero(allowed))
        if hidden > HIDDEN_SHARE * len(self.index):
            return None
        asked = min(count + min(hidden, count), len(self.index))
        if not 0 < asked <= MAX_K or effort > MAX_K:
            return None
        try:
            rows = copy.candidates(x_nd, asked, effort)
        except FAILURES as error:
            log.warning("a shard leaves GPU %d: %s", copy.device.number, reason(error))
            self.copy = None
            self._failed(self)
            return None
        if rows is not None and allowed is not None:
            cut = rows[:, -1] >= 0 if asked < len(self.index) else np.zeros(len(rows), np.bool_)
            rows[~allowed[rows]] = -1
            if bool((cut & (np.count_nonzero(rows >= 0, axis=1) < count)).any()):
                return None
        return None if rows is None else self._scored_by.best(x_nd, rows, k)

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
        self._settling = threading.Lock()
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
        with self._settling:
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
            log.warning("a shard stays on the CPU: GPU %d: %s", device.number, reason(error))
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
