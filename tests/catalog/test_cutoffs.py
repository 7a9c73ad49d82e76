"""Search cutoffs fitted to the vectors of a library, kept, read by searches and taken back."""

from __future__ import annotations

import numpy as np
import pytest

from photoorg.config import SearchConfig, StorageConfig, parse
from photoorg.models import Rgb
from photoorg.search.catalog import CatalogQueries
from photoorg.search.tuning import limits_of
from photoorg.space import EmbeddingSpace
from photoorg.stages.cutoffs import Fitted, apply, fit_search
from photoorg.stages.vectors import vector_table
from photoorg.store.catalog import Catalog, delta, photos, spaces, thresholds
from photoorg.store.layout import vectors_dir
from photoorg.store.objects import ObjectStore
from photoorg.store.runs import Run
from tests.catalog import rows

pytestmark = pytest.mark.postgres
DIM = 64
SPACE = EmbeddingSpace("pairs", "fake", "none", "1", "none", DIM, modalities=("image", "text"))


class Nonsense:
    """An encoder to which every picture is noise, and every text that is no phrase."""

    space = SPACE
    short_side = 32

    def __init__(self, subjects: np.ndarray) -> None:
        self.subjects = subjects

    def encode_images(self, images: list[Rgb]) -> np.ndarray:
        x = np.random.default_rng(1).standard_normal((len(images), DIM))
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        rng = np.random.default_rng(2)
        x = rng.standard_normal((len(texts), DIM))
        if any("photo" in text for text in texts):
            x = 0.6 * x + 8 * self.subjects[np.arange(len(texts)) % len(self.subjects)]
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def library(catalog: Catalog, tmp_path):
    rng = np.random.default_rng(0)
    subjects = rng.standard_normal((20, DIM)) / DIM**0.5

    def made(count: int):
        x = np.repeat(subjects, count // 20, axis=0)[:count]
        x = x + 0.07 * rng.standard_normal(x.shape)
        x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
        store = ObjectStore(StorageConfig(root=str(tmp_path)))
        listed = [rows.photo(f"p{n}") for n in range(len(x))]
        with catalog.tenant("a") as tx:
            photos.copy_part(tx, "run", 0, rows.photos(*listed), rows.rejects())
            spaces.register(tx, SPACE)
            spaces.set_default(tx, SPACE.id, SPACE.kind)
        ids = [row["photo_id"] for row in listed]
        Run(store, vectors_dir("a", SPACE.id, "run")).write_part(0, vector_table(SPACE, ids, x))
        return store, x, subjects

    return made


def test_cutoffs_of_a_library_tell_its_photos_from_noise(catalog: Catalog, library) -> None:
    store, _, subjects = library(400)
    fitted = fit_search(catalog, store, "a", SPACE, lambda: Nonsense(subjects))
    assert fitted.photos == 400 and set(fitted.cutoffs) == {"image", "text"}
    assert fitted.real["image"] > 0.9 and fitted.nonsense["image"] > 0.9
    assert fitted.real["text"] > 0.9 and fitted.nonsense["text"] > 0.9
    assert list(store.list("a/scratch")) == []
    alone = fit_search(catalog, store, "a", SPACE)
    assert set(alone.cutoffs) == {"image"} and alone.nonsense == {}


async def test_they_are_kept_noted_read_by_searches_and_taken_back(catalog, library) -> None:
    store, _, _ = library(400)
    fitted = fit_search(catalog, store, "a", SPACE)
    with catalog.tenant("a") as tx:
        changed = apply(tx, fitted, "anna").values
        assert thresholds.get_all(tx, SPACE.id) == fitted.thresholds() and len(changed) == 4
        assert apply(tx, fitted, "anna").values == {}
    queries = CatalogQueries(catalog)
    try:
        known = await queries.thresholds("a", SPACE.id)
        limits = limits_of(known, SearchConfig(), "image", None)
        assert limits.best == pytest.approx(fitted.cutoffs["image"].best, abs=1e-6)
    finally:
        queries.close()
    with catalog.tenant("a") as tx:
        assert set(thresholds.undo_last(tx, SPACE.id, "anna").values) == set(changed)
        assert thresholds.get_all(tx, SPACE.id) == {}
    with catalog.tenant("a") as tx:
        told = tx.conn.execute("SELECT count(*) FROM audit_log WHERE action = 'threshold.set'")
        assert told.fetchone() == (8,)
    with catalog.tenant("b") as tx:
        assert thresholds.undo_last(tx, SPACE.id, "anna").values == {}


def test_a_small_library_gets_none_and_no_encoder_is_opened(catalog: Catalog, library) -> None:
    store, _, _ = library(20)

    def encoder():
        raise AssertionError("nothing is encoded for so few photos")

    fitted = fit_search(catalog, store, "a", SPACE, encoder)
    assert fitted == Fitted(SPACE, 20, {}, {}, {})


def grow(catalog: Catalog, x_nd: np.ndarray, start: int) -> None:
    """Uploads of photos with these vectors."""
    listed = [rows.photo(f"new-{start + n}") for n in range(len(x_nd))]
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, f"more-{start}", 0, rows.photos(*listed), rows.rejects())
        delta.add(tx, SPACE.id, [row["photo_id"] for row in listed], x_nd)


