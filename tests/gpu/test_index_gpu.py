"""On a GPU an index must answer as it does on the CPU."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from benchmarks import gpu_search
from photoorg.config import IndexConfig, PhotoOrgConfig, parse
from photoorg.errors import ResourceError
from photoorg.index import gpu
from photoorg.index.base import FloatMatrix
from photoorg.index.build import build_local
from photoorg.index.delta import Delta
from photoorg.index.devices import Devices
from photoorg.index.manifest import IndexManifest
from photoorg.index.photo_ids import as_keys, hex_ids
from photoorg.index.shard import Shard, open_shard
from photoorg.index.slot import ShardSlot
from photoorg.index.subset import AllowedPhotos
from photoorg.search.local import open_devices
from photoorg.space import EmbeddingSpace

N, DIM = 20_000, 64
GPUS = gpu.count()
needs_gpu = pytest.mark.skipif(GPUS == 0, reason="FAISS sees no NVIDIA GPU here")
needs_two = pytest.mark.skipif(GPUS < 2, reason=f"FAISS sees {GPUS} NVIDIA GPUs here, not two")
SPACE = EmbeddingSpace("gpu", "fake", "none", "1", "none", DIM)
KEYS = np.random.default_rng(4).integers(0, 256, (N, 32), dtype=np.uint8)
FACTORIES = {
    "exact": "SQfp16",
    "exact in float32": "Flat",
    "fast scan": "OPQ{pq},IVF{nlist},PQ{pq}x4fs",
    "8-bit codes": "IVF{nlist},PQ32",
    "float16": "IVF{nlist},SQfp16",
    "8 bits a value": "IVF{nlist},SQ8",
}
Version = tuple[Path, IndexManifest]


def vectors(n: int, seed: int) -> FloatMatrix:
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(0).standard_normal((100, DIM))
    x = centers[rng.integers(0, 100, n)] + 0.4 * rng.standard_normal((n, DIM))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x, np.float16).astype(np.float32)


X, QUERIES = vectors(N, 1), vectors(200, 2)


def build(folder: Path, factory: str, *, shards: int = 2, use_gpu: bool = False) -> Version:
    config = IndexConfig(
        shards=shards, flat_below=1_000, recall_sample=200, use_gpu=use_gpu, factory=factory
    )
    return folder, build_local([(KEYS, X)], folder, SPACE, config, version="v")


@pytest.fixture(scope="module", params=FACTORIES)
def version(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Version:
    return build(tmp_path_factory.mktemp("version"), FACTORIES[request.param])


@pytest.fixture(scope="module")
def usual(tmp_path_factory: pytest.TempPathFactory) -> Version:
    return build(tmp_path_factory.mktemp("usual"), FACTORIES["fast scan"])


def opened(version: Version, devices: Devices | None) -> list[Shard]:
    shards = [open_shard(*version, s.slot, devices=devices) for s in version[1].shards]
    if devices is not None:
        devices.settle()
        assert "on the CPU" not in devices.status(), devices.status()
    return shards


def on_gpus() -> Devices:
    return Devices(gpu.FaissGpus(), 4_000_000_000)


def overlap(some: np.ndarray, others: np.ndarray) -> float:
    k = some.shape[1]
    return float(np.mean([len(set(a) & set(b)) / k for a, b in zip(some, others, strict=True)]))


@pytest.mark.gpu
@needs_gpu
def test_a_shard_answers_as_on_the_cpu(version: Version) -> None:
    for plain, pinned in zip(opened(version, None), opened(version, on_gpus()), strict=True):
        truth = np.argsort(-(QUERIES @ plain.vectors(np.arange(len(plain))).T), axis=1)[:, :10]
        expected, answer = plain.search(QUERIES, 10), pinned.search(QUERIES, 10)
        assert overlap(answer[1], truth) >= overlap(expected[1], truth) - 0.01
        same = answer[1] == expected[1]
        assert same.mean() > 0.9
        np.testing.assert_allclose(answer[0][same], expected[0][same], atol=1e-5)


@pytest.mark.gpu
@needs_gpu
def test_filtered_and_very_deep_searches_are_those_of_the_cpu(usual: Version) -> None:
    plain, pinned = opened(usual, None)[0], opened(usual, on_gpus())[0]
    mask = np.random.default_rng(3).random(len(plain)) < 0.3
    for k, allowed in ((10, mask), (1_500, None)):
        expected = plain.search(QUERIES[:20], k, allowed=allowed)
        answer = pinned.search(QUERIES[:20], k, allowed=allowed)
        np.testing.assert_array_equal(answer[1], expected[1])


@pytest.mark.gpu
@needs_gpu
def test_a_slot_finds_the_same_with_and_without_filters(usual: Version) -> None:
    some = AllowedPhotos(as_keys(sorted(hex_ids(KEYS[::3]))))
    answers = []
    for devices in (None, on_gpus()):
        slots = [
            ShardSlot(base, Delta(DIM), slot=n, shards=2)
            for n, base in enumerate(opened(usual, devices))
        ]
        answers.append(
            [
                [near.ids for slot in slots for near in slot.nearest(QUERIES, 10)],
                [near.ids for slot in slots for near in slot.nearest(QUERIES, 10, allowed=some)],
            ]
        )
    (open_cpu, some_cpu), (open_gpu, some_gpu) = answers
    assert overlap(np.array(open_gpu), np.array(open_cpu)) > 0.95
    assert some_gpu == some_cpu


@pytest.mark.gpu
@needs_gpu
def test_two_shards_share_a_device_between_threads(usual: Version) -> None:
    devices = on_gpus()
    shards = opened(usual, devices)
    expected = [shard.search(QUERIES, 10) for shard in shards]
    wrong: list[int] = []

    def ask(number: int) -> None:
        for _ in range(30):
            rows = shards[number].search(QUERIES, 10)[1]
            if overlap(rows, expected[number][1]) < 0.999:
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(n % 2,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert "on the CPU" not in devices.status()


@pytest.mark.gpu
@needs_gpu
def test_a_dropped_shard_frees_its_memory(usual: Version) -> None:
    devices = on_gpus()
    shards = opened(usual, devices)
    assert "0 shards, 0 MB" not in devices.status() or GPUS > 2
    shards.clear()
    devices.settle()
    assert all("0 shards, 0 MB" in part for part in devices.status().split("GPU")[1:])


@pytest.mark.gpu
@needs_two
def test_shards_of_a_version_are_spread_over_the_devices(usual: Version) -> None:
    devices = on_gpus()
    shards = opened(usual, devices)
    assert "GPU 0: 1 shards" in devices.status() and "GPU 1: 1 shards" in devices.status()
    plain = opened(usual, None)
    for one, other in zip(shards, plain, strict=True):
        assert overlap(one.search(QUERIES, 10)[1], other.search(QUERIES, 10)[1]) > 0.95


@pytest.mark.gpu
@needs_gpu
def test_the_benchmark_searches_on_the_gpu() -> None:
    result = gpu_search.measure(
        gpu.FaissGpus(), n=20_000, dim=64, queries=100, shards=2, rounds=1, threads=1
    )
    assert result["gpu_recall_at_10"] >= result["cpu_recall_at_10"] - 0.02


@pytest.mark.gpu
@needs_gpu
def test_a_version_trained_on_the_gpu_is_a_cpu_version(tmp_path: Path) -> None:
    factory = FACTORIES["fast scan"]
    _, on_gpu = build(tmp_path / "gpu", factory, use_gpu=True)
    _, on_cpu = build(tmp_path / "cpu", factory, use_gpu=False)
    assert on_gpu.recall_at_10 == pytest.approx(on_cpu.recall_at_10, abs=0.05)


@pytest.mark.skipif(GPUS > 0, reason="there is a GPU here")
def test_a_build_that_demands_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(ResourceError, match="no GPU"):
        gpu.wanted(True)
    assert not gpu.wanted("auto")
    assert not gpu.wanted(False)


@pytest.mark.skipif(GPUS > 0, reason="there is a GPU here")
def test_serving_without_the_gpu_it_demands_says_so_and_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with open_devices(PhotoOrgConfig()) as devices:
        assert devices is None
    assert caplog.records == []
    with open_devices(parse({"index": {"use_gpu": True}})) as devices:
        assert devices is None
    assert "FAISS sees no GPU" in caplog.text
