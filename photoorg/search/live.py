"""LiveShards: the shards of one index that a slot holds, with the changes since it was built."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from photoorg.config import IndexConfig
from photoorg.errors import IndexCorruptError, NotFoundError
from photoorg.index.delta import Delta, Event
from photoorg.index.devices import Devices
from photoorg.index.manifest import NAME, IndexManifest, file_name
from photoorg.index.photo_ids import as_keys, slot_of
from photoorg.index.shard import Shard, open_shard
from photoorg.index.slot import Nearest, ShardSlot
from photoorg.index.subset import AllowedPhotos
from photoorg.models import IndexVersion
from photoorg.search.fanout import merge, share
from photoorg.search.ports import SlotAnswer, Vector
from photoorg.space import EmbeddingSpace
from photoorg.store.objects import ObjectStore

log = logging.getLogger(__name__)
CAME = -1
"""Where what came since is held, beside the shards by number."""


@dataclass(frozen=True, slots=True)
class Replaced:
    """What a photo that came is to the shard of its older vector: that one counts no longer."""

    seq: int
    photo_id: str
    op: Literal["delete"] = "delete"
    vector: None = None


class LiveShards:
    """Some shards of one index version (`version` "" where there is none yet).

    `seq` is the last change that is counted in, `lost` how many of the slot's shards could not be
    opened. Changes may be applied while searches run.
    """

    def __init__(
        self,
        shards: Sequence[ShardSlot],
        total: int,
        space: EmbeddingSpace,
        *,
        version: str = "",
        seq: int = 0,
        cached: Sequence[Path] = (),
        lost: int = 0,
        hidden: Sequence[str] = (),
    ) -> None:
        self._shards = {shard.slot: shard for shard in shards}
        self._size = len(self._shards)
        if len(shards) > 1:
            # What came since is one small index, not one a shard: each costs every query a search.
            came = Delta(space.dim, seq=seq, hidden=hidden, views=len(space.views))
            self._shards[CAME] = ShardSlot(None, came, slot=0, shards=1)
        self._total = total
        self._space = space
        self._cached = tuple(cached)
        self.version = version
        self.seq = seq
        self.lost = lost

    @property
    def memory_bytes(self) -> int:
        """Resident bytes; mapped files are not counted."""
        return sum(shard.memory_bytes() for shard in self._shards.values())

    @property
    def cached(self) -> tuple[Path, ...]:
        """Its files in the cache, none where they are used where they lie."""
        return self._cached

    def apply(self, events: Sequence[Event]) -> None:
        """Count in a run of the log."""
        if not events:
            return
        came = self._shards.get(CAME)
        if came is not None:
            # These first: for a moment a photo may be here twice, which a merge puts right.
            slots_n = slot_of(as_keys([e.photo_id for e in events]), self._total)
            came.apply([e for e, s in zip(events, slots_n, strict=True) if int(s) in self._shards])
            events = [Replaced(e.seq, e.photo_id) if e.op == "add" else e for e in events]
        for number, shard in self._shards.items():
            if number != CAME:
                shard.apply(events)
        self.seq = max(self.seq, events[-1].seq)

    def search(
        self,
        x_nd: NDArray[np.float32],
        k: int,
        pool: int,
        *,
        allowed: AllowedPhotos | None = None,
        ceiling: float | None = None,
        above: int = 0,
    ) -> list[SlotAnswer]:
        """Per query the k best photos and up to `pool` good ones, best first, with vectors.

        Equal scores are in order of photo id. With `allowed`, only photos among those; with a
        `ceiling`, only cosines up to it, about `above` being higher.
        """
        parts = max(1, self._size)
        part = share(pool, k, parts)
        by_query: list[list[SlotAnswer]] = [[] for _ in x_nd]
        whole = [True] * len(x_nd)
        for shard in self._shards.values():
            if ceiling is None:
                found = [(n, len(n.ids) < part) for n in shard.nearest(x_nd, part, allowed=allowed)]
            else:
                deep = part + above // parts
                found = [_below(shard, x[None], part, deep, ceiling, allowed) for x in x_nd]
            for number, (near, last) in enumerate(found):
                whole[number] &= last
                answer = SlotAnswer(tuple(near.ids), near.scores, near.vectors, views=near.views)
                by_query[number].append(answer)
        size, lost = self._size, self.lost
        return [
            SlotAnswer(
                (best := merge(answers, pool)).ids,
                best.scores,
                best.vectors,
                size,
                lost,
                last and sum(len(a.ids) for a in answers) <= pool,
                best.views,
            )
            for answers, last in zip(by_query, whole, strict=True)
        ]

    def vector(self, photo_id: str) -> Vector | None:
        """The photo's unit-norm vector, None if it is not here."""
        came = self._shards.get(CAME)
        vector = came.vector(photo_id) if came is not None else None
        if vector is not None:
            return vector
        shard = self._shards.get(int(slot_of(as_keys([photo_id]), self._total)[0]))
        return None if shard is None else shard.vector(photo_id)

    def forget_files(self) -> None:
        """Remove what was downloaded for it; searches that still run keep their open files."""
        for path in self._cached:
            path.unlink(missing_ok=True)
        for folder in {path.parent for path in self._cached}:
            with suppress(OSError):  # other slots may have files there
                folder.rmdir()


