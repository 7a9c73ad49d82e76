"""Search at a million vectors: recall, queries/s over exact search, and resident bytes per vector.

python -m benchmarks.search --json [--n 1000000] [--dim 512] [--peer-n 100000] [--shards 1]

Ours and exact FAISS answer the same batches with the same number of threads, by turns, so that
other load on the machine hits both; ratios are medians over the turns. hnswlib and pgvector build
too slowly for a million vectors here, so they are compared at --peer-n and a tenth of it, beside
ours and exact search at those sizes.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from benchmarks import search_peers as peers
from benchmarks.clusters import PHOTOS_PER_EVENT, Clusters
from benchmarks.report import finish
from benchmarks.search_peers import K, Matrix, Peer, Search
from photoorg.config import IndexConfig
from photoorg.index.build import build_local
from photoorg.index.faiss_io import library, use_threads
from photoorg.index.manifest import IndexManifest
from photoorg.index.photo_ids import comparable
from photoorg.index.shard import Shard, open_shard
from photoorg.space import EmbeddingSpace

Row = tuple[str, int, float, float, float, float, float]


def main() -> None:
    options = _options()
    if options.rss_of:
        print(json.dumps(_resident(Path(options.rss_of))))
        return
    library()
    threads = options.threads or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        rows, result = _full_size(options, folder / "full", threads)
        for n in sorted({options.peer_n, options.peer_n // 10}, reverse=True):
            if options.peer_n:
                rows += _beside_peers(options, n, folder / str(n), threads)
    table = _table(rows)
    print(table)
    if options.write:
        Path(options.write).write_text(_page(table, result), encoding="utf-8")
    finish("search", result)


def _full_size(
    options: argparse.Namespace, folder: Path, threads: int
) -> tuple[list[Row], dict[str, Any]]:
    folder.mkdir()
    keys, x, queries = _data(options, options.n)
    index = peers.flat(x)
    exact = peers.exact(index, threads)
    truth, similarity = _truth(x, queries, exact)
    config = IndexConfig(shards=options.shards, threads=threads)
    manifest, ours = _ours(keys, x, folder, config, threads)
    resident = _resident_elsewhere(folder)
    found = ours.search(queries)
    exact_qps, ours_qps, ratio = _by_turns(exact, ours, queries, options.rounds)
    one_exact, one_ours, one_ratio = _one_by_one(
        peers.exact(index, 1), folder, manifest, queries, options.rounds
    )
    bytes_ram = max(ours.bytes_per_vector, resident["anonymous"] / options.n)
    reached = peers.recall(found, truth)
    rows: list[Row] = [
        (exact.name, options.n, 1.0, exact_qps, 1.0, exact.bytes_per_vector, exact.build_s),
        (ours.name, options.n, reached, ours_qps, ratio, bytes_ram, ours.build_s),
        (f"{exact.name}, one by one", options.n, 1.0, one_exact, 1.0, exact.bytes_per_vector, 0.0),
        ("photoorg, one by one", options.n, reached, one_ours, one_ratio, bytes_ram, 0.0),
    ]
    return rows, {
        "recall_at_10": reached,
        "qps_over_exact": ratio,
        "bytes_per_vector_ram": bytes_ram,
        "bytes_per_vector_structures": ours.bytes_per_vector,
        "bytes_per_vector_rss_anonymous": resident["anonymous"] / options.n,
        "bytes_per_vector_rss_with_mapped_pages": resident["rss"] / options.n,
        "bytes_per_vector_disk": manifest_bytes(manifest) / options.n,
        "qps": ours_qps,
        "exact_qps": exact_qps,
        "exact_is": f"IndexFlatIP float32, batches of {len(queries)}, {threads} threads, as ours",
        "qps_over_exact_one_by_one_one_thread": one_ratio,
        "build_s": ours.build_s,
        "n": options.n,
        "dim": options.dim,
        "threads": threads,
        "config": {
            "factory": manifest.factory,
            "shards": options.shards,
            "effort": manifest.effort,
            "rescore": manifest.rescore,
            "rescore_factor": manifest.rescore_factor,
            "recall_at_10_promised": manifest.recall_at_10,
        },
        "data": {
            "events": options.n // PHOTOS_PER_EVENT,
            "spread": list(Clusters.spread),
            "seed": options.seed,
            "cosine_to_1st_and_10th_neighbour": similarity,
        },
    }


def _beside_peers(options: argparse.Namespace, n: int, folder: Path, threads: int) -> list[Row]:
    """Every peer that can be built in time at this size, beside ours and exact search."""
    folder.mkdir()
    keys, x, queries = _data(options, n)
    exact = peers.exact(peers.flat(x), threads)
    truth, _ = _truth(x, queries, exact)
    config = IndexConfig(shards=options.shards, threads=threads)
    _, ours = _ours(keys, x, folder, config, threads)
    others = [ours, peers.hnswlib(x, truth, queries, threads, folder)]
    if n < options.peer_n:
        others.append(_pgvector(x, truth, queries, folder))
    rows: list[Row] = []
    for peer in others:
        exact_qps, qps, ratio = _by_turns(exact, peer, queries, 3)
        reached = peers.recall(peer.search(queries), truth)
        rows.append((peer.name, n, reached, qps, ratio, peer.bytes_per_vector, peer.build_s))
    first: Row = (exact.name, n, 1.0, exact_qps, 1.0, exact.bytes_per_vector, exact.build_s)
    return [first, *rows]


def _pgvector(x: Matrix, truth: NDArray[np.int64], queries: Matrix, folder: Path) -> Peer:
    from photoorg.store.embedded import embedded

    with embedded(folder) as url:
        peer = peers.pgvector(url, x, truth, queries)
        seconds = _timed(peer.search, queries)
        found = peer.search(queries)
    # The server is gone after this, so what it found and how fast is played back.
    return Peer(peer.name, peer.build_s, peer.bytes_per_vector, _replay(found, seconds))


def _replay(found: NDArray[np.int64], seconds: float) -> Search:
    def search(queries: Matrix) -> NDArray[np.int64]:
        time.sleep(seconds)
        return found

    return search


def _clusters(options: argparse.Namespace, n: int) -> Clusters:
    return Clusters(options.dim, n, options.seed)


def _data(options: argparse.Namespace, n: int) -> tuple[NDArray[np.uint8], Matrix, Matrix]:
    """Ids, vectors and queries; queries are new draws, none of them is in the index."""
    made = _clusters(options, n)
    x = np.empty((n, options.dim), np.float32)
    start = 0
    for block in made.blocks(n, stream=0):
        x[start : start + len(block)] = block
        start += len(block)
    queries = np.concatenate(list(made.blocks(options.queries, stream=1)))
    keys = np.random.default_rng(options.seed).integers(0, 256, (n, 32), dtype=np.uint8)
    return keys, x, queries


def _truth(x: Matrix, queries: Matrix, exact: Peer) -> tuple[NDArray[np.int64], list[float]]:
    truth = exact.search(queries)
    ends = np.einsum("nd,nkd->nk", queries, x[truth[:, [0, K - 1]]]).mean(axis=0)
    return truth, [round(float(s), 3) for s in ends]


def _ours(
    keys: NDArray[np.uint8], x: Matrix, folder: Path, config: IndexConfig, threads: int
) -> tuple[IndexManifest, Peer]:
    manifest, shards, places, seconds = _ours_opened(keys, x, folder, config, threads)

    def search(queries: Matrix) -> NDArray[np.int64]:
        answers = [shard.search(queries, K) for shard in shards]
        scores = np.concatenate([a[0] for a in answers], axis=1)
        found = np.concatenate([p[a[1]] for p, a in zip(places, answers, strict=True)], axis=1)
        best = np.argsort(-scores, axis=1)[:, :K]
        return np.take_along_axis(found, best, 1)

    size = sum(shard.memory_bytes() for shard in shards) / max(1, len(x))
    return manifest, Peer(f"photoorg {manifest.factory}", seconds, size, search)


def _ours_opened(
    keys: NDArray[np.uint8], x: Matrix, folder: Path, config: IndexConfig, threads: int
) -> tuple[IndexManifest, list[Shard], list[NDArray[np.int64]], float]:
    """The version, its open shards, each of their rows' place in `x`, and seconds of the build."""
    space = EmbeddingSpace("synthetic", "none", "none", "1", "none", x.shape[1])
    started = time.perf_counter()
    manifest = build_local(_batches(keys, x), folder, space, config, version="benchmark")
    seconds = time.perf_counter() - started
    shards = _open(folder, manifest, threads)
    order = np.argsort(comparable(keys))
    places = [
        order[np.searchsorted(comparable(keys)[order], comparable(s.ids.keys))] for s in shards
    ]
    return manifest, shards, places, seconds


