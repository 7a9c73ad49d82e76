"""Holdings: the index versions that one slot has in memory, and how they are kept up to date."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from photoorg.config import IndexConfig
from photoorg.index.devices import Devices
from photoorg.models import IndexVersion
from photoorg.search.cache import trim_cache
from photoorg.search.live import LiveShards, cache_folder, load_shards
from photoorg.search.place import Place
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, Transaction, delta, indexes, reports, spaces, trash
from photoorg.store.objects import ObjectStore

log = logging.getLogger(__name__)
Key = tuple[str, str]
"""A tenant and the id of a space."""
Serving = tuple[IndexVersion, int, int]
LEAST_BYTES = 500_000
"""What every index counts beside its rows: it takes little memory where it is small, but files that
are open and mapped, of which a process may have some ten thousand."""
DISK_BYTES = 50_000_000_000
MEND_S = 30.0
"""How often a shard that was damaged is looked at again."""


class Holdings:
    """What slot `number` of `count` holds: for every tenant and space the version that serves.

    Of each index it holds the shards s with s % count == number, searched on `devices` where there
    are some, with the same results.

    An index is loaded at the tenant's first query, into `cache_dir` if it is not on this machine's
    disk, and dropped by least recent use when all loaded ones need more than `budget_bytes`; of
    files in `cache_dir` those beyond `disk_bytes` go in the same way, if they are not in use. A
    version the catalog marks as wanted is held beside the one that serves. A tenant without an
    index is held as its changes alone. Thread-safe.
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
        budget_bytes: int,
        disk_bytes: int = DISK_BYTES,
        devices: Devices | None = None,
    ) -> None:
        self.number, self.count = number, count
        self._catalog = catalog
        self._store = store
        self._cache_dir = cache_dir
        self._index = index
        self._budget = budget_bytes
        self._disk = disk_bytes
        self._devices = devices
        self._places: dict[Key, Place] = {}
        self._guard = threading.Lock()

    def fresh(self, tenant: str, space: EmbeddingSpace, seq: int) -> LiveShards:
        """The tenant's shards, loaded where they are not yet, with every change up to `seq`."""
        with self._guard:
            place = self._places.setdefault((tenant, space.id), Place(space))
        place.used = time.monotonic()
        shards = place.shards
        if shards is None:
            shards = self._load_first(tenant, place)
        if shards.seq < seq:
            self._catch_up(tenant, place, shards, seq)
        return place.at(seq) or shards

    def ready(self, tenant: str, space_id: str, seq: int) -> LiveShards | None:
        """The same where it takes neither loading nor catching up; else None."""
        place = self._places.get((tenant, space_id))
        shards = place.at(seq) if place is not None else None
        return shards if shards is not None and shards.seq >= seq else None

    def before(self, tenant: str, space_id: str, seq: int) -> bool:
        """Whether a query that knows the log up to `seq` began before the last cutover."""
        place = self._places.get((tenant, space_id))
        return place is not None and place.before(seq)

    def serving(self) -> dict[Key, LiveShards]:
        """What is searched, of every tenant and space that is loaded."""
        held = list(self._places.items())
        return {key: place.shards for key, place in held if place.shards is not None}

    def status(self) -> str:
        """What is loaded, in a few words."""
        loaded = self.serving()
        megabytes = sum(shards.memory_bytes for shards in loaded.values()) / 1e6
        gpus = f"; {self._devices.status()}" if self._devices is not None else ""
        return f"{len(loaded)} indexes, {megabytes:.0f} MB{gpus}"

    def tenants(self) -> set[str]:
        """Tenants that asked for something which is still held."""
        return {tenant for tenant, _ in list(self._places)}

    def whole(self, tenant: str) -> list[reports.Held]:
        """The tenant's versions, serving and spare, of which no shard is lost."""
        return [
            reports.Held(space_id, shards.version, shards.seq)
            for (owner, space_id), place in list(self._places.items())
            if owner == tenant
            for shards in (place.shards, place.spare)
            if shards is not None and shards.version and not shards.lost
        ]

    def refresh(self, tenant: str) -> None:
        """Look once for the tenant's changes, new versions and versions that are wanted."""
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
            with logged(f"slot {self.number} could not look for changes of {tenant}"):
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
            _apply(tx, place.space.id, spare)
        with place.lock:
            place.spare = spare

    def _load_first(self, tenant: str, place: Place) -> LiveShards:
        with place.lock:
            if place.shards is None:
                with self._catalog.tenant(tenant) as tx:
                    version = indexes.serving(tx, place.space.id)
                place.shards = self._load(tenant, place, version[:2] if version else None)
            shards = place.shards
        self._evict(keep=(tenant, place.space.id))
        self._trim_disk(shards)
        return shards

    def _swap(self, tenant: str, place: Place, version: Serving) -> None:
        """Load the new version beside the old, bring it up to date, then change the pointer."""
        fresh = self._load(tenant, place, version[:2])
        with self._catalog.tenant(tenant) as tx:
            _apply(tx, place.space.id, fresh)
        with place.lock:
            old, place.shards = place.shards, fresh
        if old is not None and old.version != fresh.version:
            old.forget_files()
        log.info("slot %d serves %s version %s", self.number, place.space.id, fresh.version)
        self._evict(keep=(tenant, place.space.id))
        self._trim_disk(fresh)

    def _load(
        self, tenant: str, place: Place, version: tuple[IndexVersion, int] | None
    ) -> LiveShards:
        place.loaded = time.monotonic()
        with self._catalog.tenant(tenant) as tx:
            hidden = trash.ids(tx)
        shards = load_shards(
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
        return shards

    def _trim_disk(self, fresh: LiveShards) -> None:
        """Keep the cache to its budget after shards were loaded into it."""
        if not fresh.cached:
            return
        held = {
            cache_folder(self._cache_dir, tenant, space_id, shards.version)
            for (tenant, space_id), place in list(self._places.items())
            for shards in place.held()
        }
        trim_cache(self._cache_dir, self._disk, held)

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
                _apply(tx, place.space.id, shards)
                missed = delta.floor(tx) > start
                version = indexes.serving(tx, place.space.id)
                if version is not None and version[0].version == shards.version:
                    version = None
                if version is None or spare is None or spare.version != version[0].version:
                    spare = None
                else:
                    _apply(tx, place.space.id, spare)
            shards.seq = max(shards.seq, seq or 0)
            if version is not None and spare is not None:
                spare.seq = max(spare.seq, shards.seq)
                place.switch(spare, version[2])
                log.info("slot %d serves %s %s", self.number, place.space.id, spare.version)
        if missed and version is not None and spare is None:
            self._swap(tenant, place, version)

    def trim(self) -> None:
        """Keep to the budget: spares were loaded beside what serves, and changes came."""
        self._evict()

    def _evict(self, keep: Key | None = None) -> None:
        """Drop what was used least lately; never what was used last: it would only come back."""
        with self._guard:
            sizes = {
                key: sum(shards.memory_bytes + LEAST_BYTES for shards in place.held())
                for key, place in self._places.items()
                if place.shards is not None
            }
            total = sum(sizes.values())
            for key in sorted(sizes, key=lambda key: self._places[key].used)[:-1]:
                if total <= self._budget:
                    return
                if key != keep:
                    total -= sizes[key]
                    del self._places[key]
                    log.info("slot %d let go of %s in %s", self.number, *key)


@contextmanager
def logged(what: str) -> Iterator[None]:
    """Log what goes wrong in the block, and go on: the next look comes in half a second."""
    try:
        yield
    except Exception as error:
        log.warning("%s: %s", what, error)


def _apply(tx: Transaction, space_id: str, shards: LiveShards) -> None:
    """Apply every change of the log that the shards do not know yet."""
    for events in delta.runs(tx, space_id, shards.seq):
        shards.apply(events)
