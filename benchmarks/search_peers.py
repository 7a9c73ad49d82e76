"""What search is measured against: exact FAISS, hnswlib, and pgvector in embedded PostgreSQL."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Search = Callable[[Matrix], NDArray[np.int64]]
K = 10


@dataclass(frozen=True)
class Peer:
    """Something searchable: its name, how long it took to build, its bytes, how to ask it."""

    name: str
    build_s: float
    bytes_per_vector: float
    search: Search


def flat(x: Matrix) -> Any:
    """FAISS's IndexFlatIP in float32."""
    import faiss

    index = faiss.IndexFlatIP(x.shape[1])
    index.add(x)
    return index


def exact(index: Any, threads: int) -> Peer:
    """Exact search; given a batch, FAISS multiplies it with the vectors as matrices."""
    import faiss

    def search(queries: Matrix) -> NDArray[np.int64]:
        faiss.omp_set_num_threads(threads)
        return np.asarray(index.search(queries, K)[1])

    return Peer("exact FAISS flat", 0.0, 4.0 * index.d, search)


def hnswlib(x: Matrix, truth: NDArray[np.int64], queries: Matrix, threads: int, tmp: Path) -> Peer:
    """Hnswlib with M=16, ef_construction=200 and the smallest ef that reaches recall@10 0.95."""
    import hnswlib as library

    index = library.Index(space="ip", dim=x.shape[1])
    index.init_index(max_elements=len(x), M=16, ef_construction=200, random_seed=0)
    index.set_num_threads(threads)
    started = time.perf_counter()
    index.add_items(x)
    seconds = time.perf_counter() - started
    for ef in (10, 20, 40, 80, 160, 320, 640):
        index.set_ef(ef)
        if recall(np.asarray(index.knn_query(queries, K)[0], np.int64), truth) >= 0.95:
            break
    index.save_index(str(tmp / "hnsw"))
    size = (tmp / "hnsw").stat().st_size / len(x)

    def search(q: Matrix) -> NDArray[np.int64]:
        return np.asarray(index.knn_query(q, K)[0], np.int64)

    return Peer(f"hnswlib M=16 ef={ef}", seconds, size, search)


def pgvector(url: str, x: Matrix, truth: NDArray[np.int64], queries: Matrix) -> Peer:
    """Pgvector's HNSW with its defaults over one connection; the smallest ef that reaches 0.95."""
    import psycopg

    connection: Any = psycopg.connect(url, autocommit=True)
    seconds, size = fill_pgvector(connection, x)

    def search(q: Matrix) -> NDArray[np.int64]:
        return ask_pgvector(connection, q)

    for ef in (10, 20, 40, 80, 160, 320, 640):
        connection.execute(f"SET hnsw.ef_search = {ef}")
        if recall(search(queries), truth) >= 0.95:
            break
    return Peer(f"pgvector HNSW ef={ef}", seconds, size, search)


def fill_pgvector(connection: Any, x: Matrix) -> tuple[float, float]:
    """Copy the vectors into a table and index it: seconds, and bytes of the index per vector."""
    from pgvector.psycopg import register_vector

    connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
    register_vector(connection)
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute(f"CREATE TEMP TABLE peers (id int, x vector({x.shape[1]}))")
    started = time.perf_counter()
    with connection.cursor().copy("COPY peers FROM STDIN") as copy:
        for i, row in enumerate(x):
            copy.write_row((i, "[" + ",".join(map("{:.6g}".format, row.tolist())) + "]"))
    connection.execute("CREATE INDEX peers_x ON peers USING hnsw (x vector_ip_ops)")
    seconds = time.perf_counter() - started
    size = connection.execute("SELECT pg_relation_size('peers_x')").fetchone()[0]
    return seconds, size / len(x)


def ask_pgvector(connection: Any, q: Matrix) -> NDArray[np.int64]:
    """The ten nearest of each query [n, 10], -1 where fewer were found."""
    found = np.full((len(q), K), -1, np.int64)
    for i, row in enumerate(q):
        rows = connection.execute(
            "SELECT id FROM peers ORDER BY x <#> %s LIMIT %s", [row, K], prepare=True
        ).fetchall()
        found[i, : len(rows)] = [r[0] for r in rows]
    return found


def recall(found: NDArray[np.int64], truth: NDArray[np.int64]) -> float:
    """recall@10: the share of the true ten that were found."""
    return float(np.mean((found[:, :, None] == truth[:, None, :]).any(axis=1)))
