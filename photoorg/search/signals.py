"""What is known of a query and of candidates, what the two have in common, and what it counts."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from photoorg.config import SearchConfig
from photoorg.models import Hashes, Photo, Quality
from photoorg.store.catalog.bonds import NO_BONDS, Bonds

Floats = NDArray[np.float64]
PDQ_BITS, PHASH_BITS = 256, 64
NO_HASHES = Hashes(bytes(PDQ_BITS // 8), 0, bytes(PHASH_BITS // 8), b"", b"")
EARTH_RADIUS_M = 6_371_008.8
PDQ_MIN_QUALITY = 49
"""PDQ hashes of this quality or less are of featureless images and match by chance."""
CLOCKS = frozenset({"offset_original", "offset", "gps", "exif_local", "filename"})
"""Sources of captured_at that tell when the shutter opened; a file's time does not."""
FACTS = np.dtype(
    [
        ("pdq", np.uint64, 4),
        ("phash", np.uint64),
        ("quality", np.float64),
        ("taken", np.float64),
        ("latitude", np.float64),
        ("longitude", np.float64),
        ("hashed", np.bool_),
        ("trusted", np.bool_),
    ]
)
ROW = struct.Struct("=32s8sdddd??")
"""One photo's facts as bytes, as FACTS lays them out."""


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


@dataclass(frozen=True)
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

    @cached_property
    def facts(self) -> NDArray[np.void]:
        """What comparisons need of each photo [n], as FACTS; NaN is unknown."""
        return np.frombuffer(b"".join(map(_facts, self.photos)), FACTS)

    @cached_property
    def alike(self) -> NDArray[np.float32]:
        """Cosines between all candidates [n, n]."""
        alike_nn: NDArray[np.float32] = self.vectors @ self.vectors.T
        return alike_nn

    def by_id(self) -> Pool:
        """The pool sorted by photo id, so that its order decides nothing."""
        order = sorted(range(len(self.photos)), key=lambda i: self.photos[i].photo_id)
        photos = [self.photos[i] for i in order]
        views = [self.views[i] for i in order] if self.views else ()
        return Pool(photos, self.cosines[order], self.vectors[order], self.bonds, views)

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


def measure(query: QueryFacts, pool: Pool) -> Signals:
    """Compare the query with every candidate, signal by signal."""
    facts = pool.facts
    unknown = np.full(len(facts), np.nan)
    pdq, phash, minutes, meters = unknown, unknown, unknown, unknown
    if query.hashes is not None:
        asked = np.frombuffer(query.hashes.pdq + query.hashes.phash, np.uint64)
        if query.hashes.pdq_quality > PDQ_MIN_QUALITY:
            apart = np.bitwise_count(facts["pdq"] ^ asked[:4]).sum(axis=1, dtype=np.int64)
            pdq = np.where(facts["trusted"], 1 - apart / PDQ_BITS, np.nan)
        bits = np.bitwise_count(facts["phash"] ^ asked[4])
        phash = np.where(facts["hashed"], 1 - bits / PHASH_BITS, np.nan)
    if query.captured_at is not None:
        minutes = np.abs(facts["taken"] - query.captured_at.timestamp()) / 60
    if query.latitude is not None and query.longitude is not None:
        meters = _meters(query.latitude, query.longitude, facts)
    return Signals(
        cosine=np.clip(pool.cosines.astype(np.float64), -1, 1),
        pdq=pdq,
        phash=phash,
        quality=facts["quality"],
        minutes_apart=minutes,
        meters_apart=meters,
        same_event=_same_event(query.bonds, pool),
        people=_people(query.bonds, pool),
    )


def combine(signals: Signals, config: SearchConfig) -> Floats:
    """Relevance -1..1 [n]: the cosine, raised towards 1 by the weighted evidence of other signals.

    Evidence can only raise a score, so a photo without EXIF or hashes is never punished for it.
    A quality below `poor_quality` lowers it by up to `poor_weight` standard deviations of the
    candidates' cosines, which means the same in every space, and leaves alone what stands out.
    """
    # fmax and fmin pass over NaN: what is unknown counts as none.
    pdq = np.fmax(0.0, 2 * signals.pdq - 1)
    phash = np.fmax(0.0, 2 * signals.phash - 1) / 2
    evidence = config.quality_weight * np.fmax(0.0, signals.quality)
    evidence += config.hash_weight * np.where(np.isnan(signals.pdq), phash, pdq)
    evidence += config.time_weight * np.fmax(0.0, np.exp(-signals.minutes_apart / 60))
    evidence += config.place_weight * np.fmax(0.0, np.exp(-signals.meters_apart / 200))
    evidence += config.event_weight * np.fmax(0.0, signals.same_event)
    evidence += config.people_weight * np.fmax(0.0, signals.people)
    score = signals.cosine + (1 - signals.cosine) * np.minimum(1.0, evidence)
    lack = np.fmax(0.0, 1 - signals.quality / config.poor_quality)
    spread = float(np.std(signals.cosine)) if len(signals.cosine) else 0.0
    less: Floats = np.maximum(-1.0, score - config.poor_weight * lack * spread)
    return less


def demote(quality: Quality | None, config: SearchConfig) -> float:
    """The factor 0..1 by which a photo of poor quality counts less among those with equal words."""
    if quality is None:
        return 1.0
    return 1.0 - config.poor_words_weight * max(0.0, 1 - quality.score / config.poor_quality)


def _facts(photo: Photo) -> bytes:
    exif, hashes = photo.exif, photo.hashes
    taken = latitude = longitude = math.nan
    if exif.captured_at is not None and exif.captured_source in CLOCKS:
        taken = exif.captured_at.timestamp()
    if exif.latitude is not None and exif.longitude is not None:
        latitude, longitude = exif.latitude, exif.longitude
    known = hashes or NO_HASHES
    return ROW.pack(
        known.pdq,
        known.phash,
        photo.quality.score if photo.quality is not None else math.nan,
        taken,
        latitude,
        longitude,
        hashes is not None,
        known.pdq_quality > PDQ_MIN_QUALITY,
    )


def _meters(latitude: float, longitude: float, facts: NDArray[np.void]) -> Floats:
    """Great-circle distances [n] (haversine)."""
    lat, lon = math.radians(latitude), math.radians(longitude)
    lats, lons = np.radians(facts["latitude"]), np.radians(facts["longitude"])
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
