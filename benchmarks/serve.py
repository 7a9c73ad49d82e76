"""HTTP similar-search: ours against the same application under Ray Serve's defaults, and a limit.

python -m benchmarks.serve --json [--n 20000] [--clients 16] [--seconds 10] [--rounds 3] [--turns 3]
python -m benchmarks.serve --json --only ours --n 1000000      what a large library answers in time

Ours is throughput mode, HAProxy and components inside the ingress, as `photoorg serve` has them.
The defaults are four shard deployments of five requests at once, the Python proxy and default mode;
only the ingress keeps its larger queue, which favours them. The limit is a single
process of FastAPI and FAISS that looks nothing up. Neighbours are not remembered on any side: every
request is a search. The load generator runs on the same cores.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np
import psutil
import pyarrow as pa
import yaml

from benchmarks.clusters import Clusters
from benchmarks.report import finish, print_table
from photoorg import schema
from photoorg.config import PhotoOrgConfig, parse
from photoorg.index.build import build_local
from photoorg.index.manifest import IndexManifest
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, indexes, photos, spaces
from photoorg.store.embedded import embedded

DIM, SHARDS, TOP_K = 512, 4, 20
PART = 20_000
TENANT = "default"
SPACE = EmbeddingSpace("synthetic", "none", "none", "1", "none", DIM)
OURS: dict[str, Any] = {}
DEFAULTS = {
    "throughput_mode": False,
    "haproxy": False,
    "shard": {
        "placement": "deployment",
        "max_ongoing_requests": 5,
        "max_queued_requests": 1_000_000,
    },
}


def rows(ids: list[str], part: int) -> pa.Table:
    """Photos with every signal that ranking uses: hashes, quality, time and place."""
    rng = np.random.default_rng([11, part])
    start = datetime(2024, 1, 1, tzinfo=UTC).timestamp()
    table = []
    for photo_id in ids:
        pdq = rng.bytes(32)
        row = dict.fromkeys(schema.PHOTOS.names)
        row |= {
            "uri": f"file:///photos/{photo_id[:16]}.jpg",
            "etag": "1-1",
            "photo_id": photo_id,
            "mime": "image/jpeg",
            "size": 3_000_000,
            "width": 4032,
            "height": 3024,
            "frames": 1,
            "decoder": "none",
            "status": "ready",
            "captured_at": datetime.fromtimestamp(start + rng.uniform(0, 3e7), UTC),
            "captured_source": "offset_original",
            "latitude": 48 + rng.normal(),
            "longitude": 11 + rng.normal(),
            "orientation": 1,
            "pdq": pdq,
            "pdq_quality": 90,
            "phash": pdq[:8],
            "dhash": pdq[8:16],
            "ahash": pdq[16:24],
            **dict.fromkeys(("sharpness", "exposure", "contrast", "resolution"), 0.5),
            "quality": float(rng.uniform()),
            "has_thumbnail": False,
            "failures": [],
        }
        table.append(row)
    return pa.Table.from_pylist(table, schema=schema.with_version(schema.PHOTOS))


def library(root: Path, url: str, n: int) -> tuple[list[str], IndexManifest]:
    """A catalog and an active index of n photos; their ids and what is known of the index."""
    config = settings(root, url, {})
    ids = [hashlib.sha256(f"photo {number}".encode()).hexdigest() for number in range(n)]
    location = f"{TENANT}/indexes/{SPACE.id}/v1"
    folder = root / "store" / location
    if (root / f"{n}.made").exists():
        return ids, IndexManifest.read(folder)
    manifest = build_local(blocks(ids), folder, SPACE, config.index, version="v1")
    now = datetime.now(UTC)
    version = IndexVersion(TENANT, SPACE.id, "v1", "shadow", location, n, SHARDS, now)
    rejects = pa.Table.from_pylist([], schema=schema.with_version(schema.REJECTS))
    with Catalog(url, config.database) as catalog:
        catalog.migrate()
        for part, start in enumerate(range(0, n, PART)):
            with catalog.tenant(TENANT) as tx:
                photos.copy_part(tx, "bench", part, rows(ids[start : start + PART], part), rejects)
        with catalog.tenant(TENANT) as tx:
            spaces.register(tx, SPACE)
            spaces.set_default(tx, SPACE.id, "image")
            indexes.create(tx, version, 0)
            indexes.activate(tx, SPACE.id, "v1")
    (root / f"{n}.made").touch()
    print(
        f"{n} photos, index {manifest.kind} {manifest.factory}, recall@10 "
        f"{manifest.recall_at_10:.3f}",
        file=sys.stderr,
    )
    return ids, manifest


def blocks(ids: list[str]) -> Iterator[tuple[list[str], np.ndarray]]:
    """The photos' ids and their vectors, a part at a time."""
    start = 0
    for x_nd in Clusters(DIM, len(ids), seed=7).blocks(len(ids), 0):
        yield ids[start : start + len(x_nd)], x_nd
        start += len(x_nd)


def settings(root: Path, url: str, serve: dict[str, Any]) -> PhotoOrgConfig:
    """The configuration of one side; written to a file for its server."""
    data = {
        "storage": {"root": str(root / "store")},
        "database": {"url": url},
        "encoder": {"space": "builtin"},
        "index": {"shards": SHARDS},
        "search": {"cached_neighbours": 0},
        "serve": {"port": 0, **serve},
    }
    (root / "config.yaml").write_text(yaml.safe_dump(data))
    return parse(data)


