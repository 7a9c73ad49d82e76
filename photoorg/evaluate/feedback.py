"""Re-fitting a tenant's thresholds to its feedback, and putting them in force."""

from __future__ import annotations

from dataclasses import dataclass

from photoorg.errors import NotFoundError
from photoorg.evaluate.refit import Refit, refit
from photoorg.store.catalog import feedback, spaces, thresholds
from photoorg.store.catalog.connection import Transaction
from photoorg.store.catalog.feedback import Verdict
from photoorg.store.catalog.thresholds import Change

KINDS = ("search", "similar", "duplicate", "person")


@dataclass(frozen=True, slots=True)
class Fitted:
    """What the feedback in a space says; `changes` are (in force, fitted) values by name."""

    space: str
    fits: tuple[Refit, ...]
    changes: dict[str, tuple[float | None, float]]
    mean_click_position: float | None


def fit_feedback(tx: Transaction) -> Fitted:
    """Fit every kind of verdict with enough of them; writes nothing.

    NotFoundError before the tenant has an embedding space.
    """
    space = spaces.get_default(tx, "image")
    if space is None:
        raise NotFoundError("No space is known yet.", fix="Run `photoorg ingest` first.")
    in_force = thresholds.get_all(tx, space.id)
    verdicts = feedback.verdicts(tx, space.id)
    fits = []
    for kind in KINDS:
        own = [(v, score) for v in verdicts if v.kind == kind and (score := _judged(v)) is not None]
        fit = refit(
            kind,
            [score for _, score in own],
            [v.accepted for v, _ in own],
            [v.signals for v, _ in own],
            in_force,
        )
        if fit is not None:
            fits.append(fit)
    changes = {
        name: (in_force.get(name), value)
        for fit in fits
        for name, value in fit.values.items()
        if in_force.get(name) != value
    }
    clicks = feedback.positions(tx)
    mean = round(sum(clicks) / len(clicks), 3) if clicks else None
    return Fitted(space.id, tuple(fits), changes, mean)


def _judged(verdict: Verdict) -> float | None:
    """The score that a threshold is for: of answers to words and looks, what looks alone gave."""
    if verdict.kind == "search" and "text" in verdict.signals:
        return verdict.signals.get("relevance")
    return verdict.signals.get("relevance", verdict.score)


def apply(tx: Transaction, fitted: Fitted, actor: str) -> Change:
    """Put the fitted values in force."""
    values = {name: after for name, (_, after) in fitted.changes.items()}
    return thresholds.change(tx, fitted.space, values, actor)
