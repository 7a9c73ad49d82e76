"""What the changes that wait for compaction cost a query: 50,000 of them beside a base.

python -m benchmarks.delta --json [--n 400000] [--delta 50000]

The same slot is asked the same queries one by one, each with and without the changes right after
one another and in changing order, many times over, so that whatever else the machine does meets
both alike. The cost is that of the sum of every query's median; its interval (95%) is of bootstrap
draws of queries and repeats.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.clusters import Clusters
from benchmarks.report import finish, print_table
from photoorg.config import IndexConfig
from photoorg.index.build import build_local
from photoorg.index.delta import Delta
from photoorg.index.manifest import IndexManifest
from photoorg.index.shard import open_shard
from photoorg.index.slot import ShardSlot
from photoorg.search.live import LiveShards
from photoorg.space import EmbeddingSpace

K = 20
POOL = 40
EVENTS = 10_000


@dataclass(frozen=True)
class Added:
    """An event of the log: a photo came."""

    seq: int
    photo_id: str
    vector: NDArray[np.float32]
    op: str = "add"


def name(number: int) -> str:
    """A photo id."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def opened(folder: Path, manifest: IndexManifest) -> LiveShards:
    """All shards of the base, with nothing changed."""
    shards: list[ShardSlot] = []
    for info in manifest.shards:
        base = open_shard(folder, manifest, info.slot, like=shards[0].base if shards else None)
        delta = Delta(manifest.space.dim)
        shards.append(ShardSlot(base, delta, slot=info.slot, shards=len(manifest.shards)))
    return LiveShards(shards, len(shards), manifest.space, version=manifest.version)


def in_pairs(
    plain: LiveShards, changed: LiveShards, queries: NDArray[np.float32], repeats: int
) -> NDArray[np.float64]:
    """Seconds [repeats, queries, 2] without and with the changes, one right after the other."""
    took = np.zeros((repeats, len(queries), 2))
    for repeat in range(repeats):
        for number, x_d in enumerate(queries):
            both = [(0, plain), (1, changed)]
            for which, shards in both if (repeat + number) % 2 else both[::-1]:
                started = time.perf_counter()
                shards.search(x_d[None], K, POOL)
                took[repeat, number, which] = time.perf_counter() - started
    return took


def cost(took: NDArray[np.float64]) -> float:
    """How much longer queries take with the changes, as a share."""
    plain, changed = np.median(took, axis=0).sum(axis=0)
    return float(changed / plain - 1)


def interval(took: NDArray[np.float64], draws: int = 1_000) -> list[float]:
    """The middle 95% of the cost over bootstrap draws."""
    rng = np.random.default_rng(7)
    repeats, queries, _ = took.shape
    costs = [
        cost(took[rng.integers(0, repeats, repeats)][:, rng.integers(0, queries, queries)])
        for _ in range(draws)
    ]
    return [round(float(c), 4) for c in np.quantile(costs, [0.025, 0.975])]


def recall(shards: LiveShards, added: NDArray[np.float32], count: int, base: int) -> float:
    """Recall@10 among the changes: queries near one of them, truth by comparing all."""
    rng = np.random.default_rng(5)
    names = {name(base + row) for row in range(len(added))}
    hits = []
    for row in rng.integers(0, len(added), count):
        found = shards.search(added[row][None], 10, 10)[0]
        mine = {i for i, s in zip(found.ids, found.scores, strict=True) if i in names}
        truth = np.argsort(-(added @ added[row]))[:10]
        scores = added[truth] @ added[row]
        # Only the changes that are among the ten best of everything can be asked for.
        worst = float(found.scores[-1])
        wanted = {name(base + int(r)) for r, s in zip(truth, scores, strict=True) if s > worst}
        if wanted:
            hits.append(len(wanted & mine) / len(wanted))
    return float(np.mean(hits))


def main() -> None:
    """Build the base, ask, apply the changes, ask again."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, default=400_000)
    parser.add_argument("--delta", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--shards", type=int, default=4)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=15)
    args = parser.parse_args()
    space = EmbeddingSpace("bench", "bench", "none", "1", "none", args.dim)
    clusters = Clusters(args.dim, args.n + args.delta)
    queries = next(iter(clusters.blocks(args.queries, 9)))
    config = IndexConfig(shards=args.shards, train_sample=60_000, recall_sample=300)

    def batches():
        at = 0
        for x_nd in clusters.blocks(args.n, 1):
            yield [name(at + row) for row in range(len(x_nd))], x_nd
            at += len(x_nd)

    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        manifest = build_local(batches(), folder, space, config, version="v")
        plain, changed = opened(folder, manifest), opened(folder, manifest)
        added = np.concatenate(list(clusters.blocks(args.delta, 2)))
        started = time.perf_counter()
        for start in range(0, args.delta, EVENTS):
            rows = range(start, min(args.delta, start + EVENTS))
            changed.apply([Added(r + 1, name(args.n + r), added[r]) for r in rows])
        apply_s = time.perf_counter() - started
        in_pairs(plain, changed, queries[:50], 1)
        took = in_pairs(plain, changed, queries, args.repeats)
        found = recall(changed, added, 200, args.n)
    plain_ms, changed_ms = 1000 * np.median(took, axis=(0, 1))
    result = {
        "delta_cost_over_query": cost(took),
        "delta_cost_interval_95": interval(took),
        "query_ms": float(plain_ms),
        "query_with_delta_ms": float(changed_ms),
        "repeats": args.repeats,
        "delta_rows": args.delta,
        "recall_among_delta": found,
        "apply_s": apply_s,
        "delta_mb": (changed.memory_bytes - plain.memory_bytes) / 1e6,
        "n": args.n,
        "dim": args.dim,
        "config": {"kind": manifest.kind, "factory": manifest.factory, "shards": args.shards},
    }
    print_table("changes that wait for compaction", [(k, v) for k, v in result.items()])
    finish("delta", result)


if __name__ == "__main__":
    main()