@contextmanager
def serving(root: Path, url: str, serve: dict[str, Any]) -> Iterator[str]:
    """`python -m serve.run` with these serve settings; the URL it answers at."""
    settings(root, url, serve)
    env = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "PHOTOORG_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "serve.run", str(root / "config.yaml")],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("photoorg answers at "):
            raise SystemExit(f"the server did not start with {serve}")
        yield line.split()[3]
        process.send_signal(signal.SIGTERM)
        process.wait(120)
    finally:
        _end(process)


@contextmanager
def bare(vectors_file: Path) -> Iterator[str]:
    """The limit's URL."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "benchmarks.bare_server", str(vectors_file), str(port)]
    process = subprocess.Popen(command)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        _end(process)


def _end(process: subprocess.Popen[str]) -> None:
    """Nothing of it may go on using the cores."""
    if process.poll() is not None:
        return
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.kill()
    psutil.wait_procs(family, timeout=60)
    process.wait(60)


def measure(url: str, paths: Path, args: argparse.Namespace) -> dict[str, float]:
    """Median round by requests a second, after a warm-up; errors of all rounds."""
    first = paths.read_text().splitlines()[0]
    deadline = time.monotonic() + 120
    while True:
        try:
            if httpx.get(url + first, timeout=30, trust_env=False).status_code == 200:
                break
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise SystemExit(f"{url} does not answer")
        time.sleep(0.2)
    load(url, paths, args.clients, max(3.0, args.seconds / 2))
    return _middle([load(url, paths, args.clients, args.seconds) for _ in range(args.rounds)])


def _middle(rounds: list[dict[str, float]]) -> dict[str, float]:
    """The median by requests a second, with the errors of all."""
    middle = sorted(rounds, key=lambda r: r["rps"])[len(rounds) // 2]
    return {**middle, "errors": sum(r["errors"] for r in rounds)}


def load(url: str, paths: Path, clients: int, seconds: float) -> dict[str, float]:
    """One run of the load generator in its own process."""
    command = ["benchmarks.load", url, str(paths), str(clients), str(seconds)]
    done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


def main() -> None:
    """Measure and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, default=20_000, help="photos of 512 dimensions")
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=3, help="all sides one after the other")
    parser.add_argument("--only", choices=["ours", "defaults", "limit"], help="one side alone")
    parser.add_argument("--folder", help="keep the library here, for the next run of equal --n")
    args = parser.parse_args()
    found: dict[str, list[dict[str, float]]] = defaultdict(list)
    with ExitStack() as stack:
        temporary = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        root = Path(args.folder or stack.enter_context(temporary))
        root.mkdir(exist_ok=True)
        root.chmod(0o755)
        with embedded(root / "postgres") as url:
            ids, manifest = library(root, url, args.n)
            paths = root / "paths"
            order = np.random.default_rng(3).permutation(len(ids))
            lines = [f"/v1/photos/{ids[i]}/similar?top_k={TOP_K}" for i in order]
            paths.write_text("\n".join(lines))
            if args.only in (None, "limit"):
                np.save(root / "vectors.npy", np.concatenate([x_nd for _, x_nd in blocks(ids)]))
                (root / "vectors.ids").write_text("\n".join(ids))
            sides = {
                "limit": lambda: bare(root / "vectors.npy"),
                "ours": lambda: serving(root, url, OURS),
                "defaults": lambda: serving(root, url, DEFAULTS),
            }
            for turn in range(args.turns):
                for side, start in sides.items():
                    if args.only in (None, side):
                        with start() as address:
                            found[side].append(measure(address, paths, args))
                        print(turn, side, found[side][-1], file=sys.stderr)
    middle = {side: _middle(turns) for side, turns in found.items()}
    result: dict[str, Any] = middle[args.only] if args.only else compared(middle)
    if args.only is None:
        # Of one turn: the machine's speed changes in the minutes between two.
        turns = zip(found["ours"], found["defaults"], strict=True)
        ratios = [ours["rps"] / defaults["rps"] for ours, defaults in turns]
        result |= {"rps_over_ray_defaults": median(ratios), "ratios_by_turn": sorted(ratios)}
    result |= {
        "clients": args.clients,
        "n": args.n,
        "dim": DIM,
        "shards": SHARDS,
        "top_k": TOP_K,
        "space": SPACE.id,
        "index": manifest.factory,
        "index_recall_at_10": manifest.recall_at_10,
    }
    print_table("serve", list(result.items()))
    finish("serve", result)


def compared(found: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Ours beside the defaults and the limit, the middle turn of each."""
    ours, defaults, limit = found["ours"], found["defaults"], found["limit"]
    return {
        "rps": ours["rps"],
        "p50_ms": ours["p50_ms"],
        "p95_ms": ours["p95_ms"],
        "p99_ms": ours["p99_ms"],
        "errors": int(ours["errors"]),
        "ray_defaults_rps": defaults["rps"],
        "ray_defaults_p95_ms": defaults["p95_ms"],
        "ray_defaults_errors": int(defaults["errors"]),
        "limit_rps": limit["rps"],
        "limit_p95_ms": limit["p95_ms"],
        "rps_over_limit": ours["rps"] / limit["rps"],
    }


if __name__ == "__main__":
    main()
