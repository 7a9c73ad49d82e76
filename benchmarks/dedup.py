"""Duplicates among a million hash rows, beside a brute-force FAISS binary scan of the same rows.

python -m benchmarks.dedup --json [--n 1000000] [--queries 2000] [--groups 1000]

Rows are random hashes, a twentieth of them near copies (up to 28 of 256 and 4 of 64 bits), one
picture 10,000 times and 10,000 featureless ones. Ours is the whole way from facts to groups by
hashes alone. FAISS scans `--queries` of the rows against all with the same number of threads; its
time for all rows is that, extrapolated. The page of 100 suggestions is asked for over HTTP (ASGI,
no network) from an embedded PostgreSQL with `--groups` groups.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from fastapi import FastAPI
from numpy.typing import NDArray

from benchmarks.report import finish, print_table
from photoorg.config import DatabaseConfig
from photoorg.curate.duplicates import by_rank, find, group
from photoorg.curate.facts import Facts
from photoorg.curate.looking import THREADS
from photoorg.curate.sweep import sweep
from photoorg.curation_config import DedupConfig
from photoorg.index.faiss_io import library, use_threads
from photoorg.store.catalog import Catalog, photos
from photoorg.store.catalog.photo_facts import FIELDS
from photoorg.store.embedded import embedded
from serve.api.dedup import dedup_router
from serve.auth import fixed_tenant
from serve.dedup import CatalogDedup
from serve.problems import install
from tests.catalog import rows

CROWD = 10_000
NEAR_SHARE = 20
RADIUS = 31
PART = 1_000
"""Groups that are loaded at once."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="the last line is JSON in any case")
    parser.add_argument("--n", type=int, default=1_000_000)
    parser.add_argument("--queries", type=int, default=2_000)
    parser.add_argument("--groups", type=int, default=1_000)
    parser.add_argument("--only", choices=("page",), help="one part of it")
    options = parser.parse_args()
    if options.only == "page":
        page = {
            "groups_in_library": options.groups,
            "suggestions_page_100_ms": _page(options.groups),
        }
        print_table(f"dedup, {options.groups:,} groups", list(page.items()))
        finish("dedup", page | {"page_limit_ms": 300})
        return
    facts_rows, planted = _rows(options.n, seed=0)
    before = psutil.Process().memory_info().rss
    with Peak() as peak:
        started = time.perf_counter()
        config = DedupConfig(neighbours=0, looks=0, turned_up_to=0)
        facts = by_rank(Facts.of(facts_rows), config)
        scored = find(facts, config)
        groups = group(scored, config.confidence)
        seconds = time.perf_counter() - started
    recall = _recall(facts, facts_rows, planted, scored.first, scored.second)
    scan, same = _brute_force(facts, options.queries, scored.first, scored.second)
    page_ms = _page(options.groups)
    print_table(
        f"{options.n:,} hash rows",
        [
            ("photoorg, facts to groups, s", seconds),
            ("FAISS brute-force scan alone, s (extrapolated)", scan),
            ("planted pairs found", recall),
            ("pairs FAISS finds that we have", same),
            ("groups", len(groups)),
            ("peak memory beyond the input, bytes a row", (peak.bytes - before) / options.n),
            ("page of 100 groups, ms, median", page_ms),
        ],
    )
    finish(
        "dedup",
        {
            "seconds": seconds,
            "limit_s": 120,
            "n": options.n,
            "threads": THREADS,
            "planted_recall": recall,
            "pairs_of_brute_force_found": same,
            "pairs": len(scored),
            "groups": len(groups),
            "saturated": scored.saturated,
            "brute_force_s_extrapolated": scan,
            "brute_force_queries": options.queries,
            "over_brute_force": scan / seconds,
            "peak_bytes_per_row": (peak.bytes - before) / options.n,
            "suggestions_page_100_ms": page_ms,
            "page_limit_ms": 300,
        },
    )


class Peak:
    """The most resident memory while the block runs, sampled every 50 ms."""

    def __enter__(self) -> Peak:
        self.bytes = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._stop.wait(0.05):
            self.bytes = max(self.bytes, process.memory_info().rss)


