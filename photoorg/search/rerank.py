"""From candidates to ranked hits: combine signals, fold near-duplicates, spread the rest (MMR)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from photoorg.config import SearchConfig
from photoorg.models import Hashes, Hit, Photo, Quality
from photoorg.search.reasons import explain
from photoorg.store.catalog.bonds import NO_BONDS, Bonds

Floats = NDArray[np.float64]
Words = NDArray[np.uint64]
PDQ_BITS, PHASH_BITS = 256, 64
NO_PDQ, NO_PHASH = bytes(PDQ_BITS // 8), bytes(PHASH_BITS // 8)
EARTH_RADIUS_M = 6_371_008.8
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
    bonds: Bonds = NO_BONDS

    @classmethod
    def of(cls, photo: Photo, bonds: Bonds | None = None) -> QueryFacts:
        """The facts of a photo used as query."""
        exif = photo.exif
        at = exif.captured_at if exif.captured_source in CLOCKS else None
        return cls(photo.hashes, at, exif.latitude, exif.longitude, bonds or NO_BONDS)


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates before ranking: `photos` [n], their cosines [n] and unit vectors [n, dim].

    `bonds` are those of photos that have any, by id. `views` [n] names the view of each that the
    cosine is of; empty where all are of wholes.
    """

    photos: Sequence[Photo]
    cosines: NDArray[np.float32]
    vectors: NDArray[np.float32]
    bonds: Mapping[str, Bonds] = field(default_factory=dict)
    views: Sequence[str] = ()

    def view(self, row: int) -> str:
        """The view that a candidate's cosine is of, "" in a space of wholes."""
        return self.views[row] if self.views else ""


@dataclass(frozen=True, slots=True)
class Signals:
    """What is known of each candidate [n], NaN where it cannot be known.

    cosine -1..1; pdq and phash the share of equal bits 0..1 (0.5 is chance); quality 0..1;
    minutes_apart and meters_apart >= 0; same_event 0 or 1; people the share 0..1 of the query's
    people who are in the photo.
    """

    cosine: Floats
    pdq: Floats
    phash: Floats
    quality: Floats
    minutes_apart: Floats
    meters_apart: Floats
    same_event: Floats
    people: Floats

    def of(self, rows: Sequence[int]) -> list[dict[str, float]]:
        """Those of some candidates that are known, each with as many digits as it deserves."""
        columns = {n: np.round(getattr(self, n)[rows], d).tolist() for n, d in DIGITS.items()}
        return [
            {name: column[i] for name, column in columns.items() if column[i] == column[i]}
            for i in range(len(rows))
        ]


DIGITS = {
    "cosine": 6,
    "pdq": 6,
    "phash": 6,
    "quality": 4,
    "minutes_apart": 2,
    "meters_apart": 1,
    "same_event": 0,
    "people": 3,
}


def rank(
    query: QueryFacts, pool: Pool, k: int, config: SearchConfig, *, least: float = -2.0
) -> tuple[Hit, ...]:
    """The k best hits of at least that score, diverse, near-duplicates of a hit folded under it.

    Equal inputs give equal output whatever the order of the pool: ties go to the smaller photo id.
    `Hit.score` is relevance in -1..1; the order also counts diversity (maximal marginal relevance,
    Carbonell & Goldstein 1998), so scores may rise slightly from one hit to the next.
    """
    if not pool.photos:
        return ()
    pool = _by_id(pool)
    signals = measure(query, pool)
    scores = combine(signals, config)
    order = np.argsort(-scores, kind="stable")
    order = order[scores[order] >= least].tolist()
    if not order:
        return ()
    folded = fold(order, near_duplicates(pool, config))
    chosen = spread(list(folded), scores, pool.vectors, k, config)
    hits = []
    for i, known in zip(chosen, signals.of(chosen), strict=True):
        photo = pool.photos[i]
        hits.append(
            Hit(
                photo_id=photo.photo_id,
                score=round(float(scores[i]), 6),
                uri=photo.uri,
                signals=known,
                reasons=explain(known, config, pool.view(i)),
                folded=tuple(pool.photos[j].photo_id for j in folded[i]),
                view=pool.view(i),
            )
        )
    return tuple(hits)


