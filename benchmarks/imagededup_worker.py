"""imagededup over a folder: run by the peer's own interpreter, not by the project's.

Usage: python imagededup_worker.py FOLDER OUT.npz; prints one line of JSON. OUT holds `names`,
`phash` (bits [n, 64]) and, where the network's weights can be had, `cnn` (vectors [n, dim]).
"""

import json
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from imagededup.methods import CNN, PHash

WAIT_S = 30


def main(folder: str, out: str) -> None:
    """Hashes and vectors of every file, as imagededup makes them."""
    codes = PHash(verbose=False).encode_images(image_dir=folder)
    names = sorted(name for name, code in codes.items() if code is not None)
    bits = [[int(b) for b in f"{int(codes[name], 16):064b}"] for name in names]
    found = {"names": np.asarray(names), "phash": np.asarray(bits, np.uint8)}
    reason = None
    socket.setdefaulttimeout(WAIT_S)
    try:
        vectors = CNN(verbose=False).encode_images(image_dir=folder)
        found["cnn"] = np.stack([np.ravel(vectors[name]) for name in names])
    except Exception as error:  # whatever the download or the network raises is the answer
        reason = f"{type(error).__name__}: {error}"
    np.savez(out, **found)
    sys.stdout.write(json.dumps({"version": version("imagededup"), "cnn_missing": reason}) + "\n")


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()), sys.argv[2])