def _rows(n: int, seed: int) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Rows of photo_facts, and the pairs of rows [m, 2] that are near."""
    rng = np.random.default_rng(seed)
    pdq = rng.integers(0, 256, (n, 32), dtype=np.uint8)
    phash = rng.integers(0, 256, (n, 8), dtype=np.uint8)
    crowd = min(CROWD, n // 10)
    pdq[:crowd], phash[:crowd] = pdq[0], phash[0]
    near = n // NEAR_SHARE
    originals = rng.permutation(np.arange(2 * crowd, n))[: 2 * near].reshape(2, near)
    for hashes, most in ((pdq, 28), (phash, 4)):
        copied = hashes[originals[0]]
        bits = np.zeros((near, copied.shape[1] * 8), np.uint8)
        for _ in range(most):
            bits[np.arange(near), rng.integers(0, bits.shape[1], near)] = 1
        keep = rng.random((near, 1)) < rng.random((near, 1))
        hashes[originals[1]] = copied ^ np.packbits(bits * keep, axis=1)
    made = np.zeros(n, np.dtype(list(FIELDS)))
    made["photo_id"] = np.frombuffer(rng.bytes(32 * n), "V32")
    made["pdq"], made["phash"] = pdq.reshape(-1).view("V32"), phash.reshape(-1).view("V8")
    made["pdq_quality"] = 90
    made["pdq_quality"][crowd : 2 * crowd] = 0
    made["width"], made["height"] = 4000, 3000
    made["size"] = rng.integers(10**5, 10**7, n)
    made["taken"] = np.nan
    made["quality"] = rng.random(n)
    return made, np.stack(originals, axis=1)


def _recall(
    facts: Facts,
    rows: NDArray[Any],
    planted: NDArray[np.int64],
    first: NDArray[np.int32],
    second: NDArray[np.int32],
) -> float:
    """Share of the planted pairs that were scored."""
    names = facts.keys.view("S32").reshape(-1)
    order = np.argsort(names)
    wanted = np.ascontiguousarray(rows["photo_id"]).view("S32")
    place = order[np.searchsorted(names, wanted, sorter=order)]
    pairs = np.sort(place[planted], axis=1)
    n = len(facts)
    have = np.unique(first.astype(np.int64) * n + second)
    return float(np.isin(pairs[:, 0] * n + pairs[:, 1], have).mean())


def _brute_force(
    facts: Facts, queries: int, first: NDArray[np.int32], second: NDArray[np.int32]
) -> tuple[float, float]:
    """Seconds of an exact scan of all rows for all rows, and how many of its pairs we have.

    Queries are rows outside the crowd of equal hashes, whose pairs we give as a star.
    """
    faiss = library()
    use_threads(THREADS)
    codes = np.ascontiguousarray(facts.pdq).view(np.uint8)
    index = faiss.IndexBinaryFlat(256)
    index.add(codes)
    _, inverse, counts = np.unique(facts.pdq, axis=0, return_inverse=True, return_counts=True)
    alone = np.flatnonzero((counts[inverse.reshape(-1)] == 1) & facts.hashed)
    asked = np.random.default_rng(1).choice(alone, min(queries, len(alone)), replace=False)
    started = time.perf_counter()
    limits, _, found = index.range_search(codes[asked], RADIUS + 1)
    seconds = (time.perf_counter() - started) * len(facts) / len(asked)
    a, b = np.repeat(asked, np.diff(limits.astype(np.int64))), found.astype(np.int64)
    good = (a != b) & facts.hashed[b]
    low, high = np.minimum(a, b)[good], np.maximum(a, b)[good]
    n = len(facts)
    have = np.unique(first.astype(np.int64) * n + second)
    return seconds, float(np.isin(low * n + high, have).mean()) if len(low) else 1.0


def _page(groups: int) -> float:
    """Milliseconds of GET /v1/dedup/suggestions?limit=100, median of 9 over the first pages."""
    with (
        tempfile.TemporaryDirectory(prefix="photoorg-", ignore_cleanup_errors=True) as name,
        embedded(Path(name)) as url,
        Catalog(url, DatabaseConfig()) as catalog,
    ):
        catalog.migrate()
        _library(catalog, groups)
        sweep(catalog, "a", DedupConfig(neighbours=0, looks=0))
        dedup = CatalogDedup(catalog, DedupConfig())
        app = FastAPI()
        install(app)
        app.include_router(dedup_router(dedup, fixed_tenant("a")))
        try:
            return asyncio.run(_asked(app))
        finally:
            dedup.close()


async def _asked(app: FastAPI) -> float:
    times = []
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        cursor = None
        for _ in range(9):
            started = time.perf_counter()
            query = {"limit": 100} | ({"cursor": cursor} if cursor else {})
            page = (await client.get("/v1/dedup/suggestions", params=query)).json()
            times.append((time.perf_counter() - started) * 1e3)
            assert len(page["suggestions"]) == 100
            cursor = page["next_cursor"]
    return statistics.median(times)


def _library(catalog: Catalog, groups: int) -> None:
    """Photos in groups of three copies, as an ingest would have written them."""
    rng = np.random.default_rng(2)
    for part, begin in enumerate(range(0, groups, PART)):
        made = []
        for number in range(begin, min(begin + PART, groups)):
            pdq, phash = rng.bytes(32), rng.bytes(8)
            for copy in range(3):
                size = {"width": 4000 >> copy, "height": 3000 >> copy}
                name = f"{number}-{copy}.jpg"
                made.append(rows.photo(name, pdq=pdq, phash=phash, **size))
        with catalog.tenant("a") as tx:
            photos.copy_part(tx, "r", part, rows.photos(*made), rows.rejects())


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(THREADS))
    main()
