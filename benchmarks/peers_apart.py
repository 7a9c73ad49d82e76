"""A vector database in a process of its own: built once, opened afresh, asked over a pipe.

PYTHON benchmarks/peers_apart.py NAME FOLDER build|answer

Runs in an environment that has the database and NumPy and nothing of this project. FOLDER holds
x.npy and queries.npy, unit-norm. `build` prints one JSON line and ends, so that opening can be
measured without what building left in memory; `answer` reads one setting a line and prints the ids
and seconds of all queries, one query a call.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

K = 10
BATCH = 1_000


class Lance:
    """LanceDB: IVF_HNSW_SQ on disk, re-scored from the vectors; the setting is ef."""

    name, modules = "lancedb IVF_HNSW_SQ", ("lancedb", "pyarrow")
    # ef may not be below the number of results times what is re-scored for each.
    settings = (20, 40, 80, 160, 320)
    memory_is = "anonymous memory that a fresh process grows by; the index is read from disk"

    def __init__(self, folder: Path) -> None:
        import lancedb

        self._database = lancedb.connect(str(folder / "lance"))

    def build(self, x: Any) -> None:
        """Fill it and index it."""
        import pyarrow as pa

        dim = x.shape[1]
        vectors = pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), dim)
        rows = pa.table({"id": np.arange(len(x)), "vector": vectors})
        table = self._database.create_table("peers", rows)
        table.create_index(
            metric="dot", index_type="IVF_HNSW_SQ", num_partitions=1, m=16, ef_construction=200
        )

    def open(self, x: Any) -> None:
        """Make ready what was built."""
        self._table = self._database.open_table("peers")

    def search(self, x_d: Any, setting: int) -> list[int]:
        """Ids of the ten nearest."""
        query = self._table.search(x_d, vector_column_name="vector").distance_type("dot")
        rows = query.nprobes(1).ef(setting).refine_factor(2).select(["id"]).limit(K).to_arrow()
        return list(rows.column("id").to_pylist())


class Milvus:
    """Milvus Lite: IVF_FLAT in its file; the setting is nprobe."""

    name, modules = "milvus-lite IVF_FLAT", ("pymilvus", "milvus_lite")
    settings = (1, 2, 4, 8, 16, 32, 64)
    memory_is = "anonymous memory that the client and its server process grow by"

    def __init__(self, folder: Path) -> None:
        from pymilvus import MilvusClient

        self._client = MilvusClient(str(folder / "milvus.db"))

    def build(self, x: Any) -> None:
        """Fill it and index it."""
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(auto_id=False)
        schema.add_field("id", DataType.INT64, is_primary=True)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=x.shape[1])
        self._client.create_collection("peers", schema=schema)
        for start in range(0, len(x), BATCH):
            some = x[start : start + BATCH]
            self._client.insert(
                "peers", [{"id": start + i, "vector": v.tolist()} for i, v in enumerate(some)]
            )
        index = MilvusClient.prepare_index_params()
        lists = max(16, int(4 * len(x) ** 0.5))
        index.add_index("vector", index_type="IVF_FLAT", metric_type="IP", params={"nlist": lists})
        self._client.create_index("peers", index)

    def open(self, x: Any) -> None:
        """Make ready what was built."""
        self._client.load_collection("peers")

    def search(self, x_d: Any, setting: int) -> list[int]:
        """Ids of the ten nearest."""
        found = self._client.search(
            "peers",
            data=[x_d.tolist()],
            limit=K,
            search_params={"metric_type": "IP", "params": {"nprobe": setting}},
        )
        return [hit["id"] for hit in found[0]]


class Qdrant:
    """qdrant-client's local mode, which has no index: it compares every vector with NumPy."""

    name, modules = "qdrant-client local (exact)", ("qdrant_client",)
    settings = (0,)
    memory_is = "anonymous memory that a fresh process grows by"

    def __init__(self, folder: Path) -> None:
        from qdrant_client import QdrantClient

        self._client = QdrantClient(":memory:")

    def build(self, x: Any) -> None:
        """Nothing is kept: local mode holds its points in memory and fills them when opened."""

    def open(self, x: Any) -> None:
        """Make ready what was built."""
        from qdrant_client import models

        size = models.VectorParams(size=x.shape[1], distance=models.Distance.DOT)
        self._client.create_collection("peers", vectors_config=size)
        for start in range(0, len(x), BATCH):
            some = x[start : start + BATCH]
            ids = list(range(start, start + len(some)))
            self._client.upsert("peers", models.Batch(ids=ids, vectors=some.tolist()))

    def search(self, x_d: Any, setting: int) -> list[int]:
        """Ids of the ten nearest."""
        found = self._client.query_points("peers", query=x_d.tolist(), limit=K, with_payload=False)
        return [int(point.id) for point in found.points]


KINDS: dict[str, Any] = {"lancedb": Lance, "milvus-lite": Milvus, "qdrant-client": Qdrant}


def main() -> None:
    name, where, verb = sys.argv[1:]
    folder, kind = Path(where), KINDS[name]
    for module in kind.modules:
        importlib.import_module(module)
    # Databases print to stdout as they like; the pipe is kept for answers.
    pipe = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    x = np.load(folder / "x.npy", mmap_mode="r")
    queries = np.load(folder / "queries.npy")
    before, started = anonymous(), time.perf_counter()
    database = kind(folder)
    if verb == "build":
        database.build(np.asarray(x))
        pipe.write(json.dumps({"build_s": time.perf_counter() - started}) + "\n")
        return
    database.open(x)
    opened = time.perf_counter() - started
    for x_d in queries:
        database.search(x_d, kind.settings[-1])
    grown = anonymous() - before
    told = {"name": kind.name, "settings": kind.settings, "open_s": opened, "memory": grown}
    pipe.write(json.dumps({**told, "memory_is": kind.memory_is}) + "\n")
    for line in sys.stdin:
        started = time.perf_counter()
        found = [database.search(x_d, int(line)) for x_d in queries]
        seconds = time.perf_counter() - started
        rows = [(ids + [-1] * K)[:K] for ids in found]
        pipe.write(json.dumps({"seconds": seconds, "ids": rows}) + "\n")


def anonymous() -> int:
    """Bytes of memory of this process and its children that no file backs."""
    total = 0
    for number in [os.getpid(), *children(os.getpid())]:
        status = Path(f"/proc/{number}/status").read_text(encoding="utf-8")
        kept = [line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")]
        total += 1024 * int(kept[0]) if kept else 0
    return total


def children(number: int) -> list[int]:
    """Processes started by a process, and those they started."""
    found: list[int] = []
    for task in Path(f"/proc/{number}/task").iterdir():
        for child in (task / "children").read_text(encoding="utf-8").split():
            found += [int(child), *children(int(child))]
    return found


if __name__ == "__main__":
    main()
