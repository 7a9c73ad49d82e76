"""Laying the pictures of unsure pairs over each other."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.alignment import UNKNOWN, Alignment, Prepared, aligned
from photoorg.curate.evidence import Evidence, gather
from photoorg.curate.facts import Facts
from photoorg.curate.local_features import LocalFeatures
from photoorg.curate.scoring import Scored, judged
from photoorg.curation_config import DedupConfig

SURE_PDQ, SURE_PHASH, SURE_SHAPE = 10, 4, 0.01
"""Hashes as near as this need no look at the pictures."""
PREPARED = 1024
"""Pictures kept ready: some 150 MB."""
THREADS = 2


def sure(evidence: Evidence) -> NDArray[np.bool_]:
    """Pairs of pictures whose hashes leave nothing to look for."""
    with np.errstate(invalid="ignore"):
        near = (evidence.pdq <= SURE_PDQ) & (evidence.phash <= SURE_PHASH)
        near &= (evidence.shape <= SURE_SHAPE) & (evidence.turn == 0)
    return near


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
        self._facts = facts
        self._ids = facts.ids()
        self._pictures = pictures
        self._config = config
        self._kept: OrderedDict[int, Prepared | None] = OrderedDict()
        self._lock = Lock()

    def features(self, row: int) -> LocalFeatures | None:
        """Local features of a photo, None if there is no picture."""
        prepared = self._prepared(row)
        return None if prepared is None else prepared.features

    def look(self, found: Scored, *, vain: NDArray[np.bool_] | None = None) -> Scored:
        """The pairs judged anew with how well they can be laid over each other, likeliest first.

        Pairs that are `vain` are known to share nothing and are not looked at.
        """
        evidence = found.evidence
        if vain is not None:
            aligned = np.where(vain & ~sure(evidence), 0.0, evidence.aligned)
            evidence = replace(evidence, aligned=aligned)
            found = judged(found.first, found.second, evidence, self._config)
        unsure = np.flatnonzero(~sure(evidence) & np.isnan(evidence.aligned))
        order = np.lexsort((found.second[unsure], found.first[unsure], -found.confidence[unsure]))
        chosen = np.sort(unsure[order[: max(0, self._config.looks - self.looked)]])
        with ThreadPoolExecutor(THREADS, thread_name_prefix="look") as pool:
            seen = list(
                pool.map(
                    self._seen,
                    found.first[chosen].tolist(),
                    found.second[chosen].tolist(),
                    evidence.turn[chosen].tolist(),
                )
            )
        self.looked += len(chosen)
        return judged(found.first, found.second, self._known(found, chosen, seen), self._config)

    def _known(self, found: Scored, chosen: NDArray[np.int64], seen: list[Alignment]) -> Evidence:
        """The evidence with what was seen; hashes and shapes are compared in the turn that was."""
        turn = found.evidence.turn.copy()
        turn[chosen] = [s.turn for s in seen]
        other = np.flatnonzero(turn != found.evidence.turn)
        first, second = found.first[other], found.second[other]
        cosine = found.evidence.cosine
        known = found.evidence.replaced(
            other, gather(self._facts, first, second, cosine[other], turn=turn[other])
        )
        told = {
            "aligned": [s.agreement for s in seen],
            "steady": [s.steady for s in seen],
            "changed": [s.changed for s in seen],
            "moved": [s.moved for s in seen],
            "matched": [s.matched for s in seen],
        }
        columns = {name: getattr(known, name).copy() for name in told}
        for name, values in told.items():
            columns[name][chosen] = values
        return replace(known, **columns)

    def _seen(self, first: int, second: int, turn: int) -> Alignment:
        """How the two are laid over each other, the second turned if nothing tells how."""
        a, b = self._prepared(first), self._prepared(second)
        if a is None or b is None:
            return UNKNOWN._replace(turn=turn)
        return aligned(a, b, turn)

    def _prepared(self, row: int) -> Prepared | None:
        """A picture made ready; the last PREPARED of them are kept."""
        with self._lock:
            if row in self._kept:
                self._kept.move_to_end(row)
                return self._kept[row]
        gray = self._pictures.gray(self._ids[row])
        made = None if gray is None else Prepared(gray)
        with self._lock:
            self._kept[row] = made
            while len(self._kept) > PREPARED:
                self._kept.popitem(last=False)
        return made
