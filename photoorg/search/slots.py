"""LocalSlot: one shard slot of every tenant and space, loaded when first asked for."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from photoorg.config import IndexConfig, SearchConfig
from photoorg.index.devices import Devices
from photoorg.models import IndexVersion
from photoorg.search.allowed import AllowedSets
from photoorg.search.batching import Batcher
from photoorg.search.live import LiveShards, load_shards
from photoorg.search.place import Place
from photoorg.search.ports import EVERYTHING, Scope, SlotAnswer, Vector
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, delta, indexes, reports, spaces, trash
from photoorg.store.objects import ObjectStore

log = logging.getLogger(__name__)
T = TypeVar("T")
Key = tuple[str, str]
MEND_S = 30.0
"""How often a shard that was damaged is looked at again."""
REPORT_S = 2.0
"""How often a replica says what it holds; sooner when that changed."""
Serving = tuple[IndexVersion, int, int]


@dataclass(frozen=True, slots=True)
class Query:
    """One search that waits for the slot."""

    tenant: str
    space: EmbeddingSpace
    x_d: Vector
    k: int
    pool: int
    seq: int
    scope: Scope = EVERYTHING


class LocalSlot:
    """Slot `number` of `count`: the shards s of every index with s % count == number.

    An index is loaded at a tenant's first query, into `cache_dir` if it is not on this machine's
    disk, and dropped by least recent use when all loaded ones need more than `budget_bytes`.
    Changes since it was built are applied before every query that asks for them (`seq`), and by a
    background thread that also looks for new versions: those are loaded beside the old one and
    swapped in, so that no query waits. A tenant without an index is searched in its changes alone.
    Shards are searched on `devices`, where there are some, with the same results.

    Versions the catalog marks as wanted are held beside those that serve, and every few seconds the
    slot reports what it holds: a cutover waits for that and then takes effect with the first query
    that knows of it, on all slots alike.
    """

    def __init__(
        self,
        number: int,
        count: int,
        catalog: Catalog,
        store: ObjectStore,
        cache_dir: Path,
        *,
        index: IndexConfig,
        search: SearchConfig,
        budget_bytes: int,
        threads: int = 2,
        devices: Devices | None = None,
    ) -> None:
        self.number, self.count = number, count
        self.replica = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._catalog = catalog
        self._store = store
        self._cache_dir = cache_dir
        self._index = index
        self._poll_s = search.delta_poll_ms / 1000
        self._budget = budget_bytes
        self._devices = devices
        self._allowed = AllowedSets(catalog, search.filter_memory_mb * 1_000_000)
        self._places: dict[Key, Place] = {}
        self._said: dict[str, tuple[float, frozenset[tuple[str, str]]]] = {}
        self._guard = threading.Lock()
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=f"shard-{number}")
        self._batcher = Batcher(self._search_all, self._threads, lanes=threads)
        self._stopped = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name=f"watch-{number}", daemon=True)

    async def search(
        self,
        tenant: str,
        space: EmbeddingSpace,
        x_d: Vector,
        k: int,
        *,
        pool: int,
        seq: int,
        scope: Scope = EVERYTHING,
    ) -> SlotAnswer:
        """The k best photos in scope and up to `pool` good ones; changes up to `seq` count."""
        query = Query(tenant, space, np.asarray(x_d, np.float32), k, pool, seq, scope)
        return await self._batcher.ask(query)

    async def vector(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, *, seq: int
    ) -> Vector | None:
        """The photo's unit-norm vector, None if it is not in this slot."""
        place = self._places.get((tenant, space.id))
        shards = place.at(seq) if place is not None else None
        if shards is not None and shards.seq >= seq:
            # One row of a mapped file: sooner read than handed to a thread.
            return shards.vector(photo_id)
        return await self._in_thread(self.vector_now, tenant, space, photo_id, seq)

    async def ready(self) -> str:
        """A sentence on what is loaded."""
        loaded = [p.shards for p in self._places.values() if p.shards is not None]
        megabytes = sum(s.memory_bytes for s in loaded) / 1e6
        gpus = f"; {self._devices.status()}" if self._devices is not None else ""
        name = f"slot {self.number} of {self.count}"
        return f"{name}: {len(loaded)} indexes, {megabytes:.0f} MB{gpus}"

    def start(self) -> None:
        """Begin to watch for changes and new versions."""
        self._watcher.start()

    def close(self) -> None:
        """Stop watching; queries under way end."""
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def search_now(
        self,
        tenant: str,
        space: EmbeddingSpace,
        x_d: Vector,
        k: int,
        pool: int,
        seq: int,
        scope: Scope = EVERYTHING,
    ) -> SlotAnswer:
        """The same, in the calling thread."""
        query = Query(tenant, space, np.asarray(x_d, np.float32), k, pool, seq, scope)
        return self._search_group([query])[0]

    def vector_now(
        self, tenant: str, space: EmbeddingSpace, photo_id: str, seq: int
    ) -> Vector | None:
        """The same, in the calling thread."""
        return self._fresh(tenant, space, seq).vector(photo_id)

    def _search_all(self, queries: Sequence[Query]) -> list[SlotAnswer | Exception]:
        """Answer queries that came together; those of the same index in one search."""
        answers: dict[int, SlotAnswer | Exception] = {}
        groups: dict[tuple[str, str, int, int, Scope, bool], list[int]] = {}
        for number, q in enumerate(queries):
            place = self._places.get((q.tenant, q.space.id))
            before = place is not None and place.before(q.seq)
            key = (q.tenant, q.space.id, q.k, q.pool, q.scope, before)
            groups.setdefault(key, []).append(number)
        for members in groups.values():
            try:
                found = self._search_group([queries[number] for number in members])
                answers.update(zip(members, found, strict=True))
            except Exception as error:  # the end of these queries; the others have answers
                answers.update(dict.fromkeys(members, error))
        return [answers[number] for number in range(len(queries))]

    def _search_group(self, group: Sequence[Query]) -> list[SlotAnswer]:
        """Answer queries of one index that ask for the same."""
        first = group[0]
        scope, allowed = first.scope, None
        if scope.filter:
            allowed = self._allowed.get(first.tenant, scope.filter, scope.revision)
        shards = self._fresh(first.tenant, first.space, max(q.seq for q in group))
        return shards.search(
            np.stack([q.x_d for q in group]),
            first.k,
            first.pool,
            allowed=allowed,
            ceiling=scope.ceiling,
            above=scope.above,
        )

    def refresh(self) -> None:
        """Look once for changes and new versions of everything that is loaded, and report."""
        for tenant in {tenant for tenant, _ in list(self._places)}:
            with _logged(f"slot {self.number} could not look for changes of {tenant}"):
                self._refresh_tenant(tenant)
                self._report(tenant)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)

    def _refresh_tenant(self, tenant: str) -> None:
        with self._catalog.tenant(tenant) as tx:
            wanted = {record.space_id: (record, seq) for record, seq in indexes.wanted(tx)}
            for space_id in wanted.keys() - {s for t, s in list(self._places) if t == tenant}:
                space = spaces.get(tx, space_id)
                if space is not None:
                    place = Place(space, used=time.monotonic())
                    self._places.setdefault((tenant, space_id), place)
        for (owner, space_id), place in list(self._places.items()):
            if owner != tenant:
                continue
            with _logged(f"slot {self.number} could not look for changes of {tenant}"):
                if place.shards is None and space_id in wanted:
                    self._load_first(tenant, place)
                self._refresh(tenant, place)
                self._refresh_spare(tenant, place, wanted.get(space_id))

    def _refresh(self, tenant: str, place: Place) -> None:
        shards = place.shards
        if shards is None:
            return
        place.drop_former()
        with self._catalog.tenant(tenant) as tx:
            version = indexes.serving(tx, place.space.id)
        mend = shards.lost > 0 and time.monotonic() - place.loaded > MEND_S
        if version is None and shards.version:
            with self._guard:  # purged: whoever still asks for it finds what the log holds
                self._places.pop((tenant, place.space.id), None)
        elif version is None or (version[0].version == shards.version and not mend):
            self._catch_up(tenant, place, shards)
        elif place.spare is not None and place.spare.version == version[0].version:
            self._catch_up(tenant, place, shards)
        else:
            self._swap(tenant, place, version)

    def _refresh_spare(
        self, tenant: str, place: Place, wanted: tuple[IndexVersion, int] | None
    ) -> None:
        """Hold a wanted version beside the one that serves; let go of one that is not wanted."""
        spare = place.spare
        serves = place.shards.version if place.shards is not None else ""
        if wanted is None or wanted[0].version == serves:
            if spare is not None and place.shards is not None:
                with place.lock:
                    place.spare = None
                if spare.version != place.shards.version:
                    spare.forget_files()
            return
        if spare is None or spare.version != wanted[0].version:
            spare = self._load(tenant, place, wanted)
        with self._catalog.tenant(tenant) as tx:
            for events in delta.runs(tx, place.space.id, spare.seq):
                spare.apply(events)
        with place.lock:
            place.spare = spare

    def _report(self, tenant: str) -> None:
        held = [
            reports.Held(space_id, shards.version, shards.seq)
            for (owner, space_id), place in list(self._places.items())
            if owner == tenant
            for shards in (place.shards, place.spare)
            if shards is not None and shards.version and not shards.lost
        ]
        names = frozenset((h.space_id, h.version) for h in held)
        when, before = self._said.get(tenant, (0.0, None))
        if names == before and time.monotonic() - when < REPORT_S:
            return
        with self._catalog.tenant(tenant) as tx:
            reports.say(tx, self.replica, self.number, self.count, held)
        self._said[tenant] = (time.monotonic(), names)

    def _leave(self) -> None:
        for tenant in self._said:
            with _logged("a slot could not sign off"), self._catalog.tenant(tenant) as tx:
                reports.leave(tx, self.replica)

    def _fresh(self, tenant: str, space: EmbeddingSpace, seq: int) -> LiveShards:
        """The tenant's shards, loaded, with every change up to `seq`."""
        with self._guard:
            place = self._places.setdefault((tenant, space.id), Place(space))
        place.used = time.monotonic()
        shards = place.shards
        if shards is None:
            shards = self._load_first(tenant, place)
        if shards.seq < seq:
            self._catch_up(tenant, place, shards, seq)
        return place.at(seq) or shards

    def _load_first(self, tenant: str, place: Place) -> LiveShards:
        with place.lock:
            if place.shards is None:
                with self._catalog.tenant(tenant) as tx:
                    version = indexes.serving(tx, place.space.id)
                place.shards = self._load(tenant, place, version[:2] if version else None)
            shards = place.shards
        self._evict(keep=(tenant, place.space.id))
        return shards

    def _swap(self, tenant: str, place: Place, version: Serving) -> None:
        """Load the new version beside the old, bring it up to date, then change the pointer."""
        fresh = self._load(tenant, place, version[:2])
        with self._catalog.tenant(tenant) as tx:
            for events in delta.runs(tx, place.space.id, fresh.seq):
                fresh.apply(events)
        with place.lock:
            old, place.shards = place.shards, fresh
        if old is not None and old.version != fresh.version:
            old.forget_files()
        log.info("slot %d serves %s version %s", self.number, place.space.id, fresh.version)
        self._evict(keep=(tenant, place.space.id))

    def _load(
        self, tenant: str, place: Place, version: tuple[IndexVersion, int] | None
    ) -> LiveShards:
        place.loaded = time.monotonic()
        with self._catalog.tenant(tenant) as tx:
            hidden = trash.ids(tx)
        return load_shards(
            place.space,
            version,
            self._store,
            self._cache_dir,
            slot=self.number,
            slots=self.count,
            config=self._index,
            hidden=hidden,
            devices=self._devices,
        )

    def _catch_up(
        self, tenant: str, place: Place, shards: LiveShards, seq: int | None = None
    ) -> None:
        """Apply the changes since; `seq` is known to have been reached when this was called.

        A version that became active is taken if it is held; otherwise the watcher loads it, unless
        the log no longer says what happened since.
        """
        with place.lock:
            if place.shards is not shards or (seq is not None and shards.seq >= seq):
                return
            start, spare = shards.seq, place.spare
            with self._catalog.tenant(tenant) as tx:
                for events in delta.runs(tx, place.space.id, shards.seq):
                    shards.apply(events)
                missed = delta.floor(tx) > start
                version = indexes.serving(tx, place.space.id)
                if version is not None and version[0].version == shards.version:
                    version = None
                if version is None or spare is None or spare.version != version[0].version:
                    spare = None
                else:
                    for events in delta.runs(tx, place.space.id, spare.seq):
                        spare.apply(events)
            shards.seq = max(shards.seq, seq or 0)
            if version is not None and spare is not None:
                spare.seq = max(spare.seq, shards.seq)
                place.switch(spare, version[2])
                log.info("slot %d serves %s %s", self.number, place.space.id, spare.version)
        if missed and version is not None and spare is None:
            self._swap(tenant, place, version)

    def _evict(self, keep: Key) -> None:
        with self._guard:
            sizes = {
                key: sum(shards.memory_bytes for shards in place.held())
                for key, place in self._places.items()
                if place.shards is not None
            }
            total = sum(sizes.values())
            for key in sorted(sizes, key=lambda key: self._places[key].used):
                if total <= self._budget:
                    return
                if key != keep:
                    total -= sizes[key]
                    del self._places[key]
                    log.info("slot %d let go of %s in %s", self.number, *key)

    def _watch(self) -> None:
        while not self._stopped.wait(self._poll_s):
            self.refresh()
        self._leave()


@contextmanager
def _logged(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # the end of one look: the next one comes in half a second
        log.warning("%s: %s", what, error)