def _below(
    shard: ShardSlot,
    x_1d: NDArray[np.float32],
    count: int,
    deep: int,
    ceiling: float,
    allowed: AllowedPhotos | None,
) -> tuple[Nearest, bool]:
    """The `count` best photos of cosine <= ceiling, and whether those are all there are."""
    while True:
        (near,) = shard.nearest(x_1d, deep, allowed=allowed)
        first = int(np.searchsorted(-near.scores, -ceiling))
        if len(near.ids) < deep or len(near.ids) - first >= count:
            break
        deep *= 2
    last = len(near.ids) < deep and len(near.ids) - first <= count
    end = first + count
    span = slice(first, end)
    return Nearest(near.ids[span], near.scores[span], near.vectors[span], near.views[span]), last


def load_shards(
    space: EmbeddingSpace,
    version: tuple[IndexVersion, int] | None,
    store: ObjectStore,
    cache_dir: Path,
    *,
    slot: int,
    slots: int,
    config: IndexConfig,
    hidden: Sequence[str] = (),
    devices: Devices | None = None,
) -> LiveShards:
    """The shards s of a version with s % slots == slot; without a version, an empty one.

    Files in a folder are used where they lie, others are downloaded to `cache_dir`; checksums are
    verified either way, and a damaged download is fetched once more. A shard that stays damaged is
    left out; IndexCorruptError if all are. `hidden` are photos in the trash: what the log said of
    them before the version was built is not asked again. `devices` are GPUs to search on.
    SpaceMismatchError, StorageError.
    """
    if version is None:
        came = Delta(space.dim, hidden=hidden, views=len(space.views))
        empty = ShardSlot(None, came, slot=slot, shards=slots)
        return LiveShards([empty], slots, space)
    record, delta_seq = version
    where = f"{record.location.rstrip('/')}/{NAME}"
    manifest = IndexManifest.from_json(store.read(where), where)
    space.require(manifest.space.id, f"Index version {record.version!r}")
    total = len(manifest.shards)
    mine = [n for n in range(total) if n % slots == slot]
    local = store.local_path(where)
    folder = cache_folder(cache_dir, record.tenant, record.space_id, record.version)
    cached: list[Path] = []
    if local is not None:
        folder = local.parent
    else:
        cached = [path for n in mine for path in _files(folder, manifest, n)]
    shards: list[ShardSlot] = []
    broken: list[IndexCorruptError] = []
    for n in mine:
        # Shards of one process hold the centroids once.
        opened = partial(
            open_shard,
            folder,
            manifest,
            n,
            threads=config.threads or 1,
            like=shards[0].base if shards else None,
            devices=devices,
        )
        try:
            if local is not None:
                base = opened()
            else:
                base = _fetch(store, record.location, _files(folder, manifest, n), opened)
        except IndexCorruptError as error:
            log.error("shard %d of %s is left out: %s", n, record.version, error)
            broken.append(error)
            continue
        fresh = Delta(space.dim, seq=delta_seq, hidden=hidden, views=len(space.views))
        shards.append(ShardSlot(base, fresh, slot=n, shards=total))
    if broken and not shards:
        raise broken[0]
    if local is None:
        with suppress(OSError):
            os.utime(folder)
    return LiveShards(
        shards,
        total,
        space,
        version=record.version,
        seq=delta_seq,
        cached=cached,
        lost=len(broken),
        hidden=hidden,
    )


def cache_folder(cache_dir: Path, tenant: str, space_id: str, version: str) -> Path:
    """Where the files of a version that does not lie on this machine are kept."""
    return cache_dir / tenant / space_id / version


def _fetch(
    store: ObjectStore, location: str, paths: Sequence[Path], opened: Callable[[], Shard]
) -> Shard:
    """Open a shard from the cache, after downloading what is missing or damaged there."""
    for attempt in (1, 2):
        for path in paths:
            if not path.exists():
                store.download(f"{location.rstrip('/')}/{path.name}", path)
        try:
            return opened()
        except (IndexCorruptError, NotFoundError) as error:  # another process made room on the disk
            for path in paths:
                path.unlink(missing_ok=True)
            if attempt == 2:
                raise
            log.warning("fetching %s again: %s", paths[0].name, error)
    raise AssertionError("the second attempt returns or raises")


def _files(folder: Path, manifest: IndexManifest, number: int) -> list[Path]:
    info = next(s for s in manifest.shards if s.slot == number)
    return [folder / file_name(number, part) for part in info.files]
