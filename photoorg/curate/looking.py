"""Laying the pictures of unsure pairs over each other."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.alignment import Prepared, aligned, prepare
from photoorg.curate.facts import Facts
from photoorg.curate.scoring import Scored, judged
from photoorg.curate.turns import TURNS, turned_pixels
from photoorg.curation_config import DedupConfig

SURE_PDQ, SURE_PHASH, SURE_SHAPE = 10, 4, 0.01
"""Hashes as near as this need no look at the pictures."""
PREPARED = 256
THREADS = 2


class Pictures(Protocol):
    """Small pictures of photos."""

    def gray(self, photo_id: str) -> NDArray[np.uint8] | None:
        """Luminance [height, width] of the photo, some 400 pixels; None if there is none."""

    def rgb(self, photo_id: str) -> NDArray[np.uint8] | None:
        """The same in colour, [height, width, 3]."""


class Looker:
    """Looks at the pictures of unsure pairs, config.looks pairs in all; `looked` counts them."""

    def __init__(self, facts: Facts, pictures: Pictures, config: DedupConfig) -> None:
        self.looked = 0
        self._ids = facts.ids()
        self._pictures = pictures
        self._config = config
        self._kept: OrderedDict[tuple[int, int], Prepared | None] = OrderedDict()
        self._lock = Lock()

    def look(self, found: Scored) -> Scored:
        """The pairs judged anew with how well they can be laid over each other, likeliest first."""
        evidence = found.evidence
        with np.errstate(invalid="ignore"):
            sure = (evidence.pdq <= SURE_PDQ) & (evidence.phash <= SURE_PHASH)
            sure &= (evidence.shape <= SURE_SHAPE) & (evidence.turn == 0)
        unsure = np.flatnonzero(~sure)
        order = np.lexsort((found.second[unsure], found.first[unsure], -found.confidence[unsure]))
        chosen = np.sort(unsure[order[: max(0, self._config.looks - self.looked)]])
        with ThreadPoolExecutor(THREADS, thread_name_prefix="look") as pool:
            values = list(
                pool.map(
                    self._agreement,
                    found.first[chosen].tolist(),
                    found.second[chosen].tolist(),
                    evidence.turn[chosen].tolist(),
                )
            )
        self.looked += len(chosen)
        result = evidence.aligned.copy()
        result[chosen] = values
        known = replace(evidence, aligned=result)
        return judged(found.first, found.second, known, self._config)

    def _agreement(self, first: int, second: int, turn: int) -> float:
        """How well the two can be laid over each other, the second turned; NaN if unknown."""
        a, b = self._prepared(first, 0), self._prepared(second, turn)
        return float("nan") if a is None or b is None else aligned(a, b)

    def _prepared(self, row: int, turn: int) -> Prepared | None:
        """A picture made ready; the last PREPARED of them are kept."""
        with self._lock:
            if (row, turn) in self._kept:
                self._kept.move_to_end((row, turn))
                return self._kept[row, turn]
        gray = self._pictures.gray(self._ids[row])
        made = None
        if gray is not None:
            made = prepare(np.ascontiguousarray(turned_pixels(gray, TURNS[turn])))
        with self._lock:
            self._kept[row, turn] = made
            while len(self._kept) > PREPARED:
                self._kept.popitem(last=False)
        return made
