"""Photos that show the same thing in some part, by votes of their local features.

A crop, or a picture under letters or in a frame, is near its original neither by hash nor by
embedding; its local features are. Every feature votes for the photos that hold its nearest ones
where these are clearly nearer than the next (Jégou, Douze, Schmid, "Hamming embedding and weak
geometric consistency", 2008, without the geometry: the pictures are laid over each other later).
Mirrored features vote too, and turns do not matter.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.local_features import LocalFeatures, mirrored, roots

Rows = NDArray[np.int32]
Features = Callable[[int], LocalFeatures | None]
STRONGEST = 72
"""Features of a photo that are kept: two of every cell of the grid, 9 kB."""
DIM = 32
NEAREST = 5
CLEAR = 0.75
"""Share of the squared distance of the next one that a vote must be within."""
LEAST_VOTES = 2.0
PARTNERS = 8
"""So many photos with most votes become candidates of each."""
BLOCK = 64
FEW = 5_000
"""So few features are compared directly."""
TRAINED = 40
PROBES = 8
ROUNDS = 6


@dataclass(frozen=True, slots=True)
class Shared:
    """Pairs first < second [n] of rows, each once, most votes first; `asked` are the rows [m] that
    have features enough to be found.
    """

    first: Rows
    second: Rows
    asked: Rows


def shared_parts(rows: Rows, features: Features, *, telling: int, threads: int) -> Shared:
    """Pairs of photos among `rows` that share parts; photos with fewer than `telling` features
    neither vote nor are voted for.

    Memory: 9 kB a photo and an index of a third of that.
    """
    kept: list[NDArray[np.uint8]] = []
    asked: list[int] = []

    def strongest(row: int) -> NDArray[np.uint8] | None:
        found = features(row)
        if found is None or len(found) < telling:
            return None
        return found.descriptors_nd[:STRONGEST].copy()

    with ThreadPoolExecutor(threads, thread_name_prefix="features") as pool:
        for row, descriptors in zip(rows.tolist(), pool.map(strongest, rows.tolist()), strict=True):
            if descriptors is not None:
                asked.append(row)
                kept.append(descriptors)
    names = np.asarray(asked, np.int32)
    if len(kept) < 2:
        none = np.zeros(0, np.int32)
        return Shared(none, none, names)
    index = _index(kept)
    owner = np.repeat(np.arange(len(kept)), [len(k) for k in kept])
    found: dict[tuple[int, int], float] = {}
    for start in range(0, len(kept), BLOCK):
        for pair, votes in _voted(index, owner, kept, start):
            found[pair] = max(found.get(pair, 0.0), votes)
    pairs = sorted(found, key=lambda pair: (-found[pair], pair))
    first, second = np.asarray(pairs, np.int64).reshape(-1, 2).T
    a, b = names[first], names[second]
    return Shared(np.minimum(a, b), np.maximum(a, b), names)


def _voted(
    index: Any, owner: NDArray[np.int64], kept: list[NDArray[np.uint8]], start: int
) -> list[tuple[tuple[int, int], float]]:
    """Pairs of a block of photos with those they vote for, and the votes."""
    block = kept[start : start + BLOCK]
    one = np.repeat(np.arange(start, start + len(block)), [len(k) for k in block])
    descriptors = np.concatenate(block)
    votes: dict[tuple[int, int], float] = {}
    for side in (descriptors, mirrored(descriptors)):
        distances, rows = index.search(roots(side), NEAREST + 1)
        limit = np.maximum(distances[:, -1:], 1e-9)
        share = distances[:, :-1] / limit
        to = owner[rows[:, :-1]]
        good = (rows[:, :-1] >= 0) & (rows[:, -1:] >= 0) & (share < CLEAR) & (to != one[:, None])
        for n in range(1, NEAREST):  # a feature votes once for a photo
            good[:, n] &= ~(good[:, :n] & (to[:, :n] == to[:, n : n + 1])).any(axis=1)
        codes = (np.broadcast_to(one[:, None], to.shape)[good]) * len(kept) + to[good]
        pairs, place = np.unique(codes, return_inverse=True)
        weights = np.bincount(place, weights=1 - share[good], minlength=len(pairs))
        for code, weight in zip(pairs.tolist(), weights.tolist(), strict=True):
            pair = divmod(code, len(kept))
            votes[pair] = max(votes.get(pair, 0.0), weight)
    best: dict[int, list[tuple[float, int]]] = {}
    for (photo, other), weight in votes.items():
        if weight >= LEAST_VOTES:
            best.setdefault(photo, []).append((-weight, other))
    return [
        ((min(photo, other), max(photo, other)), -weight)
        for photo, others in best.items()
        for weight, other in sorted(others)[:PARTNERS]
    ]


def _index(kept: list[NDArray[np.uint8]]) -> Any:
    """An index of the features of all photos, in order; squared distances."""
    import faiss

    total = sum(len(k) for k in kept)
    if total < FEW:
        exact = faiss.IndexFlatL2(kept[0].shape[1])
        exact.add(roots(np.concatenate(kept)))
        return exact
    lists = min(int(2 * np.sqrt(total)), total // TRAINED)
    index = faiss.index_factory(kept[0].shape[1], f"PCA{DIM},IVF{lists},SQ8")
    inverted = faiss.extract_index_ivf(index)
    inverted.cp.niter = ROUNDS
    inverted.cp.max_points_per_centroid = TRAINED
    inverted.nprobe = PROBES
    # Photos evenly spread over the whole, enough features for every list.
    step = max(1, total // (lists * TRAINED))
    index.train(roots(np.concatenate(kept[::step])))
    for start in range(0, len(kept), BLOCK):
        index.add(roots(np.concatenate(kept[start : start + BLOCK])))
    return index