def _open(folder: Path, manifest: IndexManifest, threads: int) -> list[Shard]:
    shards: list[Shard] = []
    for info in manifest.shards:
        like = shards[0] if shards else None
        opened = open_shard(folder, manifest, info.slot, threads=threads, verify=False, like=like)
        shards.append(opened)
    return shards


def _batches(
    keys: NDArray[np.uint8], x: Matrix
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.float16]]]:
    for start in range(0, len(x), 20_000):
        yield keys[start : start + 20_000], x[start : start + 20_000].astype(np.float16)


def _by_turns(exact: Peer, other: Peer, queries: Matrix, rounds: int) -> tuple[float, float, float]:
    """Queries/s of both, and the median ratio over turns taken one right after the other."""
    other.search(queries)
    times = [(_timed(exact.search, queries), _timed(other.search, queries)) for _ in range(rounds)]
    ratio = float(np.median([a / b for a, b in times]))
    a, b = np.median(np.array(times), axis=0)
    return len(queries) / float(a), len(queries) / float(b), ratio


def _one_by_one(
    exact: Peer, folder: Path, manifest: IndexManifest, queries: Matrix, rounds: int
) -> tuple[float, float, float]:
    """The same with one query a call and one thread: what a lone user sees."""
    shards = _open(folder, manifest, 1)
    times = []
    for turn in range(rounds):
        some = [queries[i : i + 1] for i in range(100 * turn, 100 * turn + 100)]
        slow = sum(_timed(exact.search, q) for q in some[:3]) / 3
        started = time.perf_counter()
        for q in some:
            for shard in shards:
                shard.search(q, K)
        times.append((slow, (time.perf_counter() - started) / len(some)))
    a, b = np.median(np.array(times), axis=0)
    return 1 / float(a), 1 / float(b), float(np.median([a / b for a, b in times]))


