"""How a benchmark reports: a short table, and one JSON line with what it ran on."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def print_table(title: str, rows: Sequence[tuple[str, Any]]) -> None:
    """Two aligned columns under a title."""
    width = max(len(name) for name, _ in rows)
    print(f"{title}\n{'-' * len(title)}")
    for name, value in rows:
        print(
            f"{name:<{width}}  {value:.3f}"
            if isinstance(value, float)
            else f"{name:<{width}}  {value}"
        )


def finish(name: str, result: Mapping[str, Any]) -> None:
    """Print the JSON line: the result with benchmark name, commit and hardware."""
    rounded = {k: round(v, 4) if isinstance(v, float) else v for k, v in result.items()}
    print(json.dumps({"benchmark": name, **rounded, "commit": commit(), "hardware": hardware()}))


def commit() -> str:
    """The short hash of HEAD, or `unknown` outside a checkout."""
    found = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip() or "unknown"


def hardware() -> str:
    """Processor, cores and memory in one line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line for line in cpuinfo.read_text().splitlines() if line.startswith("model name")]
        model = names[0].split(":", 1)[1].strip() if names else model
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB"