def measure(query: QueryFacts, pool: Pool) -> Signals:
    """Compare the query with every candidate, signal by signal."""
    photos = pool.photos
    unknown = np.full(len(photos), np.nan)
    pdq, phash = unknown, unknown
    if query.hashes is not None:
        sure = _trusted(photos) & (query.hashes.pdq_quality > PDQ_MIN_QUALITY)
        pdq = np.where(sure, 1 - _apart(_pdq(photos), query.hashes.pdq) / PDQ_BITS, np.nan)
        hashed = np.array([p.hashes is not None for p in photos])
        phash = np.where(
            hashed, 1 - _apart(_phash(photos), query.hashes.phash) / PHASH_BITS, np.nan
        )
    return Signals(
        cosine=np.clip(pool.cosines.astype(np.float64), -1, 1),
        pdq=pdq,
        phash=phash,
        quality=np.array([p.quality.score if p.quality else np.nan for p in photos]),
        minutes_apart=_minutes(query, photos),
        meters_apart=_meters(query, photos),
        same_event=_same_event(query.bonds, pool),
        people=_people(query.bonds, pool),
    )


def combine(signals: Signals, config: SearchConfig) -> Floats:
    """Relevance -1..1 [n]: the cosine, raised towards 1 by the weighted evidence of other signals.

    Evidence can only raise a score, so a photo without EXIF or hashes is never punished for it.
    A quality below `poor_quality` lowers it by up to `poor_weight` standard deviations of the
    candidates' cosines, which means the same in every space, and leaves alone what stands out.
    """
    pdq = np.maximum(0.0, 2 * signals.pdq - 1)
    phash = np.maximum(0.0, 2 * signals.phash - 1) / 2
    evidence = config.quality_weight * np.nan_to_num(signals.quality)
    evidence += config.hash_weight * np.nan_to_num(np.where(np.isnan(pdq), phash, pdq))
    evidence += config.time_weight * np.nan_to_num(np.exp(-signals.minutes_apart / 60))
    evidence += config.place_weight * np.nan_to_num(np.exp(-signals.meters_apart / 200))
    evidence += config.event_weight * np.nan_to_num(signals.same_event)
    evidence += config.people_weight * np.nan_to_num(signals.people)
    score = signals.cosine + (1 - signals.cosine) * np.minimum(1.0, evidence)
    lack = np.maximum(0.0, 1 - np.nan_to_num(signals.quality, nan=1.0) / config.poor_quality)
    spread = float(np.std(signals.cosine)) if len(signals.cosine) else 0.0
    less: Floats = np.maximum(-1.0, score - config.poor_weight * lack * spread)
    return less


def demote(quality: Quality | None, config: SearchConfig) -> float:
    """The factor 0..1 by which a photo of poor quality counts less among those with equal words."""
    if quality is None:
        return 1.0
    return 1.0 - config.poor_words_weight * max(0.0, 1 - quality.score / config.poor_quality)


def near_duplicates(pool: Pool, config: SearchConfig) -> dict[int, set[int]]:
    """Pairs that PDQ calls equal, with hashes that can be trusted and cosines that confirm."""
    usable = np.flatnonzero(_trusted(pool.photos)).tolist()
    if len(usable) < 2:
        return {}
    x_nd = pool.vectors[usable]
    first, second = np.nonzero(np.triu(x_nd @ x_nd.T >= config.fold_cosine, 1))
    bits = _pdq([pool.photos[i] for i in usable])
    apart = np.bitwise_count(bits[first] ^ bits[second]).sum(axis=1, dtype=np.int32)
    pairs: dict[int, set[int]] = {}
    for at in np.flatnonzero(apart <= config.fold_pdq_bits):
        i, j = usable[first[at]], usable[second[at]]
        pairs.setdefault(i, set()).add(j)
        pairs.setdefault(j, set()).add(i)
    return pairs


def fold(order: Sequence[int], duplicates: Mapping[int, Set[int]]) -> dict[int, list[int]]:
    """Keepers in order, each with those of lower rank that it stands for.

    Not transitive: everything folded is a near-duplicate of its keeper itself.
    """
    kept: dict[int, list[int]] = {}
    for i in order:
        keepers = [j for j in duplicates.get(i, ()) if j in kept]
        if keepers:
            kept[min(keepers, key=order.index)].append(i)
        else:
            kept[i] = []
    return kept


