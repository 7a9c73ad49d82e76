"""Which index a number of vectors deserves: flat or inverted, how many lists, how long codes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from photoorg.config import IndexConfig
from photoorg.errors import ConfigError

MIN_TRAIN_PER_LIST = 39
MAX_TRAIN_PER_LIST = 256
MAX_LISTS = 65_536
MIN_CODES = 64
MAX_CODES = 112
"""At 4 bits each 56 bytes a vector: with an 8-byte id, centroids and rotation below 80."""

FLAT_FACTORIES = ("SQfp16", "Flat")


@dataclass(frozen=True, slots=True)
class IndexPlan:
    """Everything a build decides before it sees a vector.

    `factory` is filled in; `nlist` and `pq` are 0 for flat kinds. `train_rows` vectors are learned
    from, `probe_rows` photos more are held out to calibrate the effort. `vectors` counts `views`
    for each photo.
    """

    kind: str
    factory: str
    dim: int
    vectors: int
    shards: int
    nlist: int
    pq: int
    rescore: Literal["sq8", "fp16"]
    rescore_factor: int
    train_rows: int
    probe_rows: int
    recall_target: float
    use_gpu: bool | Literal["auto"]
    threads: int | None
    views: int = 1

    @property
    def sample_rows(self) -> int:
        """How many photos the build draws."""
        return -(-self.train_rows // self.views) + self.probe_rows


def plan(photos: int, dim: int, config: IndexConfig, *, views: int = 1) -> IndexPlan:
    """The plan for so many photos of `views` vectors each, of `dim` dimensions.

    ConfigError if the factory cannot be filled.
    """
    n = photos * views
    flat = n < config.flat_below or config.factory in FLAT_FACTORIES
    probe_rows = min(config.recall_sample, max(1, photos // 10))
    if flat:
        factory = config.factory if config.factory in FLAT_FACTORIES else FLAT_FACTORIES[0]
        nlist = pq = train_rows = 0
    else:
        train_rows = min(config.train_sample, n - probe_rows * views)
        nlist = lists_for(n, train_rows)
        pq, width = codes_for(dim)
        factory = fill(config.factory, dim=dim, nlist=nlist, pq=pq, width=width)
        train_rows = min(train_rows, nlist * MAX_TRAIN_PER_LIST)
    return IndexPlan(
        kind="flat" if flat else "ivfpq",
        factory=factory,
        dim=dim,
        vectors=n,
        shards=config.shards,
        nlist=nlist,
        pq=pq,
        rescore=config.rescore,
        rescore_factor=config.rescore_factor,
        train_rows=train_rows,
        probe_rows=probe_rows,
        recall_target=config.recall_target,
        use_gpu=config.use_gpu,
        threads=config.threads,
        views=views,
    )


def lists_for(n: int, train_rows: int) -> int:
    """Number of inverted lists: the power of two nearest 2 sqrt(n) that the sample can train.

    Coarse search costs nlist products, scanning nprobe * n / nlist codes. FAISS allots memory for
    a list in powers of two, so short lists waste more of it: at a million vectors twice as many
    took 10 bytes more a vector, and found less. 39 training vectors a list is the least FAISS asks
    for.
    """
    wanted = 1 << round(math.log2(max(1.0, 2 * math.sqrt(n))))
    trainable = max(1, train_rows // MIN_TRAIN_PER_LIST)
    return min(wanted, 1 << int(math.log2(trainable)), MAX_LISTS)


def codes_for(dim: int) -> tuple[int, int]:
    """Number of 4-bit codes, and the width to rotate vectors to, which they divide evenly.

    Three codes for 16 dimensions, 64 to 112 in all, each for 2 to 4 of the rotated dimensions: so
    few bits are better spent on the directions that vary most, and a narrower rotated vector makes
    rotating and finding lists cheaper too. Measured in 512 dimensions at equal bytes, 4 dimensions
    a code find as much as 8 in 0.8 of the time.
    """
    codes = max(1, min(max(MIN_CODES, 3 * dim // 16), MAX_CODES, dim // 2))
    codes = codes // 8 * 8 or codes
    return codes, min(4, dim // codes) * codes


def fill(factory: str, *, dim: int, nlist: int, pq: int, width: int) -> str:
    """Put the numbers into a factory string; the rotation also projects where width < dim."""
    rotation = f"OPQ{pq}_{width}" if width < dim else f"OPQ{pq}"
    filled = factory.replace("OPQ{pq},", rotation + ",")
    if width < dim and filled == factory and "{pq}" in factory and "_" not in factory:
        filled = f"PCAR{width}," + filled
    try:
        return filled.format(nlist=nlist, pq=pq)
    except (KeyError, IndexError, ValueError):
        raise ConfigError(
            f"index.factory {factory!r} has a placeholder that is not known.",
            fix="Only {nlist} and {pq} are filled in.",
        ) from None
