"""Every clusterer finds plain clusters; CPU, graph and GPU agree up to the names of labels."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
from hdbscan import HDBSCAN, approximate_predict
from sklearn.metrics import adjusted_rand_score

from photoorg.curate import assignment, clustering, density, knn
from photoorg.curate.assignment import ClusterModel, born, core_distances, predict
from photoorg.curate.clustering import (
    Agglomerative,
    Dbscan,
    Hdbscan,
    KMeans,
    cosine,
    euclidean,
    on_gpu,
)
from photoorg.errors import ConfigError, InputError
from tests.unit.curate.faces import made_up, unit

SIZES = [30, 20, 12, 8]
KINDS = {
    "hdbscan": lambda device: Hdbscan(5, 3, device=device),
    "dbscan": lambda device: Dbscan(euclidean(0.5), 3, device=device),
    "kmeans": lambda device: KMeans(4, device=device),
    "single": lambda device: Agglomerative("single", k=4, device=device),
    "average": lambda device: Agglomerative("average", k=4, device=device),
    "complete": lambda device: Agglomerative("complete", k=4, device=device),
    "ward": lambda device: Agglomerative("ward", k=4, device=device),
}


def agree(one: np.ndarray, two: np.ndarray) -> bool:
    """Equal up to permutation, with noise (-1) noise in both."""
    return adjusted_rand_score(one, two) == 1.0 and bool(((one < 0) == (two < 0)).all())


@pytest.mark.parametrize("kind", KINDS)
def test_plain_clusters_are_found(kind):
    x_nd, labels = made_up(SIZES, within=0.8)
    found = KINDS[kind]("cpu").fit(x_nd)
    assert agree(found.labels_n, labels)
    assert found.clusters == 4 and found.radii_k.shape == (4,)
    assert found.strengths_n.shape == (70,) and 0 <= found.strengths_n.min()
    assert found.strengths_n.max() <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_cpu_and_gpu_give_the_same_labels_up_to_permutation(kind):
    if importlib.util.find_spec("cuml") is None:
        pytest.skip("cuML is not installed: no GPU to compare with")
    x_nd, _ = made_up(SIZES, within=0.8)
    cpu, gpu = KINDS[kind]("cpu").fit(x_nd), KINDS[kind]("cuda").fit(x_nd)
    assert agree(cpu.labels_n, gpu.labels_n)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_are_no_error(kind, rows):
    x_nd, _ = made_up([rows], within=0.8)
    found = KINDS[kind]("cpu").fit(x_nd)
    assert len(found.labels_n) == len(found.strengths_n) == rows


@pytest.mark.parametrize("kind", KINDS)
def test_one_vector_many_times_is_one_cluster(kind):
    x_nd = np.repeat(made_up([1])[0], 40, axis=0)
    assert set(KINDS[kind]("cpu").fit(x_nd).labels_n.tolist()) == {0}


def test_the_neighbour_graph_finds_what_all_pairs_find(monkeypatch):
    x_nd, labels = made_up([60, 50, 40], within=0.6, strangers=30)
    dense = Hdbscan(5, 3, device="cpu").fit(x_nd)
    monkeypatch.setattr(density, "DENSE_ROWS", 10)
    graph = Hdbscan(5, 3, device="cpu").fit(x_nd)
    assert adjusted_rand_score(dense.labels_n, graph.labels_n) > 0.98
    assert adjusted_rand_score(labels[:150], graph.labels_n[:150]) > 0.95


def test_nearest_is_exact_and_ordered():
    x_nd, _ = made_up([40], dim=16)
    distances, rows = knn.nearest(x_nd[:5], x_nd, 7)
    exact = np.linalg.norm(x_nd[:5, None] - x_nd[None], axis=2)
    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :7], atol=1e-3)
    assert (rows[:, 0] == np.arange(5)).all()


def test_prediction_agrees_with_hdbscan_itself():
    x_nd, _ = made_up([40, 30, 20], within=0.7, strangers=20)
    fresh = made_up([40, 30, 20], within=0.7, strangers=40, seed=0)[0]
    fresh = unit(fresh + 0.2 * np.random.default_rng(5).standard_normal(fresh.shape) / 11)
    model = HDBSCAN(5, min_samples=3, prediction_data=True, core_dist_n_jobs=1, algorithm="generic")
    model.fit(x_nd.astype(np.float64))
    expected, _ = approximate_predict(model, fresh.astype(np.float64))
    labels_n = np.asarray(model.labels_, np.int64)
    cores_n = core_distances(x_nd, 3)
    members = labels_n >= 0
    radii = density.born_at(model.condensed_tree_.to_numpy(), labels_n)
    ours = predict(
        fresh,
        ClusterModel(
            x_nd,
            labels_n,
            cores_n,
            np.zeros((labels_n.max() + 1, 1), np.float32),
            radii,
            3,
        ),
        reach=2.0,
    )
    assert members.sum() > 80 and (ours == expected).mean() > 0.95
    again = born(x_nd[members], labels_n[members], cores_n[members])
    assert np.all(again >= radii - 0.15)


def test_a_gpu_that_is_asked_for_and_not_there_is_an_error():
    if importlib.util.find_spec("cuml") is not None:
        pytest.skip("cuML is installed here")
    with pytest.raises(ConfigError, match="cuML"):
        on_gpu("cuda")
    assert on_gpu("auto") is False


@pytest.mark.parametrize("linkage", ["average", "complete", "ward"])
def test_rows_too_many_for_all_pairs_are_gathered_first(linkage, monkeypatch):
    monkeypatch.setattr(clustering, "LINKED_ROWS", 40)
    x_nd, labels = made_up([90, 70, 60, 50], within=0.8)
    found = Agglomerative(linkage, k=4, device="cpu").fit(x_nd)
    assert adjusted_rand_score(labels, found.labels_n) > 0.98
    same = np.repeat(x_nd[:1], 100, axis=0)
    assert set(Agglomerative(linkage, k=4, device="cpu").fit(same).labels_n.tolist()) == {0}


def test_agglomerative_takes_either_a_count_or_a_distance():
    with pytest.raises(InputError):
        Agglomerative("average", device="cpu").fit(np.eye(5, dtype=np.float32))


def test_inverted_lists_find_nearly_all_neighbours_and_never_the_row_itself():
    x_nd, _ = made_up([12] * 200, within=0.5, strangers=300)
    exact, rows = knn.neighbours(x_nd, 8)
    found, others = knn.neighbours(x_nd, 8, exact_pairs=0)
    same = np.mean([len(set(a) & set(b)) for a, b in zip(rows[:2400], others[:2400], strict=True)])
    assert same / 8 > 0.95 and (others != np.arange(len(x_nd))[:, None]).all()
    assert (np.diff(found, axis=1) >= 0).all() and found.shape == exact.shape


def test_neighbours_of_copies_are_other_copies():
    same = np.repeat(made_up([1])[0], 300, axis=0)
    for pairs in (10**6, 0):
        distances, rows = knn.neighbours(same, 5, exact_pairs=pairs)
        assert distances.max() < 1e-3 and (rows != np.arange(300)[:, None]).all()


def test_births_beside_the_nearest_clusters_are_those_of_all_pairs(monkeypatch):
    x_nd, labels = made_up([40, 30, 25, 20, 15], within=0.6)
    cores = core_distances(x_nd, 2)
    exact = born(x_nd, labels, cores)
    monkeypatch.setattr(assignment, "DENSE_ROWS", 10)
    np.testing.assert_allclose(born(x_nd, labels, cores), exact, atol=1e-3)


def test_distance_and_cosine_say_the_same():
    assert cosine(euclidean(0.3)) == pytest.approx(0.3)


def test_a_graph_in_parts_is_clustered_as_all_pairs_are(monkeypatch):
    """No part that nothing connects with the others becomes one large cluster."""
    draw = np.random.default_rng(1)
    motifs = draw.standard_normal((6, 48))
    events = 0.8 * motifs[draw.integers(0, 6, 60)] + 0.6 * draw.standard_normal((60, 48))
    sizes = draw.lognormal(0, 1, 60)
    event_n = draw.choice(60, 2_500, p=sizes / sizes.sum())
    spread_n = draw.uniform(0.2, 0.6, 60)[event_n, None]
    x_nd = unit(events[event_n] + spread_n * draw.standard_normal((len(event_n), 48)))
    all_pairs = Hdbscan(5, 3, device="cpu").fit(x_nd)
    monkeypatch.setattr(density, "DENSE_ROWS", 10)
    graph = Hdbscan(5, 3, device="cpu").fit(x_nd)
    assert all_pairs.clusters > 30 and graph.clusters > 30
    assert adjusted_rand_score(all_pairs.labels_n, graph.labels_n) > 0.9
