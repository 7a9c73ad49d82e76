"""Faces found again by where they are in the photo, when they were detected anew."""

from __future__ import annotations

from collections.abc import Sequence

Box = tuple[float, float, float, float]
LEAST = 0.4
"""Two detectors box the same face with an overlap well above this, neighbours stay far below."""


def match(known: Sequence[Box], found: Sequence[Box], least: float = LEAST) -> dict[int, int]:
    """Known box -> found box, one to one, the best overlaps first, none below `least`."""
    pairs = sorted(
        (
            (-overlap(a, b), i, j)
            for i, a in enumerate(known)
            for j, b in enumerate(found)
            if overlap(a, b) >= least
        ),
    )
    matched: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, j in pairs:
        if i not in matched and j not in taken:
            matched[i] = j
            taken.add(j)
    return matched


def overlap(a: Box, b: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height); 0 for boxes without area."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    common = width * height
    return common / (a[2] * a[3] + b[2] * b[3] - common)
