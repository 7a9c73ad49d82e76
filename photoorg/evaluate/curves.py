"""Curves of a re-fit as a picture, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from photoorg.errors import InputError, ResourceError
from photoorg.evaluate.refit import Refit


def draw_refits(fits: Sequence[Refit], path: Path) -> None:
    """Precision against recall before and after, a panel for each kind, as a PNG.

    ResourceError where matplotlib is missing, InputError where the file cannot be written.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise ResourceError(
            "Drawing curves needs matplotlib, which is not installed.",
            fix="`pip install matplotlib`, or leave --png out: --json holds the curves.",
        ) from None
    figure = Figure(figsize=(4.5 * max(1, len(fits)), 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    for place, fit in enumerate(fits, start=1):
        axes = figure.add_subplot(1, len(fits), place)
        for name, curve in (("before", fit.before), ("after", fit.after)):
            axes.plot(curve.recall, curve.precision, label=f"{name} (AUC {curve.roc_auc:.3f})")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
        axes.set_title(f"{fit.kind}: {fit.verdicts} verdicts")
        axes.legend(loc="lower left")
    try:
        figure.savefig(path, format="png", dpi=120)
    except OSError as error:
        raise InputError(
            f"{path} cannot be written: {error.strerror}.",
            fix="Name a PNG file in a folder that is there.",
        ) from None
