"""Scenes of many photos: seconds and peak memory of each method, and what they find.

    python -m benchmarks.scenes --json [--photos 100000] [--dim 512] [--methods hdbscan kmeans ...]

Vectors as of a photo library (benchmarks/clusters.py), each method with the defaults of `scenes` in
a process of its own; memory is of the whole process less what it had before the method began, which
includes the vectors. Cohesion is the mean cosine of photos to their scene's direction. Linkage and
HDBSCAN of all pairs would hold photos^2 distances of 8 bytes: `all_pairs_gib` says how much that
were.
"""

from __future__ import annotations

import argparse
import resource
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.clusters import Clusters
from benchmarks.report import finish, print_table
from photoorg.curate.scenes import find_scenes
from photoorg.curation_config import ScenesConfig

METHODS = ("hdbscan", "kmeans", "agglomerative")
MIB = 1024.0**2


def main() -> None:
    options = _options()
    result: dict[str, Any] = {
        "photos": options.photos,
        "dim": options.dim,
        "all_pairs_gib": options.photos**2 * 8 / 1024**3,
    }
    for method in options.methods:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            found = pool.submit(_measured, method, options.photos, options.dim).result()
        result |= {f"{method}_{key}": value for key, value in found.items()}
    print_table("scenes", list(result.items()))
    finish("scenes", result)


def _measured(method: str, photos: int, dim: int) -> dict[str, float]:
    x_nd = np.concatenate(list(Clusters(dim, photos).blocks(photos, 0)))
    config = ScenesConfig(method=method, device="cpu")  # type: ignore[arg-type]
    peak = _Peak()
    started, worked = time.perf_counter(), time.process_time()
    scenes = find_scenes(x_nd, config)
    return {
        "seconds": time.perf_counter() - started,
        "processor_s": time.process_time() - worked,
        "peak_mib": peak.stop(),
        "scenes": len(scenes),
        "in_scenes": sum(len(s.rows) for s in scenes) / photos,
        "cohesion": float(np.concatenate([s.scores for s in scenes]).mean()) if scenes else 0.0,
    }


class _Peak:
    """The most memory this process has beyond what it had, looked at ten times a second."""

    def __init__(self) -> None:
        self._before = self._most = _resident()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        """MiB."""
        self._ended.set()
        self._thread.join()
        return (self._most - self._before) / MIB

    def _watch(self) -> None:
        while not self._ended.wait(0.1):
            self._most = max(self._most, _resident())


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scenes", description=__doc__)
    parser.add_argument("--json", action="store_true", help="kept for symmetry: always printed")
    parser.add_argument("--photos", type=int, default=100_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
