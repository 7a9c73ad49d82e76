"""Words and vectors together: what they find, how fast, and what poor quality costs a photo.

python -m benchmarks.hybrid --json [--rows 1000000] [--searches 40] [--only found|fast]

Found: 12,000 made-up photos of 200 subjects, each with a vector near its subject's and with noise
that makes a vector alone miss; 60% have a caption, of which a part names a synonym, a neighbour or
nothing of use. A question names a subject and a detail that only captions tell; success@10 is the
share of questions with a right photo (subject and detail) among the first ten, visual only
(semantic) beside hybrid, through the same SearchService and catalog. Poor photos: how many of the
first 20 of 60 alike have a quality below 0.3, with and without quality in the ranking.

Fast: the catalog is filled with --rows photos with captions, tags, text in pictures, people, places
and times, their words drawn by Zipf's law (benchmarks/questions.py, benchmarks/catalog_fill.py); a
search is a full hybrid one (words, vectors, fusion, reasons) over an index of the same number of
rows in 64 dimensions. --searches questions are asked of each kind: common words, rare ones,
sentences, prefixes, misspelt words, names, places, dates and filters. A question is asked once in
each mode. Its vector is given: embedding is excluded.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.catalog_fill import fill
from benchmarks.questions import Question as AnyQuestion
from benchmarks.questions import library, questions, vocabulary
from benchmarks.report import finish, print_table
from photoorg.config import DatabaseConfig, IndexConfig, SearchConfig, SourceConfig, StorageConfig
from photoorg.index.build import build_local
from photoorg.models import IndexVersion
from photoorg.search.catalog import CatalogQueries
from photoorg.search.holdings import Holdings
from photoorg.search.ports import Vector
from photoorg.search.questions import Terms
from photoorg.search.reader import CatalogReader
from photoorg.search.service import SearchService
from photoorg.search.slots import LocalSlot
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, indexes, spaces
from photoorg.store.embedded import embedded
from photoorg.store.objects import ObjectStore

T = "default"
DIM = 64
SPACE = EmbeddingSpace("synthetic", "none", "none", "1", "none", DIM, modalities=("image", "text"))
SUBJECTS, DETAILS, PHOTOS = 200, 12, 12_000
INSERT = """
INSERT INTO photos (tenant_id, photo_id, uri, uri_key, filename, mime, size, width, height, status,
    quality, sharpness, exposure, contrast, resolution, caption)
SELECT %s, id, 'file:///' || name, substring(id, 1, 16), name, 'image/jpeg', 1, 4, 3, 'ready', q,
    q, q, q, q, said
FROM unnest(%s::bytea[], %s::text[], %s::real[], %s::text[]) r(id, name, q, said)
"""
Matrix = NDArray[np.float32]


class Embedder:
    """Texts to vectors that were made with them, or to one of `x` by the text's hash."""

    def __init__(self, x: Matrix | None = None) -> None:
        self.space = SPACE
        self.known: dict[str, Vector] = {}
        self._x = x

    async def embed_text(self, text: str, **_: Any) -> Vector:
        """The vector made for the text."""
        if self._x is None:
            return self.known[text]
        at = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
        return self._x[at % len(self._x)]


def main() -> None:
    options = _options()
    result: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="hybrid-", dir=options.folder) as name:
        with embedded(Path(name) / "db") as url, Catalog(url, DatabaseConfig()) as catalog:
            catalog.migrate()
            if options.only != "fast":
                result |= _found(catalog, Path(name) / "found", options.seed)
                _empty(catalog)
            if options.only != "found":
                result |= _fast(catalog, Path(name) / "fast", options)
    print_table("hybrid", list(result.items()))
    finish("hybrid", result)


