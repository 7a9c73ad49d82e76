"""Queries that mean nothing, to see how near they come: pictures of noise, words of no language."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from PIL import Image

from photoorg.models import Rgb

SIDE = 256
COARSE = 12
LETTERS = "bcdfghjklmnpqrstvwxz", "aeiouy"


def pictures(count: int, seed: int = 0) -> Iterator[Rgb]:
    """Upright sRGB pictures of SIDE pixels: noise, grey noise, blobs and plain colours in turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield (_noise, _grey, _blobs, _plain)[number % 4](rng)


def texts(count: int, seed: int = 0) -> list[str]:
    """One to four made-up words each, half of them unpronounceable."""
    rng = np.random.default_rng(seed)
    made = []
    for number in range(count):
        words = [_word(rng, spoken=number % 2 == 0) for _ in range(int(rng.integers(1, 5)))]
        made.append(" ".join(words))
    return made


def _noise(rng: np.random.Generator) -> Rgb:
    spread = float(rng.uniform(20, 90))
    values = rng.normal(rng.uniform(80, 176, 3), spread, (SIDE, SIDE, 3))
    return np.clip(values, 0, 255).astype(np.uint8)


def _grey(rng: np.random.Generator) -> Rgb:
    values = rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)
    return np.repeat(values, 3, axis=2)


def _blobs(rng: np.random.Generator) -> Rgb:
    coarse = rng.integers(0, 256, (COARSE, COARSE, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def _plain(rng: np.random.Generator) -> Rgb:
    return np.full((SIDE, SIDE, 3), rng.integers(0, 256, 3), np.uint8)


def _word(rng: np.random.Generator, *, spoken: bool) -> str:
    length = int(rng.integers(4, 10))
    kinds = [(n % 2 if spoken else int(rng.random() < 0.15)) for n in range(length)]
    return "".join(LETTERS[kind][rng.integers(len(LETTERS[kind]))] for kind in kinds)
