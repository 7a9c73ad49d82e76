"""More candidates where hashes and embeddings of upright pictures do not reach.

Two ways, both bounded: a photo that is still alone is turned and mirrored and its embedding asked
for again (framed, cropped or written on *and* turned, it is near nothing upright); and two photos
that are both the same picture as a third are compared with each other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.facts import Facts
from photoorg.curate.looking import Pictures
from photoorg.curate.scoring import BURST, Floats, Rows, Scored, Turned, Visual
from photoorg.curate.turns import TURNS, compose, inverse, turned_pixels
from photoorg.curation_config import DedupConfig
from photoorg.encoders.base import Encoder

ALONE = 1
"""A photo with so few partners may belong to others as well."""
NEAREST = 8
"""So many of the photos nearest to any turn of a picture become candidates."""
BATCH = 8
"""Photos turned and encoded at once: 56 small pictures."""
AROUND = 12
"""So many of the surest partners of a photo are compared with each other."""
HOPS = 1_000_000
"""Pairs of partners looked over at most; some 100 bytes each."""


@dataclass(frozen=True, slots=True)
class Wider:
    """Pairs first < second [n]; the second picture after `turn` (a place in TURNS) looks like the
    first. `cosine` is that of the turned pictures above strangers, None where it was not taken.
    """

    first: Rows
    second: Rows
    turn: Turned
    cosine: Floats | None


def turned_neighbours(
    facts: Facts,
    found: Scored,
    config: DedupConfig,
    visual: Visual,
    pictures: Pictures,
    encoder: Encoder,
    *,
    told: Rows,
) -> Wider:
    """Photos near one that has hardly a partner once it is turned, config.turned_views of those.

    Fewest partners first, then the newest; not those whose local features `told` already.
    """
    strong = found.take(_strong(found, config))
    partners = np.bincount(np.concatenate([strong.first, strong.second]), minlength=len(facts))
    partners[told] = ALONE + 1
    alone = np.flatnonzero(partners <= ALONE)
    order = np.lexsort((alone, -facts.added[alone], partners[alone]))
    chosen = np.sort(alone[order[: config.turned_views]])
    rows: list[tuple[int, int, int, float]] = []
    for start in range(0, len(chosen), BATCH):
        views, of_row = _views(facts, chosen[start : start + BATCH], pictures)
        if not views:
            continue
        near, cosines = visual.nearest(encoder.encode_images(views), config.neighbours + 1)
        sides = len(TURNS) - 1
        for n, row in enumerate(of_row):
            block = slice(n * sides, (n + 1) * sides)
            rows += _best(row, near[block], cosines[block], config.least_cosine)
    first, second, turn, cosine = (
        (np.asarray(c) for c in zip(*rows, strict=True))
        if rows
        else (np.zeros(0) for _ in range(4))
    )
    return Wider(
        first.astype(np.int32), second.astype(np.int32), turn.astype(np.int8), cosine.astype(float)
    )


def second_hop(found: Scored, config: DedupConfig, most: int) -> Wider:
    """Pairs of photos that are both surely the same picture as a third, `most` of them.

    Pairs that were sure already are left out, and those that were compared in the same turn.
    """
    strong = found.take(_strong(found, config))
    around: dict[int, list[tuple[float, int, int]]] = defaultdict(list)
    for a, b, turn, confidence in zip(
        strong.first.tolist(),
        strong.second.tolist(),
        strong.evidence.turn.tolist(),
        strong.confidence.tolist(),
        strict=True,
    ):
        # The turn that makes the partner look like the photo it is listed under.
        around[a].append((-confidence, b, turn))
        around[b].append((-confidence, a, inverse(turn)))
    hops = np.asarray(list(islice(_hops(around), HOPS)), np.int64).reshape(-1, 3)
    first, second, turn = hops.T
    codes = _codes(first, second)
    known = np.isin(codes, _codes(strong.first, strong.second))
    known |= np.isin(
        codes * len(TURNS) + turn,
        _codes(found.first, found.second) * len(TURNS) + found.evidence.turn,
    )
    new = np.flatnonzero(~known)
    chosen = np.sort(new[np.unique(codes[new], return_index=True)[1]])[:most]
    return Wider(
        first[chosen].astype(np.int32),
        second[chosen].astype(np.int32),
        turn[chosen].astype(np.int8),
        None,
    )


def _codes(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.int64]:
    """One number for each pair of rows; rows are below 2**29."""
    return first.astype(np.int64) << 29 | second.astype(np.int64)


def _strong(found: Scored, config: DedupConfig) -> NDArray[np.int64]:
    return np.flatnonzero((found.confidence >= config.confidence) & (found.kind != BURST))


def _hops(around: dict[int, list[tuple[float, int, int]]]) -> Iterator[tuple[int, int, int]]:
    for photo in sorted(around):
        partners = sorted(around[photo])[:AROUND]
        for n, (_, one, turn_one) in enumerate(partners):
            for _, other, turn_other in partners[n + 1 :]:
                if one < other:
                    yield one, other, compose(inverse(turn_one), turn_other)
                elif other < one:
                    yield other, one, compose(inverse(turn_other), turn_one)


def _views(
    facts: Facts, rows: NDArray[np.int64], pictures: Pictures
) -> tuple[list[NDArray[np.uint8]], list[int]]:
    """Every turn of the pictures of some photos, and those of them that have a picture."""
    views, of_row = [], []
    for row, photo_id in zip(rows.tolist(), facts.take(rows).ids(), strict=True):
        rgb = pictures.rgb(photo_id)
        if rgb is not None:
            views += [np.ascontiguousarray(turned_pixels(rgb, turn)) for turn in TURNS[1:]]
            of_row.append(row)
    return views, of_row


def _best(
    row: int, near_tk: Rows, cosine_tk: Floats, least: float
) -> list[tuple[int, int, int, float]]:
    """(first, second, turn, cosine) of the photos nearest to any turn of one photo."""
    best: dict[int, tuple[float, int]] = {}
    for turn, (others, cosines) in enumerate(zip(near_tk, cosine_tk, strict=True), 1):
        for other, cosine in zip(others.tolist(), cosines.tolist(), strict=True):
            if other >= 0 and other != row and cosine >= max(least, best.get(other, (least,))[0]):
                best[other] = cosine, turn
    nearest = sorted(best.items(), key=lambda item: (-item[1][0], item[0]))[:NEAREST]
    return [
        (other, row, turn, cosine) if other < row else (row, other, inverse(turn), cosine)
        for other, (cosine, turn) in nearest
    ]