def _found(catalog: Catalog, folder: Path, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    words = vocabulary(rng, SUBJECTS * 2 + DETAILS)
    subjects = [(words[2 * i], words[2 * i + 1]) for i in range(SUBJECTS)]
    details = words[-DETAILS:]
    centers = _unit(rng.standard_normal((SUBJECTS, DIM)))
    subject_n = rng.integers(0, SUBJECTS, PHOTOS)
    detail_n = rng.integers(0, DETAILS, PHOTOS)
    x = _unit(centers[subject_n] + 0.13 * rng.standard_normal((PHOTOS, DIM)))
    captions: list[str | None] = []
    for s, d in zip(subject_n, detail_n, strict=True):
        kind = rng.random()
        name = subjects[s][int(rng.random() < 0.3)]
        if kind < 0.45:
            captions.append(f"{name} with {details[d]}")
        elif kind < 0.6:
            captions.append(
                f"my {subjects[rng.integers(SUBJECTS)][0]} {details[rng.integers(DETAILS)]}"
            )
        else:
            captions.append(None)
    ids = _ids(PHOTOS)
    quality = np.where(rng.random(PHOTOS) < 0.4, 0.1, 0.7) + 0.15 * rng.random(PHOTOS)
    _load(catalog, ids, captions, quality.astype(float).tolist())
    asked = []
    embedder = Embedder()
    for s in range(SUBJECTS):
        d = int(rng.integers(DETAILS))
        right = {ids[i] for i in np.flatnonzero((subject_n == s) & (detail_n == d))}
        if right:
            text = f"{subjects[s][0]} {details[d]}"
            embedder.known[text] = _unit(centers[s] + 0.13 * rng.standard_normal(DIM)[None])[0]
            asked.append((text, right))
    success = {}
    poor = {}
    for name, config in (("", SearchConfig()), ("plain", _no_quality())):
        with _service(catalog, folder / (name or "all"), ids, x, embedder, config) as service:
            if not name:
                for mode in ("semantic", "hybrid", "keyword"):
                    found = asyncio.run(_ask(service, asked, mode))
                    success[mode] = float(np.mean(found))
            poor[name] = asyncio.run(_poor(service, asked))
    return {
        "success_at_10_visual": success["semantic"],
        "success_at_10_keyword": success["keyword"],
        "success_at_10_hybrid": success["hybrid"],
        "success_over_visual": success["hybrid"] / max(1e-9, success["semantic"]),
        "poor_in_top_20_plain": poor["plain"],
        "poor_in_top_20": poor[""],
        "poor_cut": 1 - poor[""] / max(1e-9, poor["plain"]),
        "questions": len(asked),
    }


async def _ask(service: SearchService, asked: list[tuple[str, set[str]]], mode: Any) -> list[bool]:
    hits = [await service.by_text(T, text, 10, mode=mode) for text, _ in asked]
    return [
        any(i in right for h in answer.hits for i in (h.photo_id, *h.folded))
        for answer, (_, right) in zip(hits, asked, strict=True)
    ]


async def _poor(service: SearchService, asked: list[tuple[str, set[str]]]) -> float:
    """Mean number of poor photos in the top 20 of the first 60 questions."""
    counts = []
    for text, _ in asked[:60]:
        answer = await service.by_text(T, text, 20, mode="semantic")
        counts.append(sum(h.signals["quality"] < 0.3 for h in answer.hits))
    return float(np.mean(counts))


def _no_quality() -> SearchConfig:
    return SearchConfig(quality_weight=0.0, poor_weight=0.0, poor_words_weight=0.0)


def _fast(catalog: Catalog, folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    made = library(options.rows, options.seed + 1)
    ids = _ids(options.rows)
    started = time.perf_counter()
    fill(catalog._url, T, ids, made)
    loaded = time.perf_counter() - started
    asked = questions(made, options.searches, options.seed + 2)
    return {"load_rows_per_s": options.rows / loaded, **timed(catalog, folder, ids, asked)}


def timed(
    catalog: Catalog, folder: Path, ids: list[str], asked: list[AnyQuestion]
) -> dict[str, Any]:
    """Percentiles of latency of every mode, and of hybrid searches by kind of question."""
    rng = np.random.default_rng(0)
    centers = _unit(rng.standard_normal((2_000, DIM)))
    x = _unit(
        centers[rng.integers(0, 2_000, len(ids))] + 0.1 * rng.standard_normal((len(ids), DIM))
    )
    embedder = Embedder(x)
    took: dict[str, list[float]] = {"hybrid": [], "keyword": [], "semantic": []}
    with _service(catalog, folder, ids, x, embedder, SearchConfig()) as service:

        async def run() -> None:
            for mode, times in took.items():
                for question in asked[:10]:
                    await service.by_text(T, question.text, 20, mode=mode)  # type: ignore[arg-type]
                for question in asked:
                    answer = await service.by_text(
                        T,
                        question.text,
                        20,
                        Terms(question.where),
                        mode=mode,  # type: ignore[arg-type]
                    )
                    times.append(answer.latency_ms)

        asyncio.run(run())
    result: dict[str, Any] = {"rows": len(ids), "searches": len(asked)}
    for mode, times in took.items():
        for p in (50, 95, 99):
            result[f"{mode}_p{p}_ms"] = float(np.percentile(times, p))
    for kind in sorted({q.kind for q in asked}):
        of_kind = [t for q, t in zip(asked, took["hybrid"], strict=True) if q.kind == kind]
        result[f"hybrid_{kind}_p95_ms"] = float(np.percentile(of_kind, 95))
    return result


class _service:
    """A SearchService over the catalog and an index of `x`, closed at the end."""

    def __init__(
        self,
        catalog: Catalog,
        folder: Path,
        ids: list[str],
        x: Matrix,
        embedder: Embedder,
        config: SearchConfig,
    ) -> None:
        version = f"v{time.time_ns()}"
        location = f"{T}/indexes/{SPACE.id}/{version}"
        (folder / location).mkdir(parents=True)
        index = IndexConfig(shards=1, threads=2)
        manifest = build_local([(ids, x)], folder / location, SPACE, index, version=version)
        record = IndexVersion(
            T, SPACE.id, version, "shadow", location, manifest.vectors, 1, datetime.now(UTC)
        )
        with catalog.tenant(T) as tx:
            spaces.register(tx, SPACE)
            spaces.set_default(tx, SPACE.id, "image")
            indexes.create(tx, record, 0)
            indexes.activate(tx, SPACE.id, version)
        store = ObjectStore(StorageConfig(root=str(folder)))
        cache = folder / "cache"
        holdings = Holdings(0, 1, catalog, store, cache, index=index, budget_bytes=10**10)
        self._slot = LocalSlot(holdings, catalog, config)
        self._reader = CatalogReader(catalog, store, config, SourceConfig(), max_bytes=10**6)
        self._queries = CatalogQueries(catalog)
        self._service = SearchService(
            embedder,  # type: ignore[arg-type]
            [self._slot],
            self._reader,
            config,
            self._queries,
        )

    def __enter__(self) -> SearchService:
        return self._service

    def __exit__(self, *_: object) -> None:
        for part in (self._slot, self._reader, self._queries):
            part.close()


def _load(
    catalog: Catalog,
    ids: list[str],
    captions: list[str | None],
    quality: list[float],
) -> None:
    """Rows in one statement; their words by the catalog's own triggers."""
    keys = [bytes.fromhex(i) for i in ids]
    names = [f"IMG_{i:07d}.jpg" for i in range(len(ids))]
    with catalog.tenant(T) as tx:
        tx.conn.execute("SET LOCAL statement_timeout = 0")
        tx.conn.execute(INSERT, [T, keys, names, quality, captions])


def _empty(catalog: Catalog) -> None:
    with catalog.tenant(T) as tx:
        tx.conn.execute("SET LOCAL statement_timeout = 0")
        tx.conn.execute("DELETE FROM photos WHERE tenant_id = %s", [T])


def _ids(count: int) -> list[str]:
    return [hashlib.sha256(f"photo {i}".encode()).hexdigest() for i in range(count)]


def _unit(x: NDArray[Any]) -> Matrix:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hybrid", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", choices=("found", "fast"), help="one half of it")
    parser.add_argument("--searches", type=int, default=40, help="of each kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", help="where temporary files go")
    return parser.parse_args()


if __name__ == "__main__":
    main()
