"""Side by side at equal recall: photoorg, hnswlib, pgvector, lancedb, milvus-lite, qdrant-client.

python -m benchmarks.peers --json [--n 50000] [--dim 512] [--target 0.95]

All hold the vectors of benchmarks.search and answer the same queries, one a call and by one thread
(databases may use more), by turns, so that other load on the machine meets all alike. Each is swept
over its own knob (photoorg: lists scanned and candidates re-scored; HNSW: ef; IVF: nprobe) and
compared at its fastest setting that reaches the target recall@10. Memory per vector is told with
what it counts, as the peers differ in that. Databases that are not among this project's packages go
into an environment of their own, .venv-peers beside pyproject.toml, made by uv on first use; one
that cannot be had there is null with the reason. A figure of recall against queries/s is written to
--figure.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import search_peers
from benchmarks.report import ROOT, finish, print_table
from benchmarks.search import _data, _ours_opened
from benchmarks.search_peers import K, Matrix, recall
from photoorg.config import IndexConfig
from photoorg.index.faiss_io import library, use_threads

ENVIRONMENT = ROOT / ".venv-peers"
PACKAGES = {
    "lancedb": ["lancedb"],
    "milvus-lite": ["pymilvus", "milvus-lite", "setuptools<81"],
    "qdrant-client": ["qdrant-client"],
}
EFFORTS = (1, 2, 4, 8, 16, 32, 64)
FACTORS = (2, 5, 10, 20, 40)
EFS = (10, 20, 40, 80, 160, 320)
INSTALL_S, BUILD_S = 300, 900
Ask = Callable[[Any], tuple[NDArray[np.int64], float]]


@dataclass
class Contender:
    """Something that answers all queries at a setting: ids [n, k] and seconds."""

    name: str
    settings: list[Any]
    ask: Ask
    build_s: float
    memory: float
    memory_is: str
    recalls: dict[Any, float] = field(default_factory=dict)
    seconds: dict[Any, list[float]] = field(default_factory=dict)

    def curve(self, queries: int) -> list[dict[str, Any]]:
        """Recall and queries/s of every setting."""
        return [
            {
                "setting": setting,
                "recall_at_10": round(self.recalls[setting], 4),
                "qps": round(queries / float(np.median(self.seconds[setting])), 1),
            }
            for setting in self.settings
        ]


class Missing(Exception):
    """A peer that cannot be had here, and why."""


def main() -> None:
    options = _options()
    library()
    use_threads(1)
    keys, x, queries = _data(options, options.n)
    exact = search_peers.exact(search_peers.flat(x), 2)
    truth = exact.search(queries)
    missing: dict[str, str] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=options.folder)))
        np.save(folder / "x.npy", x)
        np.save(folder / "queries.npy", queries)
        makers: dict[str, Callable[[], Contender]] = {
            "photoorg": lambda: photoorg(keys, x, queries, folder),
            "hnswlib": lambda: hnswlib(x, queries, folder),
            "pgvector": lambda: stack.enter_context(pgvector(x, queries, folder)),
        }
        for name in PACKAGES:
            makers[name] = lambda name=name: stack.enter_context(apart(name, folder))
        contenders: dict[str, Contender] = {}
        for name in [n for n in makers if not options.only or n in options.only.split(",")]:
            print(f"building {name}", file=sys.stderr)
            try:
                contenders[name] = makers[name]()
            except (Missing, ImportError, OSError, subprocess.SubprocessError) as error:
                missing[name] = str(error)
                print(f"{name} is left out: {error}", file=sys.stderr)
        missing |= measure(contenders, truth, options.rounds)
    result = report(contenders, missing, len(queries), options.target)
    if options.figure:
        draw(result["peers"], Path(options.figure), options)
    finish("peers", {**result, "n": options.n, "dim": options.dim, "queries": len(queries)})


def measure(
    contenders: dict[str, Contender], truth: NDArray[np.int64], rounds: int
) -> dict[str, str]:
    """Every setting of every contender, by turns; those that stop are taken out, with why."""
    stopped: dict[str, str] = {}
    for turn in range(rounds):
        for name, contender in list(contenders.items()):
            try:
                for setting in contender.settings:
                    found, seconds = contender.ask(setting)
                    contender.seconds.setdefault(setting, []).append(seconds)
                    if not turn:
                        contender.recalls[setting] = recall(found, truth)
            except Missing as error:
                stopped[name] = str(error)
                del contenders[name]
    return stopped


def report(
    contenders: dict[str, Contender], missing: dict[str, str], queries: int, target: float
) -> dict[str, Any]:
    """Each at its fastest setting that reaches the target, and its whole curve."""
    peers: dict[str, Any] = dict.fromkeys(missing)
    for key, contender in contenders.items():
        curve = contender.curve(queries)
        good = [point for point in curve if point["recall_at_10"] >= target]
        best = max(good, key=lambda p: float(p["qps"])) if good else None
        peers[key] = {
            "name": contender.name,
            "at_target": best,
            "build_s": round(contender.build_s, 1),
            "bytes_per_vector": round(contender.memory, 1),
            "memory_is": contender.memory_is,
            "curve": curve,
        }
    rows = []
    for key, peer in peers.items():
        if peer is None:
            rows.append((key, f"not here: {missing[key]}"))
            continue
        best = peer["at_target"]
        speed = (
            f"{best['qps']:>9,.0f} queries/s at recall {best['recall_at_10']:.3f} "
            f"({best['setting']})"
            if best
            else f"never reaches recall {target}"
        )
        memory = f"{peer['bytes_per_vector']:,.0f} bytes a vector"
        rows.append((peer["name"], f"{speed}, built in {peer['build_s']} s, {memory}"))
    print_table(f"peers at recall@10 >= {target}", rows)
    ours = (peers.get("photoorg") or {}).get("at_target")
    over = {
        key: round(ours["qps"] / peer["at_target"]["qps"], 2)
        for key, peer in peers.items()
        if ours and peer and peer["at_target"] and key != "photoorg"
    }
    return {"target_recall": target, "qps_over": over, "peers": peers, "missing": missing}


def one_by_one(
    search: Callable[[Matrix], NDArray[np.int64]], queries: Matrix
) -> tuple[NDArray[np.int64], float]:
    """All queries, one a call: what was found [n, k], -1 padding, and seconds."""
    started = time.perf_counter()
    found = [search(queries[i : i + 1]) for i in range(len(queries))]
    seconds = time.perf_counter() - started
    return np.concatenate(found), seconds


def photoorg(keys: Any, x: Matrix, queries: Matrix, folder: Path) -> Contender:
    """One shard with one thread, over lists scanned and candidates re-scored."""
    (folder / "ours").mkdir()
    config = IndexConfig(shards=1, threads=2)
    manifest, shards, places, seconds = _ours_opened(keys, x, folder / "ours", config, 1)
    (shard,), (place,) = shards, places
    place = np.append(place, -1)

    def ask(setting: tuple[int, int]) -> tuple[NDArray[np.int64], float]:
        effort, factor = setting

        def search(q: Matrix) -> NDArray[np.int64]:
            return place[shard.search(q, K, effort=effort, rescore_factor=factor)[1]]

        return one_by_one(search, queries)

    ivf = manifest.kind != "flat"
    settings = [(e, f) for f in FACTORS for e in EFFORTS] if ivf else [(1, 1)]
    memory = shard.memory_bytes() / len(x)
    what = "codes, ids, centroids, rotation; re-score vectors are mapped from disk"
    return Contender(f"photoorg {manifest.factory}", settings, ask, seconds, memory, what)


def hnswlib(x: Matrix, queries: Matrix, folder: Path) -> Contender:
    """M=16 and ef_construction=200, built with two threads and asked with one."""
    import hnswlib as peer

    index = peer.Index(space="ip", dim=x.shape[1])
    index.init_index(max_elements=len(x), M=16, ef_construction=200, random_seed=0)
    started = time.perf_counter()
    index.add_items(x, num_threads=2)
    seconds = time.perf_counter() - started
    index.save_index(str(folder / "hnsw"))
    size = (folder / "hnsw").stat().st_size / len(x)

    def ask(ef: int) -> tuple[NDArray[np.int64], float]:
        index.set_ef(ef)
        return one_by_one(
            lambda q: np.asarray(index.knn_query(q, K, num_threads=1)[0], np.int64), queries
        )

    what = "the index as saved, all of it held in memory"
    return Contender("hnswlib M=16", list(EFS), ask, seconds, size, what)


@contextmanager
def pgvector(x: Matrix, queries: Matrix, folder: Path) -> Iterator[Contender]:
    """HNSW with its defaults in embedded PostgreSQL, over one connection."""
    import psycopg

    from photoorg.store.embedded import embedded

    (folder / "database").mkdir()
    with embedded(folder / "database") as url, psycopg.connect(url, autocommit=True) as database:
        has = database.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'")
        if has.fetchone() is None:
            raise Missing("The embedded PostgreSQL has no pgvector.")
        filled = search_peers.fill_pgvector(database, x)

        def ask(ef: int) -> tuple[NDArray[np.int64], float]:
            database.execute(f"SET hnsw.ef_search = {int(ef)}".encode())
            return one_by_one(lambda q: search_peers.ask_pgvector(database, q), queries)

        what = "the index in the database's files and its cache"
        yield Contender("pgvector HNSW m=16", list(EFS), ask, filled[0], filled[1], what)


@contextmanager
def apart(name: str, folder: Path) -> Iterator[Contender]:
    """A database in its own environment and process; Missing if it cannot be had."""
    python = environment(name)
    command = [str(python), str(ROOT / "benchmarks" / "peers_apart.py"), name, str(folder)]
    # Nothing of this project's environment, nor of its path, belongs in there.
    env = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    log = folder / f"{name}.log"
    with log.open("w+") as errors:
        done = subprocess.run(
            [*command, "build"], env=env, stdout=subprocess.PIPE, stderr=errors, timeout=BUILD_S
        )
        if done.returncode:
            raise Missing(f"{name} could not build: {_last(log)}")
        built = json.loads(done.stdout)["build_s"]
        with subprocess.Popen(
            [*command, "answer"],
            env=env,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
        ) as process:
            assert process.stdin is not None and process.stdout is not None
            pipes = process.stdin, process.stdout

            def read() -> Any:
                line = pipes[1].readline()
                if not line:
                    raise Missing(f"{name} stopped: {_last(log)}")
                return json.loads(line)

            def ask(setting: Any) -> tuple[NDArray[np.int64], float]:
                pipes[0].write(f"{setting}\n")
                pipes[0].flush()
                told = read()
                return np.array(told["ids"], np.int64), float(told["seconds"])

            try:
                told = read()
                memory = told["memory"] / len(np.load(folder / "x.npy", mmap_mode="r"))
                # What holds its points in memory alone is filled when it is opened.
                seconds = max(built, told["open_s"])
                yield Contender(
                    told["name"], told["settings"], ask, seconds, memory, told["memory_is"]
                )
            finally:
                process.stdin.close()
                process.terminate()


def environment(name: str) -> Path:
    """The interpreter of a folder with one database installed; Missing says why there is none."""
    home = ENVIRONMENT / name
    python, ready = home / "bin" / "python", home / "installed"
    if ready.exists():
        return python
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    packages = ["numpy", *PACKAGES[name]]
    for command in (
        [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(home)],
        [uv, "pip", "install", "--quiet", "--python", str(python), *packages],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise Missing(f"{name} could not be installed: {error}") from error
        if done.returncode:
            raise Missing(f"{name} could not be installed: {done.stderr.strip()[-300:]}")
    ready.touch()
    return python


def draw(peers: dict[str, Any], path: Path, options: argparse.Namespace) -> None:
    """Recall against queries/s; of photoorg one line for each number of candidates."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 6))
    for key, peer in peers.items():
        if peer is None:
            continue
        lines: dict[str, list[tuple[float, float]]] = {}
        for point in peer["curve"]:
            setting, label = point["setting"], peer["name"]
            if key == "photoorg" and isinstance(setting, tuple):
                label = f"photoorg, k_factor {setting[1]} (nprobe 1 to {EFFORTS[-1]})"
            lines.setdefault(label, []).append((point["recall_at_10"], point["qps"]))
        for label, points in lines.items():
            style = "-o" if key == "photoorg" else "--s"
            axes.plot(*zip(*points, strict=True), style, markersize=4, label=label)
    axes.axvline(options.target, color="grey", linewidth=0.8)
    axes.set(yscale="log", xlabel="recall@10", ylabel="queries/s, one a call")
    axes.set_title(f"{options.n:,} vectors of {options.dim} dimensions")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)


def _last(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace").strip()[-300:]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", type=float, default=0.95)
    parser.add_argument("--only", help="some of the names, with commas")
    parser.add_argument("--folder", help="where temporary files go")
    parser.add_argument(
        "--figure", default=str(ROOT / "benchmarks" / "results" / "peers.png"), metavar="PNG"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
