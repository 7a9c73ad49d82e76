"""Compaction and resharding: the log's changes folded into new shards beside the old ones.

Queries and writes go on. Until the new version is whole and every slot holds it, the old one serves
and is not touched; whoever dies on the way leaves it as it was.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoorg.config import PhotoOrgConfig
from photoorg.errors import (
    ConflictError,
    IndexNotReadyError,
    InputError,
    PhotoOrgError,
    StorageError,
)
from photoorg.index.folding import Changes, fold_shard, folded, retrained
from photoorg.index.manifest import NAME, IndexManifest, ShardInfo, file_name
from photoorg.index.shard import Shard, open_shard
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.stages.cutoffs import refit
from photoorg.stages.publish import Publisher, new_version
from photoorg.stages.vectors import vector_table
from photoorg.stages.versions import Versions
from photoorg.store.catalog import Catalog, delta, indexes, originals, spaces
from photoorg.store.layout import index_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run

EVENTS = 50_000
log = logging.getLogger(__name__)
Folding = Callable[[EmbeddingSpace, IndexVersion, "Compaction"], list[ShardInfo]]
"""Writes all shards of a compaction, from an old version, elsewhere than in this process."""
Building = Callable[[EmbeddingSpace, int | None], IndexManifest]
"""Builds a space's index anew, of so many shards; the version waits to serve."""
CAME = "came"
GONE = "gone"
MAX_SHARDS = 4_096


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many photos came and went since the active version was built, and what follows from it.

    `retrain` says that the library outgrew the quantizers: a new build serves it better.
    """

    version: IndexVersion
    delta_seq: int
    came: int
    gone: int
    due: bool
    retrain: bool


def waiting(config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace) -> Waiting:
    """What waits in the log of a space's active version; IndexNotReadyError if there is none."""
    with catalog.tenant(config.tenant) as tx:
        found = indexes.active(tx, space.id)
        if found is None:
            raise IndexNotReadyError(
                f"Space {space.id} has no active index.", fix="Build one: `photoorg index build`."
            )
        came, gone = delta.waiting(tx, space.id, found[1])
        live = originals.live_count(tx)
    version, seq = found
    limits = config.index
    changes, views = came + gone, len(space.views)
    photos = version.vectors // views
    due = changes >= limits.compact_after or (
        changes >= 1 and changes >= limits.compact_share * max(1, photos)
    )
    before, after = photos * views, max(live, photos + came - gone) * views
    crossed = (before < limits.flat_below) != (after < limits.flat_below)
    retrain = crossed or (
        after >= limits.flat_below and after > limits.retrain_growth * max(1, before)
    )
    return Waiting(version, seq, came, gone, due, retrain)


def up_to_date(config: PhotoOrgConfig, store: ObjectStore, catalog: Catalog) -> IndexVersion | None:
    """The active version of the default space if it holds every live photo and no other."""
    with catalog.tenant(config.tenant) as tx:
        space = spaces.get_default(tx, "image")
        found = indexes.active(tx, space.id) if space is not None else None
        if space is None or found is None:
            return None
        version, seq = found
        unchanged = delta.waiting(tx, space.id, seq) == (0, 0)
        live = originals.live_count(tx)
    whole = unchanged and live * len(space.views) == version.vectors
    return version if whole and store.exists(f"{version.location.rstrip('/')}/{NAME}") else None


@dataclass(frozen=True, slots=True)
class Compacted:
    """What a compaction came to; `version` is the one that serves now.

    Without anything due, `compacted` is False and `version` the one that served before, too.
    `retrained` says that a new one was built, `refitted` that the cutoffs of searches were fitted
    anew.
    """

    compacted: bool
    version: str
    from_version: str
    space: str
    came: int
    gone: int
    vectors: int
    shards: int
    retrained: bool = False
    refitted: bool = False


