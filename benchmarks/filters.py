"""Searches with filters: recall and queries/s at 50%, 10%, 1% and 0.1% of allowed photos.

python -m benchmarks.filters --json [--n 1000000] [--dim 512]

The data of benchmarks.search. A filter allows photos at random; a correlated one allows those
nearest to one direction, so that some queries lie amid what is allowed and others far from it.
Truth is exact search over the allowed vectors. One query a call and one thread, as a request is
answered; each query is asked with and without the filter, one right after the other and in
changing order, so that other load on the machine meets both. The set of a filter is found once and
kept, as a shard slot does.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import search_peers as peers
from benchmarks.report import finish, print_table
from benchmarks.search import _batches, _data, _open
from benchmarks.search_peers import K, Matrix
from photoorg.config import IndexConfig
from photoorg.index.build import build_local
from photoorg.index.faiss_io import library, use_threads
from photoorg.index.photo_ids import comparable
from photoorg.index.shard import Shard
from photoorg.index.subset import Subset
from photoorg.space import EmbeddingSpace

SHARES = (0.5, 0.1, 0.01, 0.001)
TURN = 50
"""Queries a round; the ratio is the median over rounds."""


def main() -> None:
    options = _options()
    library()
    use_threads(1)
    keys, x, queries = _data(options, options.n)
    space = EmbeddingSpace("synthetic", "none", "none", "1", "none", options.dim)
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        config = IndexConfig(shards=1, threads=2)
        manifest = build_local(_batches(keys, x), Path(name), space, config, version="benchmark")
        (shard,) = _open(Path(name), manifest, 1)
        result = _measure(shard, keys, x, queries, options)
    rows = [(f"{key} {share}", value) for key in ("recall_at_10", "qps_ratio")
            for share, value in result[key].items()]  # fmt: skip
    rows += [(f"correlated {s}", v) for s, v in result["correlated_recall_at_10"].items()]
    print_table(f"filters, {options.n:,} vectors", rows)
    finish("filters", {**result, "n": options.n, "dim": options.dim, "factory": manifest.factory})


def _measure(
    shard: Shard,
    keys: NDArray[np.uint8],
    x: Matrix,
    queries: Matrix,
    options: argparse.Namespace,
) -> dict[str, dict[str, float]]:
    order = np.argsort(comparable(keys))
    place = order[np.searchsorted(comparable(keys)[order], comparable(shard.ids.keys))]
    rng = np.random.default_rng(options.seed + 1)
    direction = rng.standard_normal(options.dim).astype(np.float32)
    result: dict[str, dict[str, float]] = {
        key: {}
        for key in (
            "recall_at_10",
            "qps_ratio",
            "qps",
            "correlated_recall_at_10",
            "correlated_qps_ratio",
        )
    }
    near = x @ direction
    for share in SHARES:
        masks = {
            "": rng.random(len(x)) < share,
            "correlated_": near >= np.quantile(near, 1 - share),
        }
        for kind, mask in masks.items():
            truth = _truth(x, mask, queries)
            subset = Subset(shard, mask[place])
            _, found = shard.search(queries, K, allowed=subset)
            result[f"{kind}recall_at_10"][str(share)] = _recall(place, found, truth)
            ratio, qps = _turns(shard, subset, queries, options.rounds)
            result[f"{kind}qps_ratio"][str(share)] = ratio
            if not kind:
                result["qps"][str(share)] = qps
    return {k: {s: round(v, 4) for s, v in row.items()} for k, row in result.items()}


def _truth(x: Matrix, mask: NDArray[np.bool_], queries: Matrix) -> NDArray[np.int64]:
    rows = np.flatnonzero(mask)
    found = peers.exact(peers.flat(x[rows]), 2).search(queries)
    return np.append(rows, -1)[found]


def _recall(place: NDArray[np.int64], found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    ours = np.append(place, -1)[found]
    hits = sum(len(set(a[a >= 0]) & set(b[b >= 0])) for a, b in zip(ours, truth, strict=True))
    return hits / int((truth >= 0).sum())


def _turns(shard: Shard, subset: Subset, queries: Matrix, rounds: int) -> tuple[float, float]:
    """How fast filtered queries are over unfiltered ones, and how many of them a second."""
    took = np.zeros((rounds, TURN, 2))
    for turn in range(rounds):
        for number in range(TURN):
            q = queries[(TURN * turn + number) % len(queries)][None]
            both = [(0, None), (1, subset)]
            for which, allowed in both if (turn + number) % 2 else both[::-1]:
                started = time.perf_counter()
                shard.search(q, K, allowed=allowed)
                took[turn, number, which] = time.perf_counter() - started
    plain, filtered = took.sum(axis=1).T
    return float(np.median(plain / filtered)), TURN / float(np.median(filtered))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.filters", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where temporary files go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