def _timed(search: Search, queries: Matrix) -> float:
    started = time.perf_counter()
    search(queries)
    return time.perf_counter() - started


def _resident_elsewhere(folder: Path) -> dict[str, float]:
    """How much a fresh process grows by when it opens the version and answers queries."""
    command = [sys.executable, "-m", "benchmarks.search", "--rss-of", str(folder)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    grown: dict[str, float] = json.loads(done.stdout)
    return grown


def _resident(folder: Path) -> dict[str, float]:
    manifest = IndexManifest.read(folder)
    use_threads(1)
    process = psutil.Process()
    queries = np.random.default_rng(0).standard_normal((64, manifest.space.dim), dtype=np.float32)
    before = process.memory_info()
    shards = _open(folder, manifest, 1)
    for shard in shards:
        shard.search(queries, K)
    after = process.memory_info()
    # Pages of mapped files can be dropped at any time: resident, but not needed.
    mapped = (after.shared - before.shared) if hasattr(after, "shared") else 0
    grown = after.rss - before.rss
    return {"rss": grown, "anonymous": grown - mapped}


def manifest_bytes(manifest: IndexManifest) -> int:
    """Size of all files of a version."""
    return sum(info.bytes for shard in manifest.shards for info in shard.files.values())


def _table(rows: list[Row]) -> str:
    head = "| what | vectors | recall@10 | queries/s | over exact | bytes/vector | build s |"
    lines = [head, "|---|--:|--:|--:|--:|--:|--:|"]
    lines += [
        f"| {name} | {n:,} | {found:.3f} | {qps:,.0f} | {ratio:.1f} | {size:,.1f} | {built:,.0f} |"
        for name, n, found, qps, ratio, size, built in rows
    ]
    return "\n".join(lines)


def _page(table: str, result: dict[str, Any]) -> str:
    from benchmarks.report import commit, hardware

    return (
        "# search\n\n`python -m benchmarks.search --json`: synthetic clustered vectors, queries not"
        " in the index; equal threads for all, batches unless it says one by one. Bytes are"
        " resident memory for photoorg (the larger of its structures and what a fresh process grows"
        " by), the vectors for exact search, the index file for hnswlib and pgvector.\n\n"
        f"{table}\n\n```json\n{json.dumps(result, indent=1)}\n```\n\n"
        f"Commit {commit()}; {hardware()}.\n"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.search", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=1_000)
    parser.add_argument("--shards", type=int, default=1)
    parser.add_argument("--threads", type=int, default=0, help="default: all cores")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--peer-n", type=int, default=100_000, help="0 leaves the peers out")
    parser.add_argument("--folder", help="where temporary files go")
    parser.add_argument("--write", help="also write the table to this Markdown file")
    parser.add_argument("--rss-of", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
