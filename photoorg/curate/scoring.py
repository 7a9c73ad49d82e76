"""Scored pairs: evidence of candidates turned into one confidence each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.confidence import model_of
from photoorg.curate.evidence import KINDS, Evidence, gather, kinds
from photoorg.curate.facts import Facts
from photoorg.curation_config import DedupConfig

Floats = NDArray[np.float64]
Rows = NDArray[np.int32]
Turned = NDArray[np.int8]
PART = 200_000
BURST = KINDS.index("burst")


class Visual(Protocol):
    """Nearest photos by embedding; rows are those of the facts that are scanned."""

    def pairs(self, k: int, least: float) -> tuple[Rows, Rows]:
        """Pairs of near photos, first < second."""

    def cosines(self, first: Rows, second: Rows) -> Floats:
        """Cosine above strangers of each pair, NaN where unknown."""

    def nearest(self, x_nd: NDArray[np.float32], k: int) -> tuple[Rows, Floats]:
        """Rows [n, k] of the photos nearest to vectors (-1: none) and cosines above strangers."""


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


def score_pairs(
    facts: Facts,
    first: Rows,
    second: Rows,
    config: DedupConfig,
    visual: Visual | None,
    *,
    turn: Turned | None = None,
    cosine: Floats | None = None,
) -> Scored:
    """Confidence of each pair from what the facts tell; `turn` and `cosine` where they are known.

    Of `turn` -1 means unknown; `cosine` is that of the turned pictures.
    """
    parts = []
    for start in range(0, max(1, len(first)), PART):
        some = slice(start, start + PART)
        a, b = first[some], second[some]
        if cosine is not None:
            near = cosine[some]
        else:
            near = np.full(len(a), np.nan) if visual is None else visual.cosines(a, b)
        known = None if turn is None else turn[some]
        parts.append(judged(a, b, gather(facts, a, b, near, turn=known), config))
    return parts[0] if len(parts) == 1 else joined(parts)


def judged(first: Rows, second: Rows, evidence: Evidence, config: DedupConfig) -> Scored:
    """A burst is as sure as its pictures are alike; else the clocks speak too."""
    model = model_of(config.weights)
    kind = kinds(evidence, burst_seconds=config.burst_seconds)
    confidence = np.where(kind == BURST, model.alike(evidence), model.confidence(evidence))
    return Scored(first, second, confidence, kind, evidence)


def joined(parts: Sequence[Scored]) -> Scored:
    """The pairs of all parts, one after the other."""
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


def surest(found: Scored, more: Scored) -> Scored:
    """Every pair of both once, in order of rows: of two accounts of a pair the surer one."""
    if not len(more):
        return found
    both = joined([found, more])
    order = np.lexsort((-both.confidence, both.second, both.first))
    first, second = both.first[order], both.second[order]
    once = np.ones(len(order), np.bool_)
    once[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    return both.take(order[once])
