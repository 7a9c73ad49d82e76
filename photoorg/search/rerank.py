"""From candidates to ranked hits: combine signals, fold near-duplicates, spread the rest (MMR)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from photoorg.config import SearchConfig
from photoorg.models import Hashes, Hit, Photo
from photoorg.search.reasons import explain

PDQ_BITS = 256
PHASH_BITS = 64
PDQ_MIN_QUALITY = 49
"""PDQ hashes of this quality or less are of featureless images and match by chance."""
CLOCKS = frozenset({"offset_original", "offset", "gps", "exif_local", "filename"})
"""Sources of captured_at that tell when the shutter opened; a file's time does not."""


@dataclass(frozen=True, slots=True)
class QueryFacts:
    """What is known of the query besides its vector."""

    hashes: Hashes | None = None
    captured_at: datetime | None = None
    latitude: float | None = None
    longitude: float | None = None

    @classmethod
    def of(cls, photo: Photo) -> QueryFacts:
        """The facts of a photo used as query."""
        exif = photo.exif
        at = exif.captured_at if exif.captured_source in CLOCKS else None
        return cls(photo.hashes, at, exif.latitude, exif.longitude)


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates before ranking: `photos` [n], their cosines [n] and unit vectors [n, dim]."""

    photos: Sequence[Photo]
    cosines: NDArray[np.float32]
    vectors: NDArray[np.float32]


def rank(query: QueryFacts, pool: Pool, k: int, config: SearchConfig) -> tuple[Hit, ...]:
    """The k best hits, diverse, with near-duplicates of a hit folded under it.

    Equal inputs give equal output whatever the order of the pool: ties go to the smaller photo id.
    `Hit.score` is relevance in -1..1; the order also counts diversity (maximal marginal relevance,
    Carbonell & Goldstein 1998), so scores may rise slightly from one hit to the next.
    """
    if not pool.photos:
        return ()
    pool = _by_id(pool)
    signals = [
        measure(query, photo, float(c)) for photo, c in zip(pool.photos, pool.cosines, strict=True)
    ]
    scores = np.array([combine(s, config) for s in signals])
    order = sorted(range(len(scores)), key=lambda i: -scores[i])
    similar_nn = pool.vectors @ pool.vectors.T
    folded = _fold(order, near_duplicates([p.hashes for p in pool.photos], similar_nn, config))
    chosen = spread(list(folded), scores, similar_nn, k, config.mmr_lambda)
    return tuple(
        Hit(
            photo_id=pool.photos[i].photo_id,
            score=round(float(scores[i]), 6),
            uri=pool.photos[i].uri,
            signals=signals[i],
            reasons=explain(signals[i], config),
            folded=tuple(pool.photos[j].photo_id for j in folded[i]),
        )
        for i in chosen
    )


def measure(query: QueryFacts, photo: Photo, cosine: float) -> dict[str, float]:
    """Signals of one candidate; those that cannot be known are absent.

    cosine -1..1; pdq and phash the share of equal bits 0..1 (0.5 is chance); quality 0..1;
    minutes_apart and meters_apart >= 0.
    """
    signals = {"cosine": round(min(1.0, max(-1.0, cosine)), 6)}
    if query.hashes and photo.hashes:
        if min(query.hashes.pdq_quality, photo.hashes.pdq_quality) > PDQ_MIN_QUALITY:
            signals["pdq"] = 1 - _bits(query.hashes.pdq, photo.hashes.pdq) / PDQ_BITS
        signals["phash"] = 1 - _bits(query.hashes.phash, photo.hashes.phash) / PHASH_BITS
    if photo.quality:
        signals["quality"] = round(photo.quality.score, 4)
    other = QueryFacts.of(photo)
    if query.captured_at and other.captured_at:
        gap = abs((query.captured_at - other.captured_at).total_seconds())
        signals["minutes_apart"] = round(gap / 60, 2)
    here, there = _place(query), _place(other)
    if here and there:
        signals["meters_apart"] = round(_meters(here, there), 1)
    return signals


def combine(signals: Mapping[str, float], config: SearchConfig) -> float:
    """Relevance -1..1: the cosine, raised towards 1 by the weighted evidence of other signals.

    Evidence can only raise a score, so a photo without EXIF or hashes is never punished for it.
    """
    evidence = config.quality_weight * signals.get("quality", 0.0)
    if "pdq" in signals:
        evidence += config.hash_weight * max(0.0, 2 * signals["pdq"] - 1)
    elif "phash" in signals:
        evidence += config.hash_weight * max(0.0, 2 * signals["phash"] - 1) / 2
    if "minutes_apart" in signals:
        evidence += config.time_weight * math.exp(-signals["minutes_apart"] / 60)
    if "meters_apart" in signals:
        evidence += config.place_weight * math.exp(-signals["meters_apart"] / 200)
    return signals["cosine"] + (1 - signals["cosine"]) * min(1.0, evidence)


def near_duplicates(
    hashes: Sequence[Hashes | None], similar_nn: NDArray[np.float32], config: SearchConfig
) -> NDArray[np.bool_]:
    """[n, n] True where PDQ says so, both hashes can be trusted, and the cosine confirms."""
    usable = np.array([h is not None and h.pdq_quality > PDQ_MIN_QUALITY for h in hashes])
    blank = bytes(PDQ_BITS // 8)
    bits = np.frombuffer(b"".join(h.pdq if h else blank for h in hashes), np.uint64).reshape(-1, 4)
    distance_nn = np.bitwise_count(bits[:, None] ^ bits[None]).sum(axis=2, dtype=np.int32)
    same_nn: NDArray[np.bool_] = distance_nn <= config.fold_pdq_bits
    same_nn &= similar_nn >= config.fold_cosine
    same_nn &= usable[:, None] & usable[None]
    return same_nn


def spread(
    order: Sequence[int],
    scores: NDArray[np.float64],
    similar_nn: NDArray[np.float32],
    k: int,
    lam: float,
) -> list[int]:
    """Maximal marginal relevance: k of `order` by lam * score - (1 - lam) * nearest chosen."""
    left = np.array(order, dtype=np.int64)
    relevance = lam * scores[left]
    nearest = np.zeros(len(left))
    taken: list[int] = []
    free = np.ones(len(left), dtype=bool)
    while len(taken) < min(k, len(left)):
        best = int(np.argmax(np.where(free, relevance - (1 - lam) * nearest, -np.inf)))
        free[best] = False
        taken.append(int(left[best]))
        nearest = np.maximum(nearest, similar_nn[left[best], left])
    return taken


def _by_id(pool: Pool) -> Pool:
    """The pool sorted by photo id: matrix products round differently at different rows."""
    order = sorted(range(len(pool.photos)), key=lambda i: pool.photos[i].photo_id)
    return Pool([pool.photos[i] for i in order], pool.cosines[order], pool.vectors[order])


def _fold(order: Sequence[int], duplicate_nn: NDArray[np.bool_]) -> dict[int, list[int]]:
    """Keepers in order, each with those of lower rank that it stands for."""
    kept: dict[int, list[int]] = {}
    for i in order:
        keeper = next((j for j in kept if duplicate_nn[i, j]), None)
        if keeper is None:
            kept[i] = []
        else:
            kept[keeper].append(i)
    return kept


def _bits(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def _place(facts: QueryFacts) -> tuple[float, float] | None:
    if facts.latitude is None or facts.longitude is None:
        return None
    return math.radians(facts.latitude), math.radians(facts.longitude)


def _meters(a: tuple[float, float], b: tuple[float, float]) -> float:
    """Great-circle distance (haversine) of two (latitude, longitude) in radians."""
    h = math.sin((b[0] - a[0]) / 2) ** 2
    h += math.cos(a[0]) * math.cos(b[0]) * math.sin((b[1] - a[1]) / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(min(1.0, math.sqrt(h)))
