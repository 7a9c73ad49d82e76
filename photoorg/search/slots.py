"""LocalSlot: one shard slot of every tenant and space, searched in this process."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import numpy as np

from photoorg.config import SearchConfig
from photoorg.search.allowed import AllowedSets
from photoorg.search.batching import Batcher
from photoorg.search.holdings import Holdings, Key, logged
from photoorg.search.ports import Scope, SlotAnswer, SlotQuery, Vector
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, reports

T = TypeVar("T")
REPORT_S = 2.0
"""How often a replica says what it holds; sooner when that changed."""


class LocalSlot:
    """A slot of the index: answers queries from its holdings, and keeps those up to date.

    Changes since an index was built are applied before every query that asks for them (`seq`), and
    by a background thread that also looks for new versions: those are loaded beside the old one
    and swapped in, so that no query waits.

    Every few seconds the slot reports what it holds, versions that are wanted included: a cutover
    waits for that and then takes effect with the first query that knows of it, on all slots alike.
    """

    def __init__(
        self, holdings: Holdings, catalog: Catalog, search: SearchConfig, *, threads: int = 2
    ) -> None:
        self.number, self.count = holdings.number, holdings.count
        self.replica = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._catalog = catalog
        self._holdings = holdings
        self._allowed = AllowedSets(catalog, search.filter_memory_mb * 1_000_000)
        self._said: dict[str, tuple[float, frozenset[tuple[str, str]]]] = {}
        self._poll_s = search.delta_poll_ms / 1000
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"shard-{self.number}")
        self._batcher = Batcher(self._search_all, self._threads, lanes=threads)
        self._stopped = threading.Event()
        name = f"watch-{self.number}"
        self._watcher = threading.Thread(target=self._watch, name=name, daemon=True)

    async def search(self, query: SlotQuery) -> SlotAnswer:
        """The best photos of the slot; queries that wait for it are answered together."""
        return await self._batcher.ask(query)

    async def vector(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, *, seq: int
    ) -> Vector | None:
        """The photo's unit-norm vector, None if it is not in this slot."""
        shards = self._holdings.ready(tenant, space.id, seq)
        if shards is not None:
            # One row of a mapped file: sooner read than handed to a thread.
            return shards.vector(photo_id)
        return await self._in_thread(self.vector_now, tenant, space, photo_id, seq)

    async def ready(self) -> str:
        """A sentence on what is loaded."""
        return f"slot {self.number} of {self.count}: {self._holdings.status()}"

    def start(self) -> None:
        """Begin to watch for changes and new versions."""
        self._watcher.start()

    def close(self) -> None:
        """Stop watching; queries under way end."""
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def search_now(self, query: SlotQuery) -> SlotAnswer:
        """As search, in the calling thread."""
        return self._search_group([query])[0]

    def vector_now(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, seq: int
    ) -> Vector | None:
        """As vector, in the calling thread."""
        return self._holdings.fresh(tenant, space, seq).vector(photo_id)

    def serving(self) -> dict[Key, str]:
        """Which version is searched, by tenant and space id ("" where there is no index yet)."""
        return {key: shards.version for key, shards in self._holdings.serving().items()}

    def _search_all(self, queries: Sequence[SlotQuery]) -> list[SlotAnswer | Exception]:
        """Answer queries that came together; those of the same index in one search."""
        answers: dict[int, SlotAnswer | Exception] = {}
        groups: dict[tuple[str, str, int, int, Scope, bool], list[int]] = {}
        for number, q in enumerate(queries):
            before = self._holdings.before(q.tenant, q.space.id, q.seq)
            key = (q.tenant, q.space.id, q.k, q.pool, q.scope, before)
            groups.setdefault(key, []).append(number)
        for members in groups.values():
            try:
                found = self._search_group([queries[number] for number in members])
                answers.update(zip(members, found, strict=True))
            except Exception as error:  # the end of these queries; the others have answers
                answers.update(dict.fromkeys(members, error))
        return [answers[number] for number in range(len(queries))]

    def _search_group(self, group: Sequence[SlotQuery]) -> list[SlotAnswer]:
        """Answer queries of one index that ask for the same."""
        first = group[0]
        scope, allowed = first.scope, None
        if scope.filter:
            allowed = self._allowed.get(first.tenant, scope.filter, scope.revision)
        shards = self._holdings.fresh(first.tenant, first.space, max(q.seq for q in group))
        return shards.search(
            np.stack([q.x_d for q in group]).astype(np.float32, copy=False),
            first.k,
            max(first.k, first.pool),
            allowed=allowed,
            ceiling=scope.ceiling,
            above=scope.above,
        )

    def held(self, tenant: str) -> list[reports.Held]:
        """What the slot reports: the tenant's versions, serving and spare, that are whole."""
        return self._holdings.whole(tenant)

    def refresh(self) -> None:
        """Look once for changes and new versions of everything that is loaded, and report."""
        for tenant in self._holdings.tenants():
            with logged(f"slot {self.number} could not look for changes of {tenant}"):
                self._holdings.refresh(tenant)
                self._report(tenant)
        self._holdings.trim()

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _report(self, tenant: str) -> None:
        held = self.held(tenant)
        names = frozenset((h.space_id, h.version) for h in held)
        when, before = self._said.get(tenant, (0.0, None))
        if names == before and time.monotonic() - when < REPORT_S:
            return
        with self._catalog.tenant(tenant) as tx:
            reports.say(tx, self.replica, self.number, self.count, held)
        self._said[tenant] = (time.monotonic(), names)

    def _leave(self) -> None:
        for tenant in self._said:
            with logged("a slot could not sign off"), self._catalog.tenant(tenant) as tx:
                reports.leave(tx, self.replica)

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_s):
            self.refresh()
        self._leave()
