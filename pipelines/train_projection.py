"""Training job: a projection head over a frozen encoder, learnt from the library's own photos.

Run it as `ray job submit --working-dir . -- python -m pipelines.train_projection --name mine`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from photoorg.config import PhotoOrgConfig
from photoorg.encoders.settling import settled
from photoorg.encoders.spaces import open_encoder
from photoorg.errors import InputError
from photoorg.learn.augment import Augmentation
from photoorg.learn.contrastive import train_head
from photoorg.learn.export import export_space, new_file
from photoorg.learn.views import FEATURES, JOB, PHOTOS, EmbedViews, read_views
from photoorg.stages.plan import plan_ingest, with_threads
from photoorg.stages.publish import new_version
from photoorg.store.catalog import learning
from photoorg.store.layout import run_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.opening import open_catalog
from photoorg.store.runs import Run
from pipelines.entry import Entry
from pipelines.ray_data import Pool, connect, numbers, stream, through

Progress = Callable[[int, float, float], None]


class ViewWorker:
    """One actor: part numbers in, features of the part's photos into the run."""

    def __init__(self, config: PhotoOrgConfig, run_id: str) -> None:
        store = ObjectStore(config.storage)
        self._run = Run(store, run_dir(config.tenant, JOB, run_id))
        encoder = open_encoder(config.encoder, config.models_dir)
        self._embed = EmbedViews(config, store, encoder, Augmentation())

    def __call__(self, table: pa.Table) -> pa.Table:
        """One `part` number in, how many photos it gave out."""
        (number,) = table["part"].to_pylist()
        features = self._embed(self._run.read_part(number, name=PHOTOS))
        self._run.write_part(number, features, name=FEATURES)
        return pa.table({"part": [number], "photos": [len(features)]})


def run(config: PhotoOrgConfig, *, name: str, progress: Progress | None = None) -> dict[str, Any]:
    """Train over the configured encoder and write the space NAME into models_dir.

    Returns the space file, the new space's id, and nDCG@10 and mAP@10 of held-out photos before and
    after. InputError if the library is too small or the name is taken.
    """
    started = time.monotonic()
    target = new_file(name, Path(config.models_dir).expanduser())
    store = ObjectStore(config.storage)
    with open_catalog(config) as catalog:
        config = settled(config, catalog)
        with catalog.tenant(config.tenant) as tx:
            chosen = learning.sample(tx, config.train.photos, seed=config.train.seed)
            pairs = learning.alike(tx)
        if not chosen:
            raise InputError("The library holds no photos to learn from.", fix="Ingest some first.")
        run_id = new_version()
        training = Run(store, run_dir(config.tenant, JOB, run_id))
        try:
            _embed(config, training, run_id, chosen)
            views = read_views(training)
        finally:
            training.delete()
    row = {photo_id: i for i, photo_id in enumerate(views.photo_ids)}
    both = [(row[a], row[b]) for a, b in pairs if a in row and b in row]
    base = open_encoder(config.encoder, config.models_dir).space
    trained = train_head(
        views.a,
        views.b,
        base.id,
        config.train,
        pairs_a=views.plain[[a for a, _ in both]] if both else None,
        pairs_b=views.plain[[b for _, b in both]] if both else None,
        progress=progress,
    )
    file = export_space(trained.head, name, config.encoder.space, target.parent)
    encoder = config.encoder.model_copy(update={"space": str(file)})
    return {
        "space": open_encoder(encoder, config.models_dir).space.id,
        "base": base.id,
        "file": str(file),
        "photos": len(views.photo_ids),
        "pairs": len(both),
        "epochs": trained.epochs,
        "held_out": trained.before.n,
        "ndcg_at_10_before": round(trained.before.ndcg_at_k, 4),
        "ndcg_at_10_after": round(trained.after.ndcg_at_k, 4),
        "map_at_10_before": round(trained.before.map_at_k, 4),
        "map_at_10_after": round(trained.after.map_at_k, 4),
        "seconds": round(time.monotonic() - started, 2),
    }


def _embed(
    config: PhotoOrgConfig, training: Run, run_id: str, chosen: Sequence[tuple[str, str]]
) -> None:
    """Write the photos of each part, then have the actors embed them."""
    cluster = connect()
    plan = plan_ingest(config.ingest, cpus=cluster.cpus, gpus=cluster.gpus, models=True)
    size = max(1, min(config.ingest.part_rows, -(-len(chosen) // plan.workers)))
    parts = [chosen[start : start + size] for start in range(0, len(chosen), size)]
    for number, part in enumerate(parts):
        ids, uris = zip(*part, strict=True)
        training.write_part(number, pa.table({"photo_id": ids, "uri": uris}), name=PHOTOS)
    arguments = {"config": with_threads(config, plan), "run_id": run_id}
    pool = Pool(min(plan.workers, len(parts)), plan.worker_cpus, plan.worker_gpus)
    for _ in stream(through(numbers(range(len(parts))), ViewWorker, arguments, pool)):
        pass


main = Entry("train", "projection")

if __name__ == "__main__":
    sys.exit(main())
