"""Ingest against its limits: a bare loop of the same work, whole Pillow decoding, flat memory.

python -m benchmarks.ingest --json [--n 12000] [--memory-n 1000]

The space is the one PHOTOORG_ENCODER__SPACE names (builtin where it names none). Both sides start
their processes inside the measured time; a job starts PostgreSQL, Ray and its actors (some 12 s on
two cores), which weighs less the more photos there are: the default is a small library.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.photos import folder, jpeg, photograph
from benchmarks.report import finish, print_table
from photoorg.config import ImagingConfig
from photoorg.imaging.guard import GuardedDecoder

TWELVE = (4032, 3024)


def run(
    command: list[str], environment: dict[str, str], *, peak: list[int] | None = None
) -> dict[str, float]:
    """Run a command; its last line as JSON.

    `peak` receives the peak memory of its process tree in bytes. Looking costs the cores several
    percent with Ray's many processes, so it is left out where speed is measured.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    if peak is not None:
        threading.Thread(target=_watch, args=(process.pid, peak), daemon=True).start()
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    return dict(json.loads(output.splitlines()[-1]))


def _watch(pid: int, peak: list[int]) -> None:
    try:
        root = psutil.Process(pid)
        while root.is_running() and root.status() != psutil.STATUS_ZOMBIE:
            peak[0] = max(peak[0], sum(_pss(p) for p in [root, *root.children(recursive=True)]))
            time.sleep(0.5)
    except psutil.NoSuchProcess:
        return


def _pss(process: psutil.Process) -> int:
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def ingest(
    photos: Path, storage: Path, stages: str, peak: list[int] | None = None
) -> dict[str, float]:
    """One `photoorg ingest` into a fresh store and catalog."""
    environment = {
        "PHOTOORG_STORAGE__ROOT": str(storage),
        "PHOTOORG_INGEST__STAGES": stages,
        "PHOTOORG_ENCODER__SPACE": os.environ.get("PHOTOORG_ENCODER__SPACE", "builtin"),
    }
    return run(["photoorg.cli", "ingest", str(photos), "--json"], environment, peak=peak)


def decode_speedup(grain: float, repeats: int = 15) -> dict[str, float]:
    """Whole Pillow to an RGB array against our scaled decode of a 12-megapixel JPEG.

    Both end in an array, as every stage needs one. How much scaling saves depends on the grain: the
    entropy-coded data must be read whole either way. The two take turns, and medians count, so that
    both meet the same machine.
    """
    data = jpeg(photograph(1, *TWELVE, grain=grain))
    decoder = GuardedDecoder(ImagingConfig())
    short_side = ImagingConfig().short_side
    wholes, scaleds = [], []
    for _ in range(repeats):
        wholes.append(_ms(lambda: np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))))
        scaleds.append(_ms(lambda: decoder.decode(data, short_side=short_side)))
    whole, scaled = statistics.median(wholes), statistics.median(scaleds)
    return {
        "ratio": whole / scaled,
        "pillow_ms": whole,
        "scaled_ms": scaled,
        "megabytes": len(data) / 1e6,
    }


def _ms(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return (time.perf_counter() - started) * 1000


def main() -> None:
    """Measure and print the table and the JSON line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--n", type=int, default=12_000, help="photos of 2 megapixels")
    parser.add_argument("--memory-n", type=int, default=1000, help="photos of the small memory run")
    args = parser.parse_args()
    os.environ.setdefault("PHOTOORG_ENCODER__SPACE", "builtin")
    work = '["hash", "embed"]'
    everything = '["exif", "hash", "quality", "thumbnail", "embed"]'
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        photos = folder(root / "photos", args.n)
        bare = run(["benchmarks.bare_loop", str(photos), str(os.cpu_count() or 2)], {})
        ours = ingest(photos, root / "ours", work)
        few = folder(root / "few", args.memory_n)
        small, large = [0], [0]
        ingest(few, root / "small", everything, small)
        many = folder(root / "many", args.memory_n * 10)
        full = ingest(many, root / "large", everything, large)
    smooth, grainy = decode_speedup(0.0), decode_speedup(0.02)
    result = {
        "pipeline_over_bare_loop": ours["images_per_second"] / bare["images_per_second"],
        "images_per_second": ours["images_per_second"],
        "bare_images_per_second": bare["images_per_second"],
        "all_stages_images_per_second": full["images_per_second"],
        "decode_speedup_12mp": smooth["ratio"],
        "decode_speedup_12mp_grainy": grainy["ratio"],
        "decode_12mp": {"smooth": smooth, "grainy": grainy},
        "peak_memory_ratio_10x": large[0] / small[0],
        "peak_memory_mb": large[0] / 1e6,
        "n": args.n,
        "memory_n": args.memory_n,
        "space": ours["space"],
    }
    print_table("ingest", [(key, value) for key, value in result.items()])
    finish("ingest", result)


if __name__ == "__main__":
    main()
