"""Search on GPUs beside the CPU's and exact search, in one run: recall and queries/s.

python -m benchmarks.gpu_search --json [--n 1000000] [--dim 512] [--shards 4]

The same shards are opened twice, once with devices and once without, and asked the same batches by
turns with exact FAISS on the CPU; ratios are medians over the turns. Where FAISS sees no GPU there
is nothing to measure, and the command fails.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import search_peers as peers
from benchmarks.clusters import Clusters
from benchmarks.report import finish, print_table
from benchmarks.search_peers import K, Matrix
from photoorg.config import IndexConfig
from photoorg.index import gpu
from photoorg.index.build import build_local
from photoorg.index.device import Gpus
from photoorg.index.devices import Devices
from photoorg.index.photo_ids import comparable
from photoorg.index.shard import Shard, open_shard
from photoorg.space import EmbeddingSpace

BUDGET = 64_000_000_000
Found = NDArray[np.int64]
Search = Callable[[Matrix], Found]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure where there is a GPU; 1 where there is none."""
    options = _options(arguments)
    if gpu.count() == 0:
        print("FAISS sees no GPU here: install photoorg[gpu] on a GPU host.", file=sys.stderr)
        return 1
    result = measure(
        gpu.FaissGpus(),
        n=options.n,
        dim=options.dim,
        queries=options.queries,
        shards=options.shards,
        rounds=options.rounds,
        threads=options.threads or len(os.sched_getaffinity(0)),
    )
    print_table("search on GPUs", list(result.items()))
    finish("gpu_search", {**result, "cuvs": gpu.cuvs()})
    return 0


def measure(
    gpus: Gpus, *, n: int, dim: int, queries: int, shards: int, rounds: int, threads: int
) -> dict[str, Any]:
    """Build one version and search it three ways; every recall is against exact search."""
    made = Clusters(dim, n)
    x = np.concatenate(list(made.blocks(n, stream=0)))
    asked = np.concatenate(list(made.blocks(queries, stream=1)))
    keys = np.random.default_rng(0).integers(0, 256, (n, 32), dtype=np.uint8)
    space = EmbeddingSpace("synthetic", "none", "none", "1", "none", dim)
    config = IndexConfig(shards=shards, flat_below=min(n, 20_000), threads=threads)
    exact = peers.exact(peers.flat(x), threads).search
    devices = Devices(gpus, BUDGET)
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        batch = [(keys, x.astype(np.float16))]
        manifest = build_local(batch, Path(name), space, config, version="v")
        built_s = time.perf_counter() - started
        numbers = [info.slot for info in manifest.shards]
        on_cpu = [open_shard(Path(name), manifest, s, threads=threads) for s in numbers]
        on_gpu = [
            open_shard(Path(name), manifest, s, threads=threads, devices=devices) for s in numbers
        ]
        started = time.perf_counter()
        devices.settle()
        copied_s = time.perf_counter() - started
        ways = [exact, _searched(on_cpu, keys), _searched(on_gpu, keys)]
        truth, by_cpu, by_gpu = (way(asked) for way in ways)
        took = np.array([[_timed(way, asked) for way in ways] for _ in range(rounds)])
        one = np.array([[_timed(way, q[None]) for way in ways] for q in asked[:100]])
        status = devices.status()
    exact_qps, cpu_qps, gpu_qps = (queries / float(s) for s in np.median(took, axis=0))
    exact_ms, cpu_ms, gpu_ms = (1000 * float(s) for s in np.median(one, axis=0))
    return {
        "gpu_recall_at_10": peers.recall(by_gpu, truth),
        "cpu_recall_at_10": peers.recall(by_cpu, truth),
        "gpu_agrees_with_cpu": peers.recall(by_gpu, by_cpu),
        "gpu_qps": gpu_qps,
        "cpu_qps": cpu_qps,
        "exact_cpu_qps": exact_qps,
        "gpu_over_cpu": float(np.median(took[:, 1] / took[:, 2])),
        "gpu_over_exact": float(np.median(took[:, 0] / took[:, 2])),
        "gpu_one_by_one_ms": gpu_ms,
        "cpu_one_by_one_ms": cpu_ms,
        "exact_one_by_one_ms": exact_ms,
        "build_s": built_s,
        "copy_s": copied_s,
        "devices": status,
        "n": n,
        "dim": dim,
        "queries": queries,
        "threads": threads,
        "config": {"factory": manifest.factory, "shards": shards, "effort": manifest.effort},
    }


def _searched(shards: Sequence[Shard], keys: NDArray[np.uint8]) -> Search:
    """All shards as one: places in `keys` of the ten best."""
    order = np.argsort(comparable(keys))
    known = comparable(keys)[order]
    places = [order[np.searchsorted(known, comparable(s.ids.keys))] for s in shards]

    def search(queries: Matrix) -> Found:
        answers = [shard.search(queries, K) for shard in shards]
        scores = np.concatenate([a[0] for a in answers], axis=1)
        found = np.concatenate([p[a[1]] for p, a in zip(places, answers, strict=True)], axis=1)
        best = np.argsort(-scores, axis=1)[:, :K]
        return np.take_along_axis(found, best, 1)

    return search


def _timed(search: Search, queries: Matrix) -> float:
    started = time.perf_counter()
    search(queries)
    return time.perf_counter() - started


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_search", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