def compact(
    config: PhotoOrgConfig,
    store: ObjectStore,
    catalog: Catalog,
    *,
    actor: str,
    shards: int | None = None,
    if_due: bool = False,
    fold: Folding | None = None,
    build: Building | None = None,
) -> Compacted:
    """Fold the default space's changes into a new version that then serves; `shards`: so many.

    `if_due` does nothing below the configured threshold. `fold` writes the shards of a large index
    (None: this process does). A library that outgrew its quantizers is given to `build`; without it
    that is a ConflictError. Cutoffs of searches stay in force, and are fitted anew where the
    library changed by `index.compact_share` since.
    """
    with catalog.tenant(config.tenant) as tx:
        space = spaces.get_default(tx, "image")
    if space is None:
        raise IndexNotReadyError("No space is known yet.", fix="Add photos first.")
    versions = Versions(catalog, config.tenant, config.migration)
    basis = versions.state().last
    found = waiting(config, catalog, space)
    old = found.version
    done = Compacted(
        compacted=False,
        version=old.version,
        from_version=old.version,
        space=space.id,
        came=found.came,
        gone=found.gone,
        vectors=old.vectors,
        shards=old.shards,
    )
    if found.due or not if_due:
        if not found.retrain:
            manifest = _folded(config, store, catalog, space, found, shards, fold)
        elif build is not None:
            manifest = build(space, shards)
        else:
            raise ConflictError(
                f"The library outgrew version {old.version}: it should be trained anew.",
                fix="Run `photoorg index build`.",
            )
        versions.activate(manifest.version, space_id=space.id, actor=actor, basis=basis)
        done = replace(
            done,
            compacted=True,
            version=manifest.version,
            vectors=manifest.vectors,
            shards=len(manifest.shards),
            retrained=found.retrain,
        )
    # Also where nothing is due: a large library changes much before it is folded.
    return replace(done, refitted=_refitted(config, catalog, space, actor))


def _folded(
    config: PhotoOrgConfig,
    store: ObjectStore,
    catalog: Catalog,
    space: EmbeddingSpace,
    found: Waiting,
    shards: int | None,
    fold: Folding | None,
) -> IndexManifest:
    work = Compaction(config, store, space, found.version, shards=shards)
    work.publisher.begin(catalog, since=found.delta_seq)
    try:
        seq = work.freeze(catalog)
        small = found.version.vectors + found.came * len(space.views) < config.index.flat_below
        written = work.fold() if small or fold is None else fold(space, found.version, work)
        return work.finish(catalog, written, seq)
    except PhotoOrgError:
        work.publisher.abandon(catalog)
        raise


def _refitted(config: PhotoOrgConfig, catalog: Catalog, space: EmbeddingSpace, actor: str) -> bool:
    """Whether cutoffs were fitted anew; where there was no room, the next run tries again."""
    try:
        return refit(config, catalog, space, actor)
    except StorageError as error:
        log.warning("The cutoffs of searches were not fitted anew: %s", error)
        return False


