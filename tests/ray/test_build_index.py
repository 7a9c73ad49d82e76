"""The index build job, in this process and on a real local Ray cluster."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from photoorg import schema
from photoorg.config import PhotoOrgConfig, parse
from photoorg.errors import IndexNotReadyError, NotFoundError
from photoorg.index.manifest import NAME, IndexManifest
from photoorg.index.planning import plan
from photoorg.index.training import train_version
from photoorg.space import EmbeddingSpace
from photoorg.stages.vectors import VectorSnapshot, vector_table
from photoorg.store.catalog import Catalog, delta, indexes, photos, spaces
from photoorg.store.layout import vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run
from tests.catalog.rows import photo, photo_id

pytestmark = [pytest.mark.ray, pytest.mark.postgres]
SPACE = EmbeddingSpace("toy", "toy", "none", "1", "none", 16)


def ids(count: int) -> list[str]:
    return [photo_id(number) for number in range(count)]


def vectors(count: int, seed: int = 0) -> np.ndarray:
    x_nd = np.random.default_rng(seed).normal(size=(count, SPACE.dim)).astype(np.float32)
    return x_nd / np.linalg.norm(x_nd, axis=1, keepdims=True)


def configured(tmp_path: Path, url: str, **index: object) -> PhotoOrgConfig:
    return parse(
        {
            "storage": {"root": str(tmp_path / "store")},
            "database": {"url": url},
            "index": {"shards": 3, "recall_sample": 50, **index},
        }
    )


def filled(config: PhotoOrgConfig, catalog: Catalog, count: int) -> tuple[list[str], np.ndarray]:
    """A tenant with `count` photos whose vectors lie in two runs."""
    store = ObjectStore(config.storage)
    names, x_nd = ids(count), vectors(count)
    half = count // 2
    with catalog.tenant(config.tenant) as tx:
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, "image")
        for number, rows in enumerate((slice(0, half), slice(half, count))):
            run = Run(store, vectors_dir(config.tenant, SPACE.id, f"run-{number}"))
            run.write_part(0, vector_table(SPACE, names[rows], x_nd[rows]))
            of_run = [photo(f"file:///{n}", n) for n in range(count)[rows]]
            photos.copy_part(
                tx,
                f"run-{number}",
                0,
                pa.Table.from_pylist(of_run, schema=schema.PHOTOS),
                schema.REJECTS.empty_table(),
            )
    return names, x_nd


@pytest.mark.parametrize(("flat_below", "kind"), [(20_000, "flat"), (100, "ivfpq")])
def test_every_live_photo_is_in_the_version_that_serves(
    tmp_path, catalog, catalog_url, flat_below, kind
):
    from pipelines import build_index

    config = configured(tmp_path, catalog_url, flat_below=flat_below)
    names, _ = filled(config, catalog, 600)
    with catalog.tenant(config.tenant) as tx:
        photos.delete(tx, names[5])
    built = build_index.run(config)
    assert (built["kind"], built["vectors"], built["shards"]) == (kind, 599, 3)
    assert built["recall_at_10"] >= 0.9
    with catalog.tenant(config.tenant) as tx:
        active = indexes.active(tx, SPACE.id)
        assert active is not None and active[0].version == built["version"]
        assert delta.since(tx, SPACE.id, active[1]) == []
    store = ObjectStore(config.storage)
    files = [path.rsplit("/", 1)[1] for path in store.list(active[0].location)]
    assert len(files) == 3 * 3 + 1 and NAME in files, "the scratch folder is gone"
    manifest = IndexManifest.from_json(store.read(f"{active[0].location}/{NAME}"))
    assert sum(shard.rows for shard in manifest.shards) == 599


def test_a_new_version_takes_over_from_the_old_one(tmp_path, catalog, catalog_url):
    from pipelines import build_index

    config = configured(tmp_path, catalog_url)
    filled(config, catalog, 40)
    first, second = build_index.run(config), build_index.run(config)
    with catalog.tenant(config.tenant) as tx:
        status = {v.version: v.status for v in indexes.list_versions(tx, SPACE.id)}
    assert status == {first["version"]: "deprecated", second["version"]: "active"}


def test_the_snapshot_holds_logged_vectors_and_no_deleted_photo(tmp_path, catalog, catalog_url):
    config = configured(tmp_path, catalog_url)
    names, _ = filled(config, catalog, 20)
    changed, late = vectors(2, seed=9), vectors(1, seed=10)
    store = ObjectStore(config.storage)
    with catalog.tenant(config.tenant) as tx:
        delta.add(tx, SPACE.id, [names[0], names[1]], changed)
        photos.delete(tx, names[1])
        snapshot = VectorSnapshot(store, config.tenant, SPACE, "default/scratch")
        seq, live = snapshot.take(tx)
        delta.add(tx, SPACE.id, [names[2]], late)
    assert live == 19 and seq > 0
    found: dict[str, np.ndarray] = {}
    for keys, x_nd in snapshot.batches(snapshot.sources()):
        found |= {k.tobytes().hex(): x for k, x in zip(keys, x_nd, strict=True)}
    assert set(found) == set(names) - {names[1]}
    np.testing.assert_allclose(found[names[0]].astype(np.float32), changed[0], atol=1e-3)
    snapshot.discard()
    assert list(store.list("default/scratch")) == []


class CountingStore(ObjectStore):
    """Counts how often each vector file is read."""

    def __init__(self, config: PhotoOrgConfig) -> None:
        super().__init__(config.storage)
        self.reads: Counter[str] = Counter()

    def read(self, path: str) -> bytes:
        self.reads.update([path] if "/vectors/" in path else [])
        return super().read(path)


def test_vector_files_are_read_once_however_many_shards_there_are(tmp_path, catalog, catalog_url):
    from pipelines.build_index import Build, SlotBuilder, Splitter

    config = configured(tmp_path, catalog_url, flat_below=100, shards=4)
    names, x_nd = filled(config, catalog, 600)
    store = CountingStore(config)
    with catalog.tenant(config.tenant) as tx:
        photos.delete(tx, names[5])
        changed = np.array(x_nd[:2][::-1])
        delta.add(tx, SPACE.id, names[:2], changed)
    build = Build(config, SPACE, "v1", store=store)
    with catalog.tenant(config.tenant) as tx:
        _, live = build.snapshot.take(tx)
    # What comes later is no part of the snapshot, also where a worker starts late.
    late = Run(store, vectors_dir(config.tenant, SPACE.id, "run-9"))
    late.write_part(0, vector_table(SPACE, names[:1], x_nd[7:8]))
    splitter = Splitter(config, SPACE, "v1", 600, 1.0, store=store)
    drawn = splitter(pa.table({"part": [0]}))
    files = [p for p in store.list(f"{config.tenant}/vectors") if "run-9" not in p]
    assert store.reads == dict.fromkeys(files, 1) and len(files) == 2
    sample = pickle.loads(drawn["sample"][0].as_py())
    assert len(sample) == live == 599
    store.delete_prefix(f"{config.tenant}/vectors")
    trained = train_version(sample, plan(live, SPACE.dim, config.index))
    builder = SlotBuilder(config, SPACE, "v1", trained, store=store)
    built = builder(pa.table({"part": [0, 1, 2, 3]}))["built"].to_pylist()
    assert sum(pickle.loads(b).info.rows for b in built) == 599
    found = {
        k.tobytes().hex(): x
        for s in range(4)
        for k, v in build.pieces.of_slot(s)
        for k, x in zip(k, v, strict=True)
    }
    np.testing.assert_allclose(found[names[0]].astype(np.float32), changed[0], atol=1e-3)


def test_nothing_to_index_is_said(tmp_path, catalog, catalog_url):
    from pipelines import build_index

    config = configured(tmp_path, catalog_url)
    with pytest.raises(NotFoundError, match="No space is known"):
        build_index.run(config)
    with catalog.tenant(config.tenant) as tx:
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, "image")
    with pytest.raises(IndexNotReadyError, match="no photos"):
        build_index.run(config)
    with pytest.raises(NotFoundError, match="nowhere"):
        build_index.run(config, space="nowhere")
