"""From vectors to a finished version: by one call here, or piece by piece from Ray tasks.

Ray: draw a Sample per part and merge -> plan -> train_version once -> build_shard per slot ->
finish. build_local does the same in this process.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.config import IndexConfig
from photoorg.index import faiss_io
from photoorg.index.base import FloatMatrix, Index, PhotoKeys
from photoorg.index.calibration import (
    Best,
    ExactProbe,
    K,
    Setting,
    ShardProbe,
    calibrate,
    nothing,
    settings,
)
from photoorg.index.manifest import FileInfo, IndexManifest, ShardInfo, file_name
from photoorg.index.photo_ids import PhotoIds, as_keys, comparable, slot_of
from photoorg.index.planning import plan as make_plan
from photoorg.index.rescore import Rescorer
from photoorg.index.sample import Sample
from photoorg.index.shard import Shard
from photoorg.index.spool import SortedRows, Spool
from photoorg.index.training import Trained, train_version
from photoorg.space import EmbeddingSpace

Batch = tuple[Sequence[str] | PhotoKeys, NDArray[Any]]
"""Photo ids (hex, or digests [n, 32]) and their vectors [n, space.width], float16 or float32."""


@dataclass(frozen=True, slots=True)
class BuiltShard:
    """A shard's files are written; `probe` is what it found for the calibration."""

    info: ShardInfo
    probe: ShardProbe
    skipped: int
    seconds: float


