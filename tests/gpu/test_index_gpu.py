"""On a GPU an index must answer as it does on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from photoorg.config import IndexConfig
from photoorg.errors import ConfigError, InputError, ResourceError
from photoorg.index import gpu
from photoorg.index.base import FloatMatrix
from photoorg.index.build import build_local
from photoorg.index.flat import FlatIndex
from photoorg.index.ivfpq import IvfPqIndex
from photoorg.space import EmbeddingSpace

DIM = 64
HAS_GPU = gpu.count() > 0
needs_gpu = pytest.mark.skipif(not HAS_GPU, reason="FAISS sees no NVIDIA GPU here")


def vectors(n: int, seed: int) -> FloatMatrix:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).standard_normal((100, DIM))
    x = centers[rng.integers(0, 100, n)] + 0.4 * rng.standard_normal((n, DIM))
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("factory", ["SQfp16", "Flat"])
def test_flat_search_agrees_with_the_cpu(factory: str) -> None:
    index = FlatIndex(DIM, factory)
    index.add(np.arange(20_000), vectors(20_000, 1))
    queries = vectors(200, 2)
    scores, ids = index.search(queries, 10)
    gpu_scores, gpu_ids = gpu.GpuIndex(index).search(queries, 10)
    np.testing.assert_allclose(gpu_scores, scores, atol=4e-3)
    assert (gpu_ids == ids).mean() > 0.9


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("factory", ["IVF128,SQfp16", "IVF128,PQ32"])
def test_inverted_file_search_agrees_with_the_cpu(factory: str) -> None:
    index = IvfPqIndex(DIM, factory)
    index.train(vectors(20_000, 3))
    index.add(np.arange(20_000), vectors(20_000, 1))
    queries = vectors(200, 2)
    scores, ids = index.search(queries, 10, effort=16)
    gpu_scores, gpu_ids = gpu.GpuIndex(index).search(queries, 10, effort=16)
    overlap = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(ids, gpu_ids, strict=True)])
    assert overlap > 0.9
    np.testing.assert_allclose(gpu_scores[:, 0], scores[:, 0], atol=2e-2)


@pytest.mark.gpu
@needs_gpu
def test_fast_scan_codes_are_refused_with_the_way_out() -> None:
    index = IvfPqIndex(DIM, "IVF16,PQ16x4fs")
    index.train(vectors(2_000, 3))
    with pytest.raises(ConfigError, match="SQfp16"):
        gpu.GpuIndex(index)


@pytest.mark.gpu
@needs_gpu
def test_more_than_the_gpu_can_return_is_refused() -> None:
    index = FlatIndex(DIM)
    index.add(np.arange(10), vectors(10, 1))
    with pytest.raises(InputError, match="2048"):
        gpu.GpuIndex(index).search(vectors(1, 2), 5_000)


@pytest.mark.gpu
@needs_gpu
def test_a_version_trained_on_the_gpu_is_a_cpu_version(tmp_path: Path) -> None:
    config = IndexConfig(shards=2, flat_below=1_000, recall_sample=200, use_gpu=True)
    space = EmbeddingSpace("gpu", "fake", "none", "1", "none", DIM)
    keys = np.random.default_rng(4).integers(0, 256, (20_000, 32), dtype=np.uint8)
    batches = [(keys, vectors(20_000, 1))]
    on_gpu = build_local(batches, tmp_path / "gpu", space, config, version="gpu")
    on_cpu = build_local(
        batches,
        tmp_path / "cpu",
        space,
        config.model_copy(update={"use_gpu": False}),
        version="cpu",
    )
    assert on_gpu.recall_at_10 == pytest.approx(on_cpu.recall_at_10, abs=0.05)


@pytest.mark.skipif(HAS_GPU, reason="there is a GPU here")
def test_a_demanded_gpu_that_is_not_there_is_a_resource_error() -> None:
    with pytest.raises(ResourceError, match="no GPU"):
        gpu.wanted(True)
    assert not gpu.wanted("auto")
    assert not gpu.wanted(False)
