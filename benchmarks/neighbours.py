"""Photos that are looked at again and again: with their neighbours remembered, and without.

python -m benchmarks.neighbours --json [--n 50000] [--dim 512]

One request a call, through the shards' fan-out, drawn so that few photos get most of the requests
(Zipf). Both ways take turns request by request. Re-ranking and HTTP come on top of either.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clusters import Clusters
from benchmarks.delta import K, name, opened
from benchmarks.report import finish, print_table
from photoorg.config import IndexConfig
from photoorg.index.build import build_local
from photoorg.search.fanout import FanOut, Found
from photoorg.search.live import LiveShards
from photoorg.search.neighbours import Neighbours
from photoorg.search.ports import SlotAnswer, SlotQuery
from photoorg.space import EmbeddingSpace

POOL = 60


class InThread:
    """A slot over open shards, which searches in a thread as a slot that serves does."""

    def __init__(self, shards: LiveShards) -> None:
        self._shards = shards

    async def search(self, query: SlotQuery) -> SlotAnswer:
        """The best photos of all shards."""
        x_nd = query.x_d[None]
        return (await asyncio.to_thread(self._shards.search, x_nd, query.k, query.pool))[0]


async def measure(args: argparse.Namespace, shards: LiveShards, space: EmbeddingSpace) -> Any:
    """Seconds of each request both ways, and the cache."""
    fanout = FanOut([InThread(shards)], 10.0)  # type: ignore[list-item]
    neighbours = Neighbours(args.kept, 3600.0)
    photos = next(iter(Clusters(args.dim, args.n).blocks(args.photos, 1)))
    draw = np.random.default_rng(3)
    asked = np.minimum(draw.zipf(1.2, args.requests) - 1, args.photos - 1)
    took = np.zeros((args.requests, 2))
    for at, number in enumerate(asked.tolist()):
        x_d = photos[number]

        async def ask(x_d: Any = x_d) -> Found:
            return await fanout.search(SlotQuery("t", space, x_d, K, POOL, 1))

        started = time.perf_counter()
        await ask()
        middle = time.perf_counter()
        await neighbours.get(("t", space.id, name(number).encode(), K, POOL), 1, ask)
        took[at] = middle - started, time.perf_counter() - middle
    return took * 1000, neighbours


def main() -> None:
    """Build an index, ask, report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--photos", type=int, default=5_000)
    parser.add_argument("--requests", type=int, default=5_000)
    parser.add_argument("--kept", type=int, default=500)
    args = parser.parse_args()
    space = EmbeddingSpace("bench", "bench", "none", "1", "none", args.dim)

    def batches() -> Any:
        at = 0
        for x_nd in Clusters(args.dim, args.n).blocks(args.n, 1):
            yield [name(at + row) for row in range(len(x_nd))], x_nd
            at += len(x_nd)

    with tempfile.TemporaryDirectory() as scratch:
        config = IndexConfig(shards=2, recall_sample=300)
        manifest = build_local(batches(), Path(scratch), space, config, version="v")
        shards = opened(Path(scratch), manifest)
        took, neighbours = asyncio.run(measure(args, shards, space))
    without, kept = np.median(took, axis=0)
    result = {
        "hit_rate": neighbours.hits / (neighbours.hits + neighbours.misses),
        "p50_without_ms": float(without),
        "p50_with_ms": float(kept),
        "mean_without_ms": float(took[:, 0].mean()),
        "mean_with_ms": float(took[:, 1].mean()),
        "times_faster_mean": float(took[:, 0].mean() / took[:, 1].mean()),
        "n": args.n,
        "kept": args.kept,
        "factory": manifest.factory,
    }
    print_table("neighbours of hot photos", list(result.items()))
    finish("neighbours", result)


if __name__ == "__main__":
    main()
