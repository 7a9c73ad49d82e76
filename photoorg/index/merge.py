"""The best of several result lists."""

from __future__ import annotations

import heapq
from collections.abc import Sequence

from photoorg.models import Candidate


def rank(candidate: Candidate) -> tuple[float, str]:
    """Sort key: higher scores first, equal scores by photo id."""
    return (-candidate.score, candidate.photo_id)


def merge(lists: Sequence[Sequence[Candidate]], k: int) -> list[Candidate]:
    """The k best of lists that are each in order of rank(); a photo is taken at its best place."""
    best: list[Candidate] = []
    seen: set[str] = set()
    for candidate in heapq.merge(*lists, key=rank):
        if len(best) == k:
            break
        if candidate.photo_id not in seen:
            seen.add(candidate.photo_id)
            best.append(candidate)
    return best
