"""Photos and vectors made up for index tests."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from photoorg.space import EmbeddingSpace


def space(dim: int, name: str = "fake") -> EmbeddingSpace:
    return EmbeddingSpace(name, "fake", "none", "1", name, dim)


def photo_id(name: object) -> str:
    return hashlib.sha256(str(name).encode()).hexdigest()


def keys(n: int, prefix: str = "photo") -> NDArray[np.uint8]:
    raw = b"".join(hashlib.sha256(f"{prefix}{i}".encode()).digest() for i in range(n))
    return np.frombuffer(raw, np.uint8).reshape(n, 32)


def clustered(n: int, dim: int, seed: int = 0, noise: float = 0.5) -> NDArray[np.float32]:
    """Unit vectors around 50 centers that are the same for every seed; float16 can hold them."""
    rng = np.random.default_rng(seed)
    centers = np.random.default_rng(99).standard_normal((50, dim))
    x = centers[rng.integers(0, 50, n)] + noise * rng.standard_normal((n, dim))
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return x.astype(np.float16).astype(np.float32)