class Compaction:
    """One new version made of an old one; every worker makes its own from the same arguments."""

    def __init__(
        self,
        config: PhotoOrgConfig,
        store: ObjectStore,
        space: EmbeddingSpace,
        old: IndexVersion,
        *,
        shards: int | None = None,
        version: str | None = None,
    ) -> None:
        if shards is not None and not 1 <= shards <= MAX_SHARDS:
            raise InputError(f"An index has 1 to {MAX_SHARDS} shards, not {shards}.")
        self._store = store
        self._tenant = config.tenant
        self._space = space
        self._old = old
        self.version = version or new_version()
        self.publisher = Publisher(store, config.tenant, space, self.version)
        where = f"{old.location.rstrip('/')}/{NAME}"
        self.manifest = IndexManifest.from_json(store.read(where), where)
        space.require(self.manifest.space.id, f"Index version {old.version!r}")
        self.shards = shards or len(self.manifest.shards)
        directory = index_dir(config.tenant, space.id, self.version)
        self._scratch = Run(store, f"{directory}/scratch")

    def freeze(self, catalog: Catalog) -> int:
        """Write the changes up to now beside the new version; the log position they reach."""
        seq, number = self.manifest.delta_seq, 0
        with catalog.tenant(self._tenant) as tx:
            head = delta.head(tx)
            while seq < head and (events := delta.since(tx, self._space.id, seq, EVENTS)):
                seq = events[-1].seq
                last = {e.photo_id: e for e in events if e.op in ("add", "delete")}
                came = [e for e in last.values() if e.vector is not None]
                x_nd = np.array([e.vector for e in came], np.float32).reshape(-1, self._space.width)
                table = vector_table(self._space, [e.photo_id for e in came], x_nd)
                self._scratch.write_part(number, table, name=CAME)
                gone = [e.photo_id for e in last.values() if e.vector is None]
                dead = pa.table({"photo_id": pa.array(gone, pa.string())})
                self._scratch.write_part(number, dead, name=GONE)
                number += 1
        return max(head, seq)

    def fold(self, slots: list[int] | None = None) -> list[ShardInfo]:
        """Write and upload some shards (None: all); untouched ones are copied as they are."""
        try:
            with tempfile.TemporaryDirectory(prefix="photoorg-compact-") as folder:
                return self._fold(Path(folder), slots)
        except (OSError, RuntimeError) as error:  # FAISS says in words what write() refused
            if isinstance(error, PhotoOrgError):
                raise
            raise StorageError(
                f"The new shards could not be written: {error}.",
                fix="Free some space in the temporary folder (TMPDIR). The old version still "
                "serves, unchanged.",
                retryable=True,
            ) from error

    def _fold(self, folder: Path, slots: list[int] | None) -> list[ShardInfo]:
        changes = self._changes()
        slots = list(range(self.shards)) if slots is None else slots
        same = self.shards == len(self.manifest.shards)
        done: list[ShardInfo] = []
        opened: dict[int, Shard] = {}
        source = self._source(folder / "old")
        for slot in slots:
            target = folder / f"new-{slot}"
            target.mkdir()
            needed = [slot] if same else [s.slot for s in self.manifest.shards]
            self._fetch(source, needed)
            if same and not len(changes.within(slot, self.shards)):
                done.append(self._copy(source, slot))
                continue
            for number in needed:
                if number not in opened:
                    opened[number] = open_shard(source, self.manifest, number)
            old = [opened[number] for number in needed]
            trained = retrained(
                self.manifest, opened[needed[0]], source, slot=needed[0], shards=self.shards
            )
            done.append(fold_shard(trained, old, changes, target, slot, self._space))
            self.publisher.upload(target)
            for path in target.iterdir():
                path.unlink()
        return done

    def finish(self, catalog: Catalog, shards: list[ShardInfo], delta_seq: int) -> IndexManifest:
        """The manifest, then the shadow; afterwards nothing can be lost any more."""
        manifest = folded(self.manifest, shards, version=self.version, delta_seq=delta_seq)
        self.publisher.commit(manifest)
        self.publisher.complete(catalog, manifest)
        self._scratch.delete()
        return manifest

    def _changes(self) -> Changes:
        changed: dict[str, NDArray[np.float16] | None] = {}
        for part in self._scratch.parts(GONE):
            table = self._scratch.read_part(part, CAME)
            flat = table["vector"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
            x_nd = flat.reshape(len(table), self._space.width)
            gone = self._scratch.read_part(part, GONE)["photo_id"].to_pylist()
            changed.update(dict.fromkeys(gone))
            changed.update(zip(table["photo_id"].to_pylist(), x_nd, strict=True))
        return Changes.of(self._space.width, changed)

    def _source(self, scratch: Path) -> Path:
        """Where the old shards lie on this machine, or will."""
        local = self._store.local_path(f"{self._old.location.rstrip('/')}/{NAME}")
        return scratch if local is None else local.parent

    def _fetch(self, source: Path, slots: list[int]) -> None:
        for info in self.manifest.shards:
            for part in info.files if info.slot in slots else ():
                path = source / file_name(info.slot, part)
                if not path.exists():
                    self._store.download(f"{self._old.location.rstrip('/')}/{path.name}", path)

    def _copy(self, source: Path, slot: int) -> ShardInfo:
        info = next(s for s in self.manifest.shards if s.slot == slot)
        # Looked at first: a damaged shard must not live on in the new version.
        open_shard(source, self.manifest, slot)
        for part in info.files:
            name = file_name(slot, part)
            self._store.upload(f"{self.publisher.directory}/{name}", source / name)
        return info
