"""From an old version and what changed since to a new one, with the quantizers it was trained with.

Vectors come from the old shards themselves, so nothing is embedded, trained or calibrated again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.index.base import FloatMatrix, PhotoKeys
from photoorg.index.build import spool_path, write_shard
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.index.manifest import IndexManifest, ShardInfo, file_name
from photoorg.index.photo_ids import as_keys, comparable, slot_of
from photoorg.index.planning import IndexPlan
from photoorg.index.shard import Shard
from photoorg.index.spool import Spool
from photoorg.index.training import Trained
from photoorg.space import EmbeddingSpace

BLOCK_ROWS = 16_384


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened since the old version: photos that came, [n, 32] and [n, width], and that went.

    A photo that came replaces its older vector; one that went is not among those that came.
    """

    keys: PhotoKeys
    x_nd: NDArray[Any]
    gone: PhotoKeys

    @classmethod
    def of(cls, width: int, changed: dict[str, NDArray[np.float16] | None]) -> Changes:
        """From each changed photo's last vectors [width], None where it was deleted."""
        came = [(i, x_d) for i, x_d in changed.items() if x_d is not None]
        gone = [i for i, x_d in changed.items() if x_d is None]
        vectors = np.stack([x_d for _, x_d in came]) if came else np.zeros((0, width), np.float16)
        return cls(_keys([i for i, _ in came]), vectors, _keys(gone))

    def __len__(self) -> int:
        return len(self.keys) + len(self.gone)

    def within(self, slot: int, shards: int) -> Changes:
        """Those of one slot."""
        mine = slot_of(self.keys, shards) == slot
        return Changes(
            self.keys[mine], self.x_nd[mine], self.gone[slot_of(self.gone, shards) == slot]
        )


def retrained(
    manifest: IndexManifest, shard: Shard, directory: Path, *, slot: int, shards: int
) -> Trained:
    """The quantizers of a version, from its open shard `slot`, for a version of `shards` shards."""
    plan = IndexPlan(
        kind=manifest.kind,
        factory=manifest.factory,
        dim=manifest.space.dim,
        vectors=manifest.vectors,
        shards=shards,
        nlist=manifest.nlist,
        pq=0,
        rescore="sq8" if manifest.rescore == "sq8" else "fp16",
        rescore_factor=manifest.rescore_factor,
        train_rows=0,
        probe_rows=0,
        recall_target=manifest.recall_at_10,
        use_gpu=False,
        threads=1,
        views=len(manifest.space.views),
    )
    index = b""
    if manifest.kind == "ivfpq":
        empty = IvfPqIndex.load(directory / file_name(slot, "base"), verify=False)
        empty.faiss.reset()
        index = empty.to_bytes()
    nothing = np.zeros((0, manifest.space.dim), np.float32)
    return Trained(plan, index, shard.rescorer.codec(), _keys([]), nothing, 0.0)


def fold_shard(
    trained: Trained,
    old: Sequence[Shard],
    changes: Changes,
    directory: Path,
    slot: int,
    space: EmbeddingSpace,
) -> ShardInfo:
    """Write shard `slot` of the new version: what the old shards hold of it, brought up to date."""
    shards = trained.plan.shards
    mine = changes.within(slot, shards)
    stale = np.sort(comparable(np.concatenate([mine.keys, mine.gone])))
    directory.mkdir(parents=True, exist_ok=True)
    with Spool(spool_path(directory, slot), space.dim, views=len(space.views)) as spool:
        for shard in old:
            for keys, x_nd in _kept(shard, slot, shards, stale):
                spool.add(keys, x_nd)
        spool.add(mine.keys, mine.x_nd)
        return write_shard(trained, spool.sorted(), directory, slot, space)


def folded(
    manifest: IndexManifest, shards: Sequence[ShardInfo], *, version: str, delta_seq: int
) -> IndexManifest:
    """The manifest of the new version: the old one's effort and recall, the new shards."""
    fresh = IndexManifest(
        space=manifest.space,
        version=version,
        kind=manifest.kind,
        factory=manifest.factory,
        nlist=manifest.nlist,
        rescore=manifest.rescore,
        rescore_factor=manifest.rescore_factor,
        effort=manifest.effort,
        recall_at_10=manifest.recall_at_10,
        vectors=sum(shard.rows for shard in shards),
        delta_seq=delta_seq,
        shards=tuple(sorted(shards, key=lambda s: s.slot)),
    )
    trained_on = manifest.training.get("trained_vectors", manifest.vectors)
    return replace(fresh, training={"folded_from": manifest.version, "trained_vectors": trained_on})


def _kept(
    shard: Shard, slot: int, shards: int, stale: NDArray[np.bytes_]
) -> Iterator[tuple[PhotoKeys, FloatMatrix]]:
    for start in range(0, len(shard), BLOCK_ROWS):
        keys = np.asarray(shard.ids.keys[start : start + BLOCK_ROWS])
        wanted = slot_of(keys, shards) == slot
        if len(stale):
            names = comparable(keys)
            at = np.minimum(np.searchsorted(stale, names), len(stale) - 1)
            wanted &= stale[at] != names
        rows = start + np.flatnonzero(wanted)
        if len(rows):
            yield keys[wanted], shard.all_vectors(rows)


def _keys(photo_ids: Sequence[str]) -> PhotoKeys:
    return as_keys(photo_ids) if photo_ids else np.zeros((0, 32), np.uint8)
