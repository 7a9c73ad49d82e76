"""Synthetic photographs for benchmarks: seeded, of any size, each file with bytes of its own."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

BASES = 24


def photograph(seed: int, width: int, height: int, *, grain: float = 0.02) -> Image.Image:
    """A picture with the statistics of a photo: 1/f texture and `grain` (noise, of 0..1)."""
    rng = np.random.default_rng(seed)
    layers = np.zeros((height, width, 3), np.float32)
    for octave in range(2, 9):
        cells = 2**octave
        grid = rng.normal(0, 1, (cells * height // width + 1, cells, 3)).astype(np.float32)
        for channel in range(3):
            plane = Image.fromarray(grid[..., channel]).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            layers[..., channel] += np.asarray(plane) / cells**0.7
    noise = rng.normal(0, 1, (height, width, 1)).astype(np.float32)
    layers = 0.5 + 0.55 * layers + grain * noise
    return Image.fromarray((np.clip(layers, 0, 1) * 255).astype(np.uint8))


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    """The picture as a baseline JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def with_comment(data: bytes, text: str) -> bytes:
    """The same JPEG with a comment segment, so that its sha256 is its own."""
    body = text.encode()
    return data[:2] + b"\xff\xfe" + (len(body) + 2).to_bytes(2, "big") + body + data[2:]


def folder(path: Path, count: int, *, width: int = 1632, height: int = 1224) -> Path:
    """Write `count` distinct JPEGs (2 megapixels by default) and return the folder."""
    path.mkdir(parents=True, exist_ok=True)
    bases = [jpeg(photograph(seed, width, height)) for seed in range(min(BASES, count))]
    for number in range(count):
        data = with_comment(bases[number % len(bases)], f"photo {number}")
        (path / f"{number:06d}.jpg").write_bytes(data)
    return path