def spread(
    order: Sequence[int], scores: Floats, x_nd: NDArray[np.float32], k: int, config: SearchConfig
) -> list[int]:
    """K of `order` by lambda * score - (1 - lambda) * cosine to the nearest chosen before.

    Only the first `config.candidates` compete; what comes after them stays in order of score.
    """
    head, tail = list(order[: config.candidates]), list(order[config.candidates :])
    lam = config.mmr_lambda
    if lam == 1.0:
        return list(order[:k])
    worth, x_md = lam * scores[head], x_nd[head]
    alike_mm = (1 - lam) * np.maximum(0.0, x_md @ x_md.T)
    nearest = np.zeros(len(head))
    taken: list[int] = []
    for _ in range(min(k, len(head))):
        best = int((worth - nearest).argmax())
        taken.append(head[best])
        worth[best] = -np.inf
        np.maximum(nearest, alike_mm[best], out=nearest)
    return [*taken, *tail][:k]


def _by_id(pool: Pool) -> Pool:
    """The pool sorted by photo id, so that its order decides nothing."""
    order = sorted(range(len(pool.photos)), key=lambda i: pool.photos[i].photo_id)
    photos = [pool.photos[i] for i in order]
    views = [pool.views[i] for i in order] if pool.views else ()
    return Pool(photos, pool.cosines[order], pool.vectors[order], pool.bonds, views)


def _trusted(photos: Sequence[Photo]) -> NDArray[np.bool_]:
    return np.array(
        [p.hashes is not None and p.hashes.pdq_quality > PDQ_MIN_QUALITY for p in photos]
    )


def _pdq(photos: Sequence[Photo]) -> Words:
    joined = b"".join(p.hashes.pdq if p.hashes else NO_PDQ for p in photos)
    return np.frombuffer(joined, np.uint64).reshape(len(photos), -1)


def _phash(photos: Sequence[Photo]) -> Words:
    joined = b"".join(p.hashes.phash if p.hashes else NO_PHASH for p in photos)
    return np.frombuffer(joined, np.uint64).reshape(len(photos), -1)


def _apart(words_nw: Words, other: bytes) -> NDArray[np.int64]:
    """Hamming distances [n] of hashes to another."""
    bits = np.bitwise_count(words_nw ^ np.frombuffer(other, np.uint64))
    apart: NDArray[np.int64] = bits.sum(axis=1, dtype=np.int64)
    return apart


def _minutes(query: QueryFacts, photos: Sequence[Photo]) -> Floats:
    if query.captured_at is None:
        return np.full(len(photos), np.nan)
    here = query.captured_at.timestamp()
    return np.array([abs(_taken(p) - here) for p in photos]) / 60


def _taken(photo: Photo) -> float:
    exif = photo.exif
    if exif.captured_at is None or exif.captured_source not in CLOCKS:
        return math.nan
    return exif.captured_at.timestamp()


def _meters(query: QueryFacts, photos: Sequence[Photo]) -> Floats:
    """Great-circle distances (haversine)."""
    if query.latitude is None or query.longitude is None:
        return np.full(len(photos), np.nan)
    here, there = [(query.latitude, query.longitude)], [_place(p) for p in photos]
    (lat, lon), (lats, lons) = np.radians(here)[0], np.radians(np.array(there, np.float64)).T
    h = np.sin((lats - lat) / 2) ** 2
    h += math.cos(lat) * np.cos(lats) * np.sin((lons - lon) / 2) ** 2
    meters: Floats = 2 * EARTH_RADIUS_M * np.arcsin(np.sqrt(np.minimum(1.0, h)))
    return meters


def _same_event(query: Bonds, pool: Pool) -> Floats:
    if query.event is None:
        return np.full(len(pool.photos), np.nan)
    events = [pool.bonds.get(p.photo_id, NO_BONDS).event for p in pool.photos]
    return np.array([math.nan if e is None else float(e == query.event) for e in events])


def _people(query: Bonds, pool: Pool) -> Floats:
    if not query.people:
        return np.full(len(pool.photos), np.nan)
    there = [pool.bonds.get(p.photo_id, NO_BONDS).people for p in pool.photos]
    return np.array([len(p & query.people) / len(query.people) if p else math.nan for p in there])


def _place(photo: Photo) -> tuple[float, float]:
    latitude, longitude = photo.exif.latitude, photo.exif.longitude
    return (math.nan, math.nan) if latitude is None or longitude is None else (latitude, longitude)
