"""imagededup (PHash and CNN) as a peer, in an environment of its own.

Its environment is the folder .venv-imagededup beside pyproject.toml, made on first use: the package
alone, whose needs (torch, scikit-learn, PyWavelets) are read from the project's environment.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).resolve().parent.parent
WORKER = Path(__file__).with_name("imagededup_worker.py")
ENVIRONMENT = ROOT / ".venv-imagededup"
PACKAGE = "imagededup==0.3.3.post2"
PHASH_BITS = 10
CNN_COSINE = 0.9
INSTALL_S, RUN_S = 300, 600


@dataclass(frozen=True)
class Peer:
    """Bits [n, 64] and vectors [n, dim] by file name; None with the reason where there are none.

    `network` is the one that made the vectors; `cnn_missing` also says why it is not imagededup's.
    """

    names: list[str]
    phash: NDArray[np.uint8] | None
    phash_missing: str | None
    cnn: NDArray[np.float32] | None
    cnn_missing: str | None
    network: str = ""


def imagededup(folder: Path, scratch: Path, given: Path) -> Peer:
    """What imagededup makes of the pictures of a folder.

    Where its network cannot be downloaded it takes `given`, a MobileNetV2, if there is such a file.
    """
    python, reason = _environment()
    if python is None:
        return Peer([], None, reason, None, reason)
    out = scratch / "imagededup.npz"
    command = [python, WORKER, folder, out, *([given] if given.exists() else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_S)
    if done.returncode:
        reason = f"imagededup failed: {_last(done.stderr)}"
        return Peer([], None, reason, None, reason)
    said = json.loads(done.stdout.splitlines()[-1])
    with np.load(out) as found:
        cnn = found["cnn"] if "cnn" in found else None
        names = [str(name) for name in found["names"]]
        return Peer(names, found["phash"], None, cnn, said["cnn_missing"], said["network"])


def _environment() -> tuple[Path | None, str | None]:
    """The interpreter with imagededup, or why there is none."""
    python = ENVIRONMENT / "bin" / "python"
    ready = ENVIRONMENT / "imagededup-installed"
    if ready.exists():
        return python, None
    uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    site = ENVIRONMENT / "lib" / f"python{version}" / "site-packages"
    try:
        _run([uv, "venv", "-q", "--clear", "--python", sys.executable, str(ENVIRONMENT)])
        _run([uv, "pip", "install", "-q", "--python", str(python), "--no-deps", PACKAGE])
        (site / "project.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
        _run([str(python), "-c", "import imagededup.methods"])
    except (OSError, subprocess.SubprocessError) as error:
        detail = _last(getattr(error, "stderr", None) or str(error))
        return None, f"imagededup cannot be installed here: {detail}"
    ready.touch()
    return python, None


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_S)


def _last(text: str) -> str:
    return text.strip().splitlines()[-1][:300] if text.strip() else "no reason given"
