"""Finding duplicates: candidates, evidence, a look at the pictures where needed, one confidence."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.curate import keepers
from photoorg.curate.alignment import Prepared, aligned, prepare
from photoorg.curate.candidates import near_pairs
from photoorg.curate.confidence import model_of
from photoorg.curate.evidence import KINDS, Evidence, gather, kinds
from photoorg.curate.facts import Facts
from photoorg.curate.grouping import Star, stars
from photoorg.curate.turns import BOTH_WAYS, TURNS, turned, turned_pixels
from photoorg.curation_config import DedupConfig

Floats = NDArray[np.float64]
Rows = NDArray[np.int32]
SURE_PDQ, SURE_PHASH, SURE_SHAPE = 10, 4, 0.01
"""Hashes as near as this need no look at the pictures."""
PREPARED = 256
SCORED = 200_000
THREADS = 2


class Visual(Protocol):
    """Nearest photos by embedding; rows are those of the facts that are scanned."""

    def pairs(self, k: int, least: float) -> tuple[Rows, Rows]:
        """Pairs of near photos, first < second."""

    def cosines(self, first: Rows, second: Rows) -> Floats:
        """Cosine above strangers of each pair, NaN where unknown."""


class Pictures(Protocol):
    """Small pictures of photos."""

    def gray(self, photo_id: str) -> NDArray[np.uint8] | None:
        """Luminance [height, width] of the photo, some 400 pixels; None if there is none."""


@dataclass(frozen=True, slots=True)
class Scored:
    """Pairs first < second [n] of rows of the facts, with all that is known of them."""

    first: Rows
    second: Rows
    confidence: Floats
    kind: NDArray[np.int8]
    evidence: Evidence
    candidates: int = 0
    looked: int = 0
    saturated: int = 0

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: NDArray[np.int64]) -> Scored:
        """Some pairs, in the order of `rows`."""
        return replace(
            self,
            first=self.first[rows],
            second=self.second[rows],
            confidence=self.confidence[rows],
            kind=self.kind[rows],
            evidence=self.evidence.take(rows),
        )


def by_rank(facts: Facts, config: DedupConfig) -> Facts:
    """The photos with those first that would be kept before others."""
    return facts.take(np.argsort(keepers.ranks(facts, config.keeper), kind="stable"))


def find(
    facts: Facts,
    config: DedupConfig,
    *,
    visual: Visual | None = None,
    pictures: Pictures | None = None,
) -> Scored:
    """Score every candidate pair; those below config.floor are dropped.

    `facts` come from by_rank, so that of many equal photos the one to keep is the first. Memory
    grows with the photos and the pairs kept, never with the square of anything.
    """
    first, second, saturated = _candidates(facts, config, visual)
    parts = [
        _scored(facts, first[i : i + SCORED], second[i : i + SCORED], config, visual)
        for i in range(0, len(first), SCORED)
    ]
    if not parts:
        empty = np.zeros(0, np.int32)
        return _scored(facts, empty, empty, config, visual)
    found = _concatenated(parts)
    looked = 0
    if pictures is not None and config.looks:
        found, looked = _look(facts, found, config, pictures)
    keep = np.flatnonzero(found.confidence >= config.floor)
    return replace(found.take(keep), candidates=len(first), looked=looked, saturated=saturated)


def group(
    scored: Scored,
    threshold: float,
    *,
    decided: Set[tuple[int, int]] = frozenset(),
    apart: Set[tuple[int, int]] = frozenset(),
) -> list[Star]:
    """Groups at a threshold. `decided` pairs of rows no longer join photos by themselves; two
    photos that are `apart` never share a group. Star.pairs are places in `scored`.
    """
    good = scored.confidence >= threshold
    if decided or apart:
        known = decided | apart
        pairs = zip(scored.first.tolist(), scored.second.tolist(), strict=True)
        good &= ~np.fromiter((pair in known for pair in pairs), np.bool_, len(scored))
    places = np.flatnonzero(good)
    rank = np.arange(int(scored.second.max(initial=0)) + 1, dtype=np.int32)
    found = stars(
        scored.first[places], scored.second[places], scored.confidence[places], rank, apart=apart
    )
    return [replace(s, pairs=tuple(int(places[p]) for p in s.pairs)) for s in found]


def _candidates(facts: Facts, config: DedupConfig, visual: Visual | None) -> tuple[Rows, Rows, int]:
    """Pairs by either hash, by a turned hash where there are few enough photos, by embedding."""
    rows = np.flatnonzero(facts.hashed).astype(np.int32)
    pdq, phash = facts.pdq[rows], facts.phash[rows]
    found = [
        near_pairs(pdq, config.pdq_bits, per_row=config.per_photo),
        near_pairs(phash, config.phash_bits, per_row=config.per_photo),
    ]
    if len(rows) <= config.turned_up_to:
        found += [
            near_pairs(pdq, config.pdq_bits, per_row=config.per_photo, others=turned(pdq, turn))
            for turn in BOTH_WAYS
        ]
    n = len(facts)
    codes = [rows[p.first].astype(np.int64) * n + rows[p.second] for p in found]
    if visual is not None and config.neighbours:
        a, b = visual.pairs(config.neighbours, config.least_cosine)
        codes.append(a.astype(np.int64) * n + b)
    once = np.unique(np.concatenate(codes))
    first, second = once // max(n, 1), once % max(n, 1)
    saturated = max(p.saturated for p in found)
    return first.astype(np.int32), second.astype(np.int32), saturated


def _scored(
    facts: Facts, first: Rows, second: Rows, config: DedupConfig, visual: Visual | None
) -> Scored:
    unknown = np.full(len(first), np.nan)
    cosine = unknown if visual is None else visual.cosines(first, second)
    return _judged(first, second, gather(facts, first, second, cosine), config)


def _judged(first: Rows, second: Rows, evidence: Evidence, config: DedupConfig) -> Scored:
    """A burst is as sure as its pictures are alike; else the clocks speak too."""
    model = model_of(config.weights)
    kind = kinds(evidence, burst_seconds=config.burst_seconds)
    burst = kind == KINDS.index("burst")
    confidence = np.where(burst, model.alike(evidence), model.confidence(evidence))
    return Scored(first, second, confidence, kind, evidence)


def _look(
    facts: Facts, found: Scored, config: DedupConfig, pictures: Pictures
) -> tuple[Scored, int]:
    """Lay the pictures of unsure pairs over each other, the likeliest first, config.looks."""
    evidence = found.evidence
    with np.errstate(invalid="ignore"):
        sure = (evidence.pdq <= SURE_PDQ) & (evidence.phash <= SURE_PHASH)
        sure &= (evidence.shape <= SURE_SHAPE) & (evidence.turn == 0)
    unsure = np.flatnonzero(~sure)
    order = np.lexsort((found.second[unsure], found.first[unsure], -found.confidence[unsure]))
    chosen = np.sort(unsure[order[: config.looks]])
    looker = _Looker(facts, pictures)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="look") as pool:
        values = list(
            pool.map(
                looker.look,
                found.first[chosen].tolist(),
                found.second[chosen].tolist(),
                evidence.turn[chosen].tolist(),
            )
        )
    result = evidence.aligned.copy()
    result[chosen] = values
    known = replace(evidence, aligned=result)
    return _judged(found.first, found.second, known, config), len(chosen)


class _Looker:
    """Pictures made ready, the last PREPARED of them kept."""

    def __init__(self, facts: Facts, pictures: Pictures) -> None:
        self._ids = facts.ids()
        self._pictures = pictures
        self._kept: OrderedDict[tuple[int, int], Prepared | None] = OrderedDict()
        self._lock = Lock()

    def look(self, first: int, second: int, turn: int) -> float:
        """How well the two can be laid over each other, the second turned; NaN if unknown."""
        a, b = self._prepared(first, 0), self._prepared(second, turn)
        return float("nan") if a is None or b is None else aligned(a, b)

    def _prepared(self, row: int, turn: int) -> Prepared | None:
        with self._lock:
            if (row, turn) in self._kept:
                self._kept.move_to_end((row, turn))
                return self._kept[row, turn]
        gray = self._pictures.gray(self._ids[row])
        made = None
        if gray is not None:
            pixels = turned_pixels(gray.astype(np.float32), TURNS[turn])
            made = prepare(np.ascontiguousarray(pixels).astype(np.uint8))
        with self._lock:
            self._kept[row, turn] = made
            while len(self._kept) > PREPARED:
                self._kept.popitem(last=False)
        return made


def _concatenated(parts: Sequence[Scored]) -> Scored:
    columns = {
        f.name: np.concatenate([getattr(p.evidence, f.name) for p in parts])
        for f in fields(Evidence)
    }
    return Scored(
        np.concatenate([p.first for p in parts]),
        np.concatenate([p.second for p in parts]),
        np.concatenate([p.confidence for p in parts]),
        np.concatenate([p.kind for p in parts]),
        Evidence(**columns),
    )
