"""Signals in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from photoorg.config import SearchConfig
from photoorg.views import FULL, in_words

PLACES = ((20, "same place within 20 m"), (100, "within 100 m"), (1_000, "within 1 km"))
DAY_MINUTES = 24 * 60


def explain(signals: Mapping[str, float], config: SearchConfig, view: str = "") -> tuple[str, ...]:
    """Why a photo was found, strongest reason first; never empty.

    `view` is the part of it that is so like the query, where photos have several.
    """
    part = (f"{in_words(view)} matches best",) if view not in ("", FULL) else ()
    return (
        _look(signals, config),
        *part,
        *_place(signals),
        *_bonds(signals),
        *_time(signals),
        *_quality(signals),
    )


def explain_words(words: Sequence[str]) -> tuple[str, ...]:
    """Which words of the question a photo has."""
    return (f"""has {" and ".join(f'"{w}"' for w in words)}""",) if words else ()


def _look(signals: Mapping[str, float], config: SearchConfig) -> str:
    cosine = signals["cosine"]
    bits_apart = round((1 - signals.get("pdq", 0.0)) * 256)
    if bits_apart <= config.fold_pdq_bits and cosine >= config.fold_cosine:
        return "near-identical"
    if signals.get("phash", 0.0) >= 0.875:
        return f"same composition (similarity {cosine:.2f})"
    return f"similar content (similarity {cosine:.2f})"


def _place(signals: Mapping[str, float]) -> tuple[str, ...]:
    if "meters_apart" not in signals:
        return ()
    return next(((text,) for limit, text in PLACES if signals["meters_apart"] <= limit), ())


def _bonds(signals: Mapping[str, float]) -> tuple[str, ...]:
    event = ("same event",) if signals.get("same_event", 0.0) > 0 else ()
    people = ("people in common",) if signals.get("people", 0.0) > 0 else ()
    return (*event, *people)


def _time(signals: Mapping[str, float]) -> tuple[str, ...]:
    minutes = signals.get("minutes_apart", DAY_MINUTES + 1)
    if minutes < 1:
        return (f"taken {_count(round(minutes * 60), 'second')} apart",)
    if minutes < 60:
        return (f"taken {_count(round(minutes), 'minute')} apart",)
    if minutes <= DAY_MINUTES:
        return (f"taken {_count(round(minutes / 60), 'hour')} apart",)
    return ()


def _quality(signals: Mapping[str, float]) -> tuple[str, ...]:
    return ("good technical quality",) if signals.get("quality", 0.0) >= 0.7 else ()


def _count(n: int, unit: str) -> str:
    return f"{n} {unit}" if n == 1 else f"{n} {unit}s"
