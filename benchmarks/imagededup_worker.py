"""imagededup over a folder: run by the peer's own interpreter, not by the project's.

Usage: python imagededup_worker.py FOLDER OUT.npz [MOBILENETV2.onnx]; prints one line of JSON. OUT
holds `names`, `phash` (bits [n, 64]) and `cnn` (vectors [n, dim]) of its own network where that can
be downloaded, else of the one given, if any.
"""

import json
import socket
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from imagededup.methods import CNN, PHash
from imagededup.utils import CustomModel
from torchvision import transforms

WAIT_S = 30


class Given:
    """A MobileNetV2 in ONNX, pixels -1..1 in, 1280 features out, as imagededup takes a model."""

    transform = transforms.Compose(
        [
            transforms.Resize((256, 256)),
            transforms.CenterCrop(224),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.5] * 3),
        ]
    )

    def __init__(self, path: str) -> None:
        self._session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def to(self, device: Any) -> "Given":
        """It stays where it is."""
        return self

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features [n, 1280] of pixels [n, 3, 224, 224]; the network takes one at a time."""
        rows = [
            self._session.run(["features"], {self._input: one[None].numpy()})[0].ravel()
            for one in pixels
        ]
        return torch.from_numpy(np.stack(rows))


def main(folder: str, out: str, given: str | None = None) -> None:
    """Hashes and vectors of every file, as imagededup makes them."""
    codes = PHash(verbose=False).encode_images(image_dir=folder)
    names = sorted(name for name, code in codes.items() if code is not None)
    bits = [[int(b) for b in f"{int(codes[name], 16):064b}"] for name in names]
    found = {"names": np.asarray(names), "phash": np.asarray(bits, np.uint8)}
    network, reason = "mobilenet_v3_small", None
    socket.setdefaulttimeout(WAIT_S)
    try:
        cnn = CNN(verbose=False)
    except Exception as error:  # whatever the download raises is the answer
        network, reason = "", f"{type(error).__name__}: {error}"
    if not network and given:
        network = "mobilenet_v2"
        cnn = CNN(False, CustomModel(network, Given(given), Given.transform))
    if network:
        vectors = cnn.encode_images(image_dir=folder)
        found["cnn"] = np.stack([np.ravel(vectors[name]) for name in names])
    np.savez(out, **found)
    said = {"version": version("imagededup"), "network": network, "cnn_missing": reason}
    sys.stdout.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main(str(Path(sys.argv[1]).resolve()), *sys.argv[2:])
