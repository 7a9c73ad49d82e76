"""A library with words drawn by Zipf's law, and questions to it of every kind people ask."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.catalog_fill import FIRST_DAY, Library
from photoorg.search.filters import Filter, Labels, Near, People, Range, Span

WORDS, LABELS, NAMES, PLACES, YEARS = 30_000, 80, 300, 400, 17
CAPTION, READ = 5, 20
READ_SHARE, SHOWN_SHARE, PER_EVENT = 0.05, 0.25, 100
Draw = np.random.Generator


@dataclass(frozen=True)
class Question:
    """What is asked: the kind, the text, and the filter beside it."""

    kind: str
    text: str
    where: Filter | None = None


def library(n: int, seed: int) -> Library:
    """What is said of n photos: five words each and three tags, of some text, people, a place.

    The commonest tag is on about half of them, the commonest word on a third.
    """
    draw = np.random.default_rng(seed)
    words = vocabulary(draw, WORDS + LABELS + 2 * NAMES + PLACES)
    said, rest = np.array(words[:WORDS]), words[WORDS:]
    labels, rest = rest[:LABELS], rest[LABELS:]
    names = [f"{a} {b}" for a, b in zip(rest[:NAMES], rest[NAMES : 2 * NAMES], strict=True)]
    drawn = zipf(draw, WORDS, (n, CAPTION))
    read = np.flatnonzero(draw.random(n) < READ_SHARE)
    events = max(1, n // PER_EVENT)
    event_n = draw.integers(0, events, n)
    return Library(
        captions=[" ".join(said[row]) for row in drawn],
        ocr={int(i): " ".join(said[zipf(draw, WORDS, READ)]) for i in read},
        labels=labels,
        label_nk=zipf(draw, LABELS, (n, 3)),
        names=names,
        name_n=np.where(draw.random(n) < SHOWN_SHARE, zipf(draw, NAMES, n), -1),
        places=rest[2 * NAMES :],
        place_e=zipf(draw, PLACES, events),
        event_n=event_n,
        day_n=draw.integers(0, 365 * YEARS, events)[event_n],
        quality_n=draw.random(n).astype(np.float32),
        latitude_n=draw.uniform(-60, 70, events)[event_n],
        longitude_n=draw.uniform(-180, 180, events)[event_n],
    )


def questions(lib: Library, each: int, seed: int) -> list[Question]:
    """`each` questions of every kind, in mixed order."""
    draw = np.random.default_rng(seed)
    kinds = _Kinds(lib, draw)
    made = [Question(kind, *make()) for kind, make in kinds.all().items() for _ in range(each)]
    return [made[i] for i in draw.permutation(len(made))]


class _Kinds:
    def __init__(self, lib: Library, draw: Draw) -> None:
        self._lib = lib
        self._draw = draw
        counts: dict[str, int] = {}
        for caption in lib.captions[:200_000]:
            for word in caption.split():
                counts[word] = counts.get(word, 0) + 1
        self._by_count = sorted(counts, key=lambda w: (-counts[w], w))

    def all(self) -> dict[str, Callable[[], tuple[str, Filter | None]]]:
        """A maker of questions for each kind."""
        return {
            "common": lambda: (self._some(self._commonest(), 3), None),
            "words": lambda: (self._some(self._by_count, 3), None),
            "rare": lambda: (self._some(self._rarest(), 2), None),
            "sentence": lambda: (self._some(self._by_count, 8, 6), None),
            "prefix": lambda: (self._word()[: int(self._draw.integers(3, 5))], None),
            "misspelt": lambda: (f"{self._misspelt()} {self._word()}", None),
            "name": lambda: (f"{self._of(self._lib.names)} {self._of(self._lib.labels)}", None),
            "place": lambda: (f"{self._of(self._lib.places)} {self._of(self._lib.labels)}", None),
            "date": lambda: (f"{self._of(self._lib.labels)} {self._date()}", None),
            "filter": lambda: (f"{self._of(self._lib.labels)} {self._word()}", self._filter()),
        }

    def _commonest(self) -> list[str]:
        return [*self._by_count[:10], *self._lib.labels[:10]]

    def _rarest(self) -> list[str]:
        return self._by_count[len(self._by_count) // 2 :][::-1]

    def _some(self, words: list[str], most: int, least: int = 1) -> str:
        count = int(self._draw.integers(least, most + 1))
        if words is self._by_count:
            at = self._zipf(len(words), count)
        else:
            at = self._draw.integers(0, len(words), count)
        return " ".join(words[i] for i in at.tolist())

    def _word(self) -> str:
        return self._some(self._by_count, 1)

    def _of(self, words: Any) -> str:
        return str(words[int(self._zipf(len(words), 1)[0])])

    def _zipf(self, size: int, count: int) -> NDArray[np.int64]:
        return zipf(self._draw, size, count)

    def _misspelt(self) -> str:
        word = self._word()
        at = int(self._draw.integers(1, len(word) - 1))
        return f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}"

    def _date(self) -> str:
        year = FIRST_DAY.year + int(self._draw.integers(0, YEARS))
        season = ["summer", "winter", "spring", "autumn"][int(self._draw.integers(4))]
        month = date(2000, int(self._draw.integers(1, 13)), 1).strftime("%B")
        return [f"{season} {year}", f"{month} {year}", f"{year}"][int(self._draw.integers(3))]

    def _filter(self) -> Filter:
        row = int(self._draw.integers(len(self._lib.captions)))
        lat, lon = float(self._lib.latitude_n[row]), float(self._lib.longitude_n[row])
        day = (FIRST_DAY + timedelta(days=int(self._lib.day_n[row]))).date()
        return [
            lambda: Filter(tags=Labels(any=(self._of(self._lib.labels),))),
            lambda: Filter(quality=Range(min=round(float(self._draw.uniform(0.3, 0.95)), 3))),
            lambda: Filter(near=Near(lat=lat, lon=lon, km=float(self._draw.integers(20, 400)))),
            lambda: Filter(people=People(any=(self._of(self._lib.names),))),
            lambda: Filter(taken=Span(after=day, before=day + timedelta(days=30))),
            lambda: Filter(device=("iphone",), quality=Range(min=0.5)),
        ][int(self._draw.integers(6))]()


def zipf(draw: Draw, size: int, shape: Any) -> NDArray[np.int64]:
    """Ranks 0..size-1, each with a chance of 1 / (rank + 1)."""
    chance = 1 / np.arange(1, size + 1)
    return draw.choice(size, shape, p=chance / chance.sum())


def vocabulary(draw: Draw, count: int) -> list[str]:
    """Different pronounceable words, none of which a stemmer shortens."""
    made: dict[str, None] = {}
    while len(made) < count:
        parts = draw.integers(0, [16, 5, 16, 5, 6])
        word = "".join(
            ["bcdfghklmnprtvwz"[parts[0]], "aeiou"[parts[1]], "bcdfghklmnprtvwz"[parts[2]],
             "aou"[parts[3] % 3], "kmnprt"[parts[4]], "aou"[draw.integers(3)]]
        )  # fmt: skip
        made[word] = None
    return list(made)