def near(x_nd: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Photos like those, but more crowded."""
    rng = np.random.default_rng(seed)
    drawn = x_nd[rng.integers(0, len(x_nd), count)] + 0.3 * x_nd[0]
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def in_force(catalog: Catalog) -> dict[str, float]:
    with catalog.tenant("a") as tx:
        return thresholds.get_all(tx, SPACE.id)


def test_a_compaction_keeps_cutoffs_and_fits_them_anew_once_the_library_changed_much(
    catalog: Catalog, catalog_url, library, tmp_path
) -> None:
    from pipelines import build_index, compact

    _, x_nd, _ = library(60)
    config = parse(
        {"tenant": "a", "storage": {"root": str(tmp_path)}, "database": {"url": catalog_url}}
    )
    build_index.run(config)
    fitted = in_force(catalog)
    assert fitted["search.image"] > 0
    grow(catalog, near(x_nd, 3, 1), 0)
    few = compact.run(config)
    assert few["compacted"] and few["came"] == 3 and not few["refitted"]
    assert in_force(catalog) == fitted, "they are of the library, and stay with it"
    grow(catalog, near(x_nd, 30, 2), 100)
    many = compact.run(config)
    assert many["compacted"] and many["refitted"] and in_force(catalog) != fitted
    assert not compact.run(config)["refitted"], "once is enough"
    with catalog.tenant("a") as tx:
        assert thresholds.fitted_to(tx, SPACE.id)["search.image"] == 93


def test_cutoffs_that_people_set_or_took_back_are_left_by_compactions(
    catalog: Catalog, catalog_url, library, tmp_path
) -> None:
    from pipelines import build_index, compact

    _, x_nd, _ = library(60)
    config = parse(
        {"tenant": "a", "storage": {"root": str(tmp_path)}, "database": {"url": catalog_url}}
    )
    build_index.run(config)
    with catalog.tenant("a") as tx:
        thresholds.change(tx, SPACE.id, {"search.image": 0.123}, "api")
    grow(catalog, near(x_nd, 60, 3), 0)
    assert not compact.run(config)["refitted"] and in_force(catalog)["search.image"] == 0.123
    with catalog.tenant("a") as tx:
        thresholds.change(tx, SPACE.id, {name: None for name in in_force(catalog)}, "api")
    assert not compact.run(config)["refitted"] and in_force(catalog) == {}
    build_index.run(config)
    assert in_force(catalog)["search.image"] > 0


def test_a_library_that_was_too_small_gets_cutoffs_when_it_has_grown(
    catalog: Catalog, catalog_url, library, tmp_path
) -> None:
    from pipelines import build_index, compact

    _, x_nd, _ = library(20)
    config = parse(
        {"tenant": "a", "storage": {"root": str(tmp_path)}, "database": {"url": catalog_url}}
    )
    build_index.run(config)
    assert in_force(catalog) == {}
    grow(catalog, near(x_nd, 40, 4), 0)
    assert compact.run(config, if_due=True)["refitted"]
    assert in_force(catalog)["search.image"] > 0
