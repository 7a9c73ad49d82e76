"""Small real pictures made on the spot, each different from the others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image


def picture(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """A smooth coloured picture with edges, decided by its seed."""
    rng = np.random.default_rng(seed)
    grid = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
    return grid.resize((width, height), Image.Resampling.BICUBIC)


def jpeg(seed: int, width: int = 160, height: int = 120) -> bytes:
    """The picture as JPEG bytes."""
    buffer = io.BytesIO()
    picture(seed, width, height).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def library(folder: Path, photos: int, *, duplicates: int = 0, broken: int = 0) -> Path:
    """A folder of distinct JPEGs, copies of the first ones, and files that are no photos."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(photos):
        (folder / f"photo-{number:04d}.jpg").write_bytes(jpeg(number))
    for number in range(duplicates):
        (folder / f"copy-{number:04d}.jpg").write_bytes(jpeg(number))
    for number in range(broken):
        content = [b"", b"not a photo", jpeg(1)[:300]][number % 3]
        (folder / f"broken-{number:04d}.jpg").write_bytes(content)
    return folder
