"""Fitting the confidence of pairs and the threshold of groups to labelled photos."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.confidence import Model, features, fit, model_of
from photoorg.curate.duplicates import group
from photoorg.curate.facts import Facts
from photoorg.curate.scoring import BURST, Scored
from photoorg.curation_config import DedupConfig
from photoorg.errors import InputError

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
PhotoPairs = dict[tuple[str, str], float]

LEAST = 20
"""Pairs of either answer that a fit needs."""
FOLDS = 5
THRESHOLDS = (*(round(0.3 + 0.02 * n, 2) for n in range(35)), 0.99)
WANTED_PRECISION = 0.98


@dataclass(frozen=True, slots=True)
class Judged:
    """Pairs of photos by id: `scored` all that were compared, `together` those of one group."""

    scored: PhotoPairs
    together: PhotoPairs


@dataclass(frozen=True, slots=True)
class Calibration:
    """What labelled pairs say. `before` is the model in force at its threshold; `after` is from
    models that had not seen the photos of the pairs they judge (cross-validation).
    """

    model: Model
    confidence: float
    pairs: int
    same: int
    before: Judged
    after: Judged


def calibrate(
    facts: Facts, found: Scored, labels: Mapping[str, str], config: DedupConfig
) -> Calibration:
    """Fit weights and threshold to the pairs whose photos both have a label (blank: in no group).

    The threshold is that of highest recall among those whose groups have a precision of
    WANTED_PRECISION, else that of best F1; weights are held near those in force. Frames of a burst
    are left out. InputError where fewer than LEAST pairs of either answer were compared.
    """
    ids = facts.ids()
    label = np.asarray([labels.get(photo, "") for photo in ids])
    listed = np.asarray([photo in labels for photo in ids], np.bool_)
    known = listed[found.first] & listed[found.second] & (found.kind != BURST)
    found = found.take(np.flatnonzero(known))
    same = (label[found.first] == label[found.second]) & (label[found.first] != "")
    if min(int(same.sum()), int((~same).sum())) < LEAST:
        raise InputError(
            f"Only {int(same.sum())} compared pairs share a group and {int((~same).sum())} do not; "
            f"{LEAST} of either are needed.",
            fix="Label more files; photos in no group have a blank group.",
        )
    x_nf, start = features(found.evidence), model_of(config.weights)
    unseen = replace(found, confidence=_unseen(x_nf, same, _folds(found, label), start))
    confidence = max(THRESHOLDS, key=lambda threshold: _worth(unseen, label, threshold))
    return Calibration(
        fit(x_nf, same, start),
        confidence,
        len(same),
        int(same.sum()),
        _judged(ids, found, config.confidence),
        _judged(ids, unseen, confidence),
    )


def _folds(found: Scored, label: NDArray[np.str_]) -> NDArray[np.int64]:
    """The fold of each end of each pair [n, 2]; photos of one group share theirs."""
    of_photo = np.asarray(
        [
            zlib.crc32(text.encode()) % FOLDS if text else row % FOLDS
            for row, text in enumerate(label.tolist())
        ]
    )
    return np.stack([of_photo[found.first], of_photo[found.second]], axis=1)


def _unseen(x_nf: Floats, same: Mask, fold_n2: NDArray[np.int64], start: Model) -> Floats:
    """Confidence of each pair by a model fitted without any pair of either photo's fold."""
    result = np.zeros(len(same))
    low, high = fold_n2.min(axis=1), fold_n2.max(axis=1)
    for a in range(FOLDS):
        for b in range(a, FOLDS):
            asked = (low == a) & (high == b)
            if asked.any():
                apart = ~np.isin(fold_n2, (a, b)).any(axis=1)
                model = fit(x_nf[apart], same[apart], start)
                result[asked] = model.of(x_nf[asked])
    return result


def _worth(found: Scored, label: NDArray[np.str_], threshold: float) -> tuple[bool, float]:
    """Whether groups are precise enough, and recall if they are, else F1."""
    together = [
        (a, b)
        for star in group(found, threshold)
        for a, b in combinations((star.keeper, *star.members), 2)
    ]
    right = sum(bool(label[a]) and label[a] == label[b] for a, b in together)
    precision = right / len(together) if together else 0.0
    recall = right / max(1, _true_pairs(label))
    if precision >= WANTED_PRECISION:
        return True, recall
    return False, 2 * precision * recall / (precision + recall) if right else 0.0


def _true_pairs(label: NDArray[np.str_]) -> int:
    counts = np.unique(label[label != ""], return_counts=True)[1]
    return int((counts * (counts - 1) // 2).sum())


def _judged(ids: list[str], found: Scored, threshold: float) -> Judged:
    scored = {
        (ids[a], ids[b]): float(c)
        for a, b, c in zip(
            found.first.tolist(), found.second.tolist(), found.confidence, strict=True
        )
    }
    together: PhotoPairs = {}
    for star in group(found, threshold):
        least = float(found.confidence[list(star.pairs)].min())
        members = sorted((star.keeper, *star.members))
        together |= {(ids[a], ids[b]): least for a, b in combinations(members, 2)}
    return Judged(scored, together)