def build_local(
    batches: Iterable[Batch],
    directory: Path,
    space: EmbeddingSpace,
    config: IndexConfig,
    *,
    version: str,
    delta_seq: int = 0,
) -> IndexManifest:
    """Build a whole version in a folder in one pass over the batches; manifest written last.

    Of a photo that comes twice, the later vectors count. Memory: the training sample, the largest
    shard's codes, 32 bytes a photo; vectors wait in temporary files of 2 bytes a value.
    """
    directory.mkdir(parents=True, exist_ok=True)
    views = len(space.views)
    size = -(-config.train_sample // views) + config.recall_sample
    sample = Sample(size, space.dim, views=views)
    with ExitStack() as stack:
        spools = [
            stack.enter_context(Spool(spool_path(directory, slot), space.dim, views=views))
            for slot in range(config.shards)
        ]
        for photo_ids, x_nd in batches:
            keys = as_keys(photo_ids)
            sample.add(keys, x_nd)
            slots_n = slot_of(keys, config.shards)
            for slot in np.unique(slots_n):
                spools[slot].add(keys[slots_n == slot], x_nd[slots_n == slot])
        sorted_spools = [spool.sorted() for spool in spools]
        plan = make_plan(sum(len(rows) for rows in sorted_spools), space.dim, config, views=views)
        trained = train_version(sample, plan)
        built = [
            _build(trained, rows, directory, slot, space, skipped=spools[slot].skipped)
            for slot, rows in enumerate(sorted_spools)
        ]
    return finish(built, trained, directory, space, version=version, delta_seq=delta_seq)


def build_shard(
    trained: Trained, batches: Iterable[Batch], directory: Path, slot: int, space: EmbeddingSpace
) -> BuiltShard:
    """Write the files of one slot; rows of other slots among the batches are passed over."""
    directory.mkdir(parents=True, exist_ok=True)
    views = len(space.views)
    with Spool(spool_path(directory, slot), space.dim, views=views) as spool:
        for photo_ids, x_nd in batches:
            keys = as_keys(photo_ids)
            mine = slot_of(keys, trained.plan.shards) == slot
            spool.add(keys[mine], x_nd[mine])
        return _build(trained, spool.sorted(), directory, slot, space, skipped=spool.skipped)


def finish(
    built: Sequence[BuiltShard],
    trained: Trained,
    directory: Path | None,
    space: EmbeddingSpace,
    *,
    version: str,
    delta_seq: int,
) -> IndexManifest:
    """Calibrate over all shards and make the manifest; written where `directory` is given.

    From Ray: `directory` None, upload the shard files first and the manifest last.
    """
    plan = trained.plan
    best = calibrate([b.probe for b in built], trained.probe_keys, plan)
    manifest = IndexManifest(
        space=space,
        version=version,
        kind=plan.kind,
        factory=plan.factory,
        nlist=plan.nlist,
        rescore="fp16" if plan.kind == "flat" else plan.rescore,
        rescore_factor=best.rescore_factor,
        effort=best.effort,
        recall_at_10=best.recall_at_10,
        vectors=sum(b.info.rows for b in built),
        delta_seq=delta_seq,
        shards=tuple(sorted((b.info for b in built), key=lambda s: s.slot)),
        training={
            "train_rows": plan.train_rows,
            "probe_rows": len(trained.probe_keys),
            "train_seconds": round(trained.seconds, 2),
            "shard_seconds": [round(b.seconds, 2) for b in built],
            "skipped": sum(b.skipped for b in built),
            "recall_curve": [[f, e, round(r, 4)] for (f, e), r in best.curve.items()],
        },
    )
    if directory is not None:
        manifest.write(directory)
    return manifest


def write_shard(
    trained: Trained,
    rows: SortedRows,
    directory: Path,
    slot: int,
    space: EmbeddingSpace,
    *,
    exact: ExactProbe | None = None,
) -> ShardInfo:
    """Write the three files of one shard; `exact` is shown every vector on the way."""
    faiss_io.use_threads(trained.plan.threads)
    index = trained.empty()
    path = {part: directory / file_name(slot, part) for part in ("base", "rescore", "ids")}
    seals = {"ids": PhotoIds.write(path["ids"], rows.keys, space=space.id)}
    blocks = _into(index, exact, rows.blocks())
    seals["rescore"] = Rescorer.write(
        path["rescore"], trained.codec, blocks, len(rows) * rows.views, space=space.id
    )
    seals["base"] = index.save(path["base"], space=space.id)
    files = {
        part: FileInfo(path[part].stat().st_size, found.sha256) for part, found in seals.items()
    }
    return ShardInfo(slot, len(rows) * rows.views, index.memory_bytes(), files)


def _build(
    trained: Trained,
    rows: SortedRows,
    directory: Path,
    slot: int,
    space: EmbeddingSpace,
    *,
    skipped: int,
) -> BuiltShard:
    started = time.perf_counter()
    exact = ExactProbe(trained.probes_md, rows.keys, views=rows.views)
    info = write_shard(trained, rows, directory, slot, space, exact=exact)
    shard = Shard.open(
        directory, info, space, kind=trained.plan.kind, threads=trained.plan.threads, verify=False
    )
    found = {s: _probe(shard, trained.probes_md, s) for s in settings(trained.plan)}
    probe = ShardProbe(exact.best(), found)
    return BuiltShard(info, probe, skipped, time.perf_counter() - started)


def _into(
    index: Index, exact: ExactProbe | None, blocks: Iterator[FloatMatrix]
) -> Iterator[FloatMatrix]:
    """Pass blocks on while the index and the exact search take theirs: one read of the spool."""
    row = 0
    for x_nd in blocks:
        index.add(np.arange(row, row + len(x_nd)), x_nd)
        if exact is not None:
            exact.offer(x_nd)
        row += len(x_nd)
        yield x_nd


def _probe(shard: Shard, probes_md: FloatMatrix, setting: Setting) -> Best:
    if len(shard) == 0:
        return nothing(len(probes_md))
    factor, effort = setting
    scores, rows = shard.search(probes_md, K + 1, effort=effort, rescore_factor=factor)
    # A place without a photo (-1) has no score, which is all that tells.
    return Best(scores, comparable(shard.ids.keys)[rows])


def spool_path(directory: Path, slot: int) -> Path:
    """A temporary file for a slot's rows, which nobody else uses."""
    return directory / f".spool-{slot}-{uuid.uuid4().hex}"
