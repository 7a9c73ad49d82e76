"""Re-fitting a tenant's thresholds to its feedback, and putting them in force."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from photoorg.config import SearchConfig
from photoorg.errors import NotFoundError
from photoorg.evaluate.refit import WEIGHTS, Refit, refit
from photoorg.store.catalog import feedback, spaces, thresholds
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.feedback import Verdict
from photoorg.store.catalog.thresholds import Change

KINDS = ("similar", "search", "duplicate", "person")
"""Those that share weights first: what one of them is fitted to, the other is held against."""
NAMED = "rerank."
RANKED = ("similar", "search")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the feedback in a space says; `changes` are (in force, fitted) values by name."""

    space: str
    fits: tuple[Refit, ...]
    changes: dict[str, tuple[float | None, float]]
    mean_click_position: float | None


def fit_feedback(tx: Transaction, config: SearchConfig | None = None) -> Fitted:
    """Fit every kind of verdict with enough of them; writes nothing.

    Searches of all kinds share their weights: where verdicts of one kind change them, those of the
    other get a threshold for the new ones. `config` has the weights that were never fitted.
    NotFoundError before the tenant has an embedding space.
    """
    space = spaces.get_default(tx, "image")
    if space is None:
        raise NotFoundError("No space is known yet.", fix="Run `photoorg ingest` first.")
    in_force = thresholds.get_all(tx, space.id)
    verdicts = feedback.verdicts(tx, space.id)
    fits = {kind: fit for kind in KINDS if (fit := _fit(kind, verdicts, in_force)) is not None}
    leading = next((k for k in RANKED if k in fits and _weights_of(fits[k].values)), None)
    if leading is not None:
        used = _configured(config or SearchConfig()) | _weights_of(in_force)
        used |= _weights_of(fits[leading].values)
        for kind in RANKED:
            if kind != leading and kind in fits:
                other = _fit(kind, verdicts, in_force, used)
                fits |= {kind: other} if other is not None else {}
    changes = {
        name: (in_force.get(name), value)
        for fit in fits.values()
        for name, value in fit.values.items()
        if in_force.get(name) != value
    }
    clicks = feedback.positions(tx)
    mean = round(sum(clicks) / len(clicks), 3) if clicks else None
    return Fitted(space.id, tuple(fits.values()), changes, mean)


def _fit(
    kind: str,
    verdicts: Sequence[Verdict],
    in_force: Mapping[str, float],
    given: Mapping[str, float] | None = None,
) -> Refit | None:
    own = [(v, score) for v in verdicts if v.kind == kind and (score := _judged(v)) is not None]
    return refit(
        kind,
        [score for _, score in own],
        [v.accepted for v, _ in own],
        [v.signals for v, _ in own],
        in_force,
        given=given,
    )


def _weights_of(values: Mapping[str, float]) -> dict[str, float]:
    return {n.removeprefix(NAMED): v for n, v in values.items() if n.startswith(NAMED)}


def _configured(config: SearchConfig) -> dict[str, float]:
    return {name: float(getattr(config, f"{name}_weight")) for name in WEIGHTS}


def _judged(verdict: Verdict) -> float | None:
    """The score that a threshold is for: of answers to words and looks, what looks alone gave."""
    if verdict.kind == "search" and "text" in verdict.signals:
        return verdict.signals.get("relevance")
    return verdict.signals.get("relevance", verdict.score)


def apply(tx: Transaction, fitted: Fitted, actor: str) -> Change:
    """Put the fitted values in force."""
    values = {name: after for name, (_, after) in fitted.changes.items()}
    return thresholds.change(tx, fitted.space, values, actor)
