"""Which of several copies stays: rules in the order of the configuration, and why in words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from photoorg.curate.facts import Facts
from photoorg.curation_config import KeeperRule as Rule

Rank = NDArray[np.int32]
QUALITY_STEP = 0.05
"""Qualities that differ by less are alike; the next rule decides."""
RESOLUTION_STEP = 0.03
"""Photos whose logarithms of pixels differ by less are alike."""
FORMATS = ("RAW", "HEIF", "HEIC", "TIFF", "JPEG", "PNG", "AVIF", "WebP", "BMP", "GIF", "other")


def ranks(facts: Facts, rules: Sequence[Rule]) -> Rank:
    """The place of each photo among all, 0 the one to keep before any other; ids break ties."""
    columns = [_column(facts, rule) for rule in rules]
    names = np.ascontiguousarray(facts.keys).view("S32").reshape(-1)
    order = np.lexsort([names, *reversed(columns)])
    rank = np.empty(len(facts), np.int32)
    rank[order] = np.arange(len(facts), dtype=np.int32)
    return rank


def reason(facts: Facts, keeper: int, others: Sequence[int], rules: Sequence[Rule]) -> str:
    """Why `keeper` stays and not one of `others` (rows of facts): the first rule that decides."""
    group = facts.take(np.asarray([keeper, *others]))
    for rule in rules:
        column = _column(group, rule)
        mine, theirs = column[0], column[1:]
        if (theirs < mine).any():
            break  # chosen because all others are near it, not by this rule
        if (theirs > mine).all():
            return _said(facts, keeper, others, rule)
        if (theirs > mine).any():
            return _said(facts, keeper, others, rule) + ", as no other copy beats it"
    nearer = len(others) > 1
    return "nearest to all the others" if nearer else "the copies are alike; the first by id"


def _column(facts: Facts, rule: Rule) -> NDArray[np.float64]:
    """Smaller is better."""
    if rule == "resolution":
        pixels = np.log(np.maximum(facts.width.astype(np.float64) * facts.height, 1.0))
        return -np.round(pixels / RESOLUTION_STEP)
    if rule == "quality":
        return -np.round(np.nan_to_num(facts.quality, nan=0.0) / QUALITY_STEP)
    if rule == "oldest":
        return np.where(np.isnan(facts.taken), facts.added, facts.taken)
    column = {
        "favourite": ~facts.favourite,
        "album": ~facts.in_album,
        "original": ~facts.original,
        "format": facts.mime,
        "size": -facts.size,
    }[rule]
    return column.astype(np.float64)


def _said(facts: Facts, keeper: int, others: Sequence[int], rule: Rule) -> str:
    if rule == "resolution":
        best = max(others, key=lambda row: int(facts.width[row]) * int(facts.height[row]))
        return (
            f"highest resolution ({facts.width[keeper]} x {facts.height[keeper]}, the others at "
            f"most {facts.width[best]} x {facts.height[best]})"
        )
    if rule == "quality":
        return f"best quality ({facts.quality[keeper]:.2f})"
    if rule == "format":
        return f"best format ({FORMATS[int(facts.mime[keeper])]})"
    if rule == "size":
        return f"largest file ({facts.size[keeper]} bytes)"
    return {
        "favourite": "it is a favourite",
        "album": "it is in an album",
        "original": "its camera's own metadata is there and no editor's",
        "oldest": "it is the oldest",
    }[rule]
