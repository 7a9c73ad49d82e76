"""Scenes: found by every method, named, offered, drawn."""

from __future__ import annotations

import importlib.util
import io
from datetime import UTC, datetime

import numpy as np
import pytest
from PIL import Image

from photoorg.curate import projection
from photoorg.curate.scenes import (
    choose_k,
    clusterer,
    find_scenes,
    name_by_time,
    name_scene,
    unique_names,
    worth_offering,
)
from photoorg.curation_config import ScenesConfig
from photoorg.errors import ConfigError
from tests.unit.curate.faces import made_up


@pytest.mark.parametrize("method", ["hdbscan", "kmeans", "agglomerative"])
def test_every_method_finds_the_scenes_and_how_many_there_are(method):
    x_nd, labels = made_up([40, 30, 20], within=0.8)
    found = find_scenes(x_nd, ScenesConfig(method=method, device="cpu"))
    assert [len(scene.rows) for scene in found] == [40, 30, 20]
    for scene in found:
        assert len(set(labels[scene.rows].tolist())) == 1 and scene.cover in scene.rows
        assert 0.8 < scene.cohesion <= 1.0


@pytest.mark.parametrize("method", ["hdbscan", "kmeans", "agglomerative"])
@pytest.mark.parametrize("rows", [0, 1, 2, 3])
def test_few_photos_and_equal_photos_are_no_error(method, rows):
    config = ScenesConfig(method=method, device="cpu")
    assert len(find_scenes(made_up([rows], dim=16)[0], config)) <= 1
    equal = np.repeat(made_up([1], dim=16)[0], 10 * rows, axis=0)
    assert len(find_scenes(equal, config)) <= 1


def test_k_is_taken_as_given_and_chosen_otherwise():
    x_nd, _ = made_up([20, 20, 20, 20], within=0.8)
    five = ScenesConfig(method="kmeans", clusters=5, device="cpu")
    assert len(find_scenes(x_nd, five)) == 5
    auto = ScenesConfig(method="agglomerative", device="cpu")
    assert choose_k(x_nd, lambda k: clusterer(x_nd, auto.model_copy(update={"clusters": k}))) == 4


def test_a_scene_is_named_by_what_is_special_about_it():
    overall = {"photo": 100, "beach": 12, "sea": 10, "dog": 3}
    assert name_scene({"photo": 10, "beach": 9, "sea": 8, "dog": 1}, 10, overall, 100) == (
        "beach, sea"
    )
    assert name_scene({"dog": 3}, 10, overall, 100) is None
    assert name_scene({}, 10, {}, 100) is None


def test_a_scene_without_tags_is_named_by_its_months():
    may = [datetime(2024, 5, day, tzinfo=UTC) for day in range(1, 11)]
    july = [datetime(2024, 7, day, tzinfo=UTC) for day in range(1, 11)]
    assert name_by_time(may) == "May 2024"
    assert name_by_time([*may, *july]) == "May to July 2024"
    assert name_by_time([*may, *(d.replace(year=2026) for d in july)]) == "2024 to 2026"
    assert name_by_time([*may, *(d.replace(year=2099) for d in july[:4])]) == "May 2024"
    assert name_by_time([d.replace(year=1970) for d in may]) is None
    assert name_by_time([None] * 11 + may[:2]) is None and name_by_time([]) is None


def test_names_are_told_apart():
    assert unique_names(["a", "b", "a", "a"]) == ["a", "b", "a (2)", "a (3)"]


def test_what_is_there_or_was_refused_is_not_offered_again():
    config = ScenesConfig(album_photos=4)
    photos = {f"p{i}" for i in range(8)}
    assert worth_offering(photos, [], config)
    assert not worth_offering(photos, [photos | {"new"}], config)
    assert worth_offering(photos, [{"p1", "x", "y"}], config)
    assert not worth_offering({"p1", "p2"}, [], config)


def test_sixty_black_photos_are_a_scene_but_no_album():
    photos = {str(n) for n in range(60)}
    config = ScenesConfig()
    x_nd = np.tile(np.eye(1, 16, dtype=np.float32), (60, 1))
    (scene,) = find_scenes(x_nd, config)
    assert len(scene.rows) == 60
    assert not worth_offering(photos, [], config, scene.cohesion)
    assert worth_offering(photos, [], config, 0.9)


def test_the_plane_keeps_clusters_apart_and_fits():
    x_nd, labels = made_up([30, 30], within=0.8)
    xy = projection.project(x_nd, "pca")
    assert xy.shape == (60, 2) and np.abs(xy).max() == pytest.approx(1.0)
    apart = np.linalg.norm(xy[labels == 0].mean(axis=0) - xy[labels == 1].mean(axis=0))
    assert apart > 4 * xy[labels == 0].std(axis=0).max()
    np.testing.assert_array_equal(xy, projection.project(x_nd, "pca"))


@pytest.mark.parametrize("rows", [0, 1, 2])
def test_the_plane_of_few_photos(rows):
    xy = projection.project(made_up([rows], dim=4)[0], "pca")
    assert xy.shape == (rows, 2) and np.isfinite(xy).all()


def test_the_map_is_a_png_with_a_colour_per_scene():
    xy = np.array([[-0.8, -0.8], [0.8, 0.8], [0.0, 0.9]], np.float32)
    data = projection.draw(xy, np.array([0, 1, -1]), ["sea", "woods"])
    image = Image.open(io.BytesIO(data))
    assert image.format == "PNG" and image.size == (projection.SIDE,) * 2
    colours = {colour for _, colour in image.getcolors(2**20) or []}
    assert len(colours) > 3 and (200, 200, 200) in colours


@pytest.mark.skipif(importlib.util.find_spec("umap") is not None, reason="umap is installed")
def test_umap_that_is_not_there_is_named():
    with pytest.raises(ConfigError, match="umap"):
        projection.project(np.zeros((20, 4), np.float32), "umap")
