"""Curves as pictures, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from photoorg.errors import InputError, ResourceError
from photoorg.evaluate.refit import Curve, Refit

AXIS = (0, 1.02)


def draw_refits(fits: Sequence[Refit], path: Path) -> None:
    """Precision against recall before and after, a panel for each kind, as a PNG.

    ResourceError where matplotlib is missing, InputError where the file cannot be written.
    """
    figure = _figure(len(fits))
    for place, fit in enumerate(fits, start=1):
        axes = figure.add_subplot(1, len(fits), place)
        for name, curve in (("before", fit.before), ("after", fit.after)):
            axes.plot(curve.recall, curve.precision, label=f"{name} (AUC {curve.roc_auc:.3f})")
        axes.set(xlabel="recall", ylabel="precision", xlim=AXIS, ylim=AXIS)
        axes.set_title(f"{fit.kind}: {fit.verdicts} verdicts")
        axes.legend(loc="lower left")
    _save(figure, path)


def draw_pairs(curve: Curve, area: float, threshold: float, path: Path) -> None:
    """Precision against recall, and both against the confidence they are reached from, as a PNG.

    `area` is the PR-AUC, `threshold` the confidence in force. Errors as of draw_refits.
    """
    figure = _figure(2)
    axes = figure.add_subplot(1, 2, 1)
    axes.plot(
        curve.recall, curve.precision, label=f"PR-AUC {area:.3f}, ROC-AUC {curve.roc_auc:.3f}"
    )
    axes.set(xlabel="recall", ylabel="precision", xlim=AXIS, ylim=AXIS)
    axes.legend(loc="lower left")
    axes = figure.add_subplot(1, 2, 2)
    for name, values in (("precision", curve.precision), ("recall", curve.recall)):
        axes.plot(curve.thresholds, values, label=name)
    axes.axvline(threshold, color="grey", linestyle=":", label=f"threshold {threshold:g}")
    axes.set(xlabel="confidence from", xlim=AXIS, ylim=AXIS)
    axes.legend(loc="lower left")
    _save(figure, path)


def draw_ranks(curves: Mapping[str, Sequence[float]], path: Path) -> None:
    """Measures by name at k = 1, 2, ... as a PNG. Errors as of draw_refits."""
    figure = _figure(1)
    axes = figure.add_subplot(1, 1, 1)
    for name, values in curves.items():
        axes.plot(range(1, len(values) + 1), values, marker=".", label=name)
    axes.set(xlabel="k", ylim=AXIS)
    axes.legend(loc="lower right")
    _save(figure, path)


def _figure(panels: int) -> Any:
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ResourceError(
            "Drawing curves needs matplotlib, which is not installed.",
            fix="`pip install matplotlib`, or leave --png out: --json holds the curves.",
        ) from None
    figure = Figure(figsize=(4.5 * max(1, panels), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _save(figure: Any, path: Path) -> None:
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.",
            fix="Name a PNG file in a folder that is there.",
        ) from None
