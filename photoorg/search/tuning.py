"""What a tenant's thresholds say to a search: weights of the re-ranker, and what a hit must reach.

They are fitted by `photoorg calibrate` and by index builds, and kept in the catalog.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from photoorg.config import SearchConfig
from photoorg.errors import InputError
from photoorg.index.cutoffs import Cutoffs
from photoorg.models import Hit

LOWEST = -2.0
"""Below every cosine and every score."""
Cutoff = float | Literal["auto", "off"]
"""A least cosine, what was calibrated, or none."""
QueryKind = Literal["image", "text"]
WEIGHTS = ("quality", "hash", "time", "place", "event", "people")


@dataclass(frozen=True, slots=True)
class Limits:
    """What hits must reach: the `best` of them and each (`floor`) by cosine, each by `score`.

    `fitted` is what the cosines were calibrated to, None where they were not.
    """

    best: float = LOWEST
    floor: float = LOWEST
    score: float = LOWEST
    fitted: Cutoffs | None = None


NO_LIMITS = Limits()


def tuned(config: SearchConfig, thresholds: Mapping[str, float]) -> SearchConfig:
    """The configuration with the weights that were fitted to the tenant's feedback."""
    named = {f"{name}_weight": thresholds.get(f"rerank.{name}") for name in WEIGHTS}
    fitted = {name: value for name, value in named.items() if value is not None}
    return config.model_copy(update=fitted) if fitted else config


def limits_of(
    thresholds: Mapping[str, float],
    config: SearchConfig,
    kind: QueryKind,
    cutoff: Cutoff | None,
    *,
    similar: bool = False,
    narrowed: bool = False,
) -> Limits:
    """The limits of one query; InputError for an unknown cutoff.

    `cutoff` None is "auto", but for `similar` photos of one of the library's own, which is never
    nonsense: there it is "off". Where a filter has `narrowed` the question, what it allows is shown
    however far it is, if the query as such makes sense.
    """
    if cutoff is None:
        cutoff = "off" if similar else config.cutoff
    if isinstance(cutoff, str) and cutoff not in ("auto", "off"):
        raise InputError(f"{cutoff!r} is no cutoff.", fix='Use "auto", "off" or a cosine.')
    fitted = Cutoffs.of(thresholds, kind)
    known = fitted if fitted is not None and fitted.spread > 0 else None
    if not isinstance(cutoff, str):
        if not -1.0 <= cutoff <= 1.0:
            raise InputError(f"A cutoff of {cutoff:g} is no cosine.", fix="Use -1 to 1.")
        return Limits(floor=cutoff, fitted=known)
    if cutoff == "off":
        return Limits(fitted=known)
    accept = thresholds.get("similar.accept" if similar else "search.accept", LOWEST)
    least = _least_cosine(accept, config)
    if fitted is None:
        return Limits(floor=least, score=accept)
    floor = least if narrowed else max(least, fitted.floor)
    return Limits(fitted.best, floor, accept, known)


def with_chance(hits: Iterable[Hit], limits: Limits) -> tuple[Hit, ...]:
    """Hits with one more signal, `chance`: the share of unrelated photos that are as near."""
    fitted = limits.fitted
    if fitted is None:
        return tuple(hits)
    return tuple(
        replace(h, signals={**h.signals, "chance": round(fitted.chance(h.signals["cosine"]), 6)})
        if "cosine" in h.signals
        else h
        for h in hits
    )


def nothing_near(best: float, limits: Limits) -> str:
    """Why there is nothing, in words."""
    found = f"best similarity {best:.2f}, " if best > LOWEST else ""
    return (
        f"nothing in the library is nearer to this than chance ({found}{limits.best:.2f} is "
        "needed); cutoff off shows it all the same"
    )


def _least_cosine(score: float, config: SearchConfig) -> float:
    """Below this cosine no evidence lifts a photo to the score."""
    most = sum(float(getattr(config, f"{name}_weight")) for name in WEIGHTS)
    if score <= LOWEST or most >= 1.0:
        return LOWEST
    return (score - most) / (1 - most)
