from __future__ import annotations

import pytest

from photoorg.config import IndexConfig
from photoorg.errors import ConfigError
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.index.planning import MAX_TRAIN_PER_LIST, MIN_TRAIN_PER_LIST, codes_for, plan

MILLION = 1_000_000


def test_small_libraries_are_searched_flat() -> None:
    small = plan(19_999, 512, IndexConfig())
    assert (small.kind, small.factory, small.nlist, small.train_rows) == ("flat", "SQfp16", 0, 0)
    assert plan(20_000, 512, IndexConfig()).kind == "ivfpq"


def test_a_flat_factory_is_flat_at_any_size() -> None:
    assert plan(MILLION, 64, IndexConfig(factory="Flat")).factory == "Flat"


@pytest.mark.parametrize("n", [20_000, 50_000, 400_000, MILLION, 50 * MILLION])
def test_every_list_has_39_to_256_training_vectors(n: int) -> None:
    made = plan(n, 512, IndexConfig())
    per_list = made.train_rows / made.nlist
    assert MIN_TRAIN_PER_LIST <= per_list <= MAX_TRAIN_PER_LIST
    assert made.sample_rows <= n


def test_more_vectors_get_more_lists() -> None:
    lists = [plan(n, 512, IndexConfig()).nlist for n in (20_000, 200_000, MILLION)]
    assert lists == sorted(set(lists))


@pytest.mark.parametrize("dim", [2, 3, 8, 100, 127, 128, 500, 512, 768, 1000, 1152, 1280, 1536])
def test_faiss_accepts_the_factory_of_any_dimension(dim: int) -> None:
    made = plan(MILLION, dim, IndexConfig())
    assert IvfPqIndex(dim, made.factory).dim == dim
    assert 1 <= made.pq <= 112


@pytest.mark.parametrize("dim", [127, 500, 512, 1152])
def test_a_factory_without_rotation_is_made_to_fit_too(dim: int) -> None:
    made = plan(MILLION, dim, IndexConfig(factory="IVF{nlist},PQ{pq}x4fs"))
    assert IvfPqIndex(dim, made.factory).dim == dim


def test_codes_and_list_ids_stay_below_80_bytes_a_vector() -> None:
    for dim in (128, 512, 768, 1152, 1280):
        assert plan(MILLION, dim, IndexConfig()).pq / 2 + 8 <= 72


@pytest.mark.parametrize("dim", [64, 127, 500, 512, 768, 1280])
def test_each_code_stands_for_two_to_four_rotated_dimensions(dim: int) -> None:
    codes, width = codes_for(dim)
    assert width % codes == 0 and 2 <= width // codes <= 4 and width <= dim


def test_an_unknown_placeholder_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="nlists"):
        plan(MILLION, 512, IndexConfig(factory="IVF{nlists},PQ64x4fs"))


@pytest.mark.parametrize("factory", ["IVF64,PQ7x4fs", "nonsense", "HNSW32"])
def test_what_faiss_or_the_kind_cannot_do_is_a_config_error(factory: str) -> None:
    with pytest.raises(ConfigError, match=factory):
        IvfPqIndex(64, factory)
