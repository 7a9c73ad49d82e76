"""`photoorg calibrate`: fit thresholds and weights to what is known to be right."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from photoorg.cli import calibrate_dedup
from photoorg.cli.events import ACTOR, catalog_transaction
from photoorg.cli.output import table
from photoorg.cli.parser import Commands
from photoorg.cli.session import Session

if TYPE_CHECKING:
    from photoorg.evaluate.refit import Refit


def add_to(commands: Commands) -> None:
    """Add `calibrate feedback|dedup|undo`."""
    group = commands.group("calibrate", "fit thresholds and weights", "photoorg calibrate feedback")
    parser = group.add(
        "feedback",
        "fit them to what people accepted and rejected; changes nothing without --apply",
        "photoorg calibrate feedback --png curves.png",
        _feedback,
    )
    parser.add_argument("--apply", action="store_true", help="put the new values in force")
    parser.add_argument("--png", metavar="FILE", help="draw the curves (needs matplotlib)")
    calibrate_dedup.add_to(group)
    undo = group.add(
        "undo", "take back what --apply put in force", "photoorg calibrate undo TOKEN", _undo
    )
    undo.add_argument("token", metavar="TOKEN", help="undo_token that --apply gave")


def _undo(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import thresholds

    with catalog_transaction(session) as tx:
        space, values, token = thresholds.undo(tx, args.token, ACTOR)
    told = ", ".join(f"{n}: {'configured' if v is None else v}" for n, v in values.items())
    session.out.reply(
        {"space": space, "values": values, "undo_token": token},
        f"in force again: {told}\ntake that back: photoorg calibrate undo {token}",
    )


def _feedback(args: argparse.Namespace, session: Session) -> None:
    from photoorg.evaluate.feedback import apply, fit_feedback

    with catalog_transaction(session) as tx:
        fitted = fit_feedback(tx)
        token = apply(tx, fitted, ACTOR) if args.apply else None
    fits, changes = fitted.fits, fitted.changes
    drawn = _draw(fits, Path(args.png).expanduser()) if args.png and fits else None
    data = {
        "space": fitted.space,
        "applied": token is not None,
        "undo_token": token,
        "changes": {n: {"before": old, "after": new} for n, (old, new) in changes.items()},
        "fits": [asdict(fit) for fit in fits],
        "mean_click_position": fitted.mean_click_position,
        "png": drawn,
    }
    rows = [
        (f.kind, f.verdicts, f.accepted, f.before.roc_auc, f.after.roc_auc, f.f1_before, f.f1_after)
        for f in fits
    ]
    header = ("kind", "verdicts", "accepted", "AUC before", "after", "F1 before", "after")
    text = (
        table(rows, header)
        if rows
        else ("Too little feedback yet: 20 verdicts of a kind are needed, 5 of either answer.")
    )
    if changes:
        told = ", ".join(f"{n} {old} -> {new}" for n, (old, new) in changes.items())
        text += f"\n{'changed' if args.apply else 'would change (--apply)'}: {told}"
    if token:
        text += f"\ntake it back: photoorg calibrate undo {token}"
    session.out.reply(data, text)


def _draw(fits: Sequence[Refit], path: Path) -> str:
    from photoorg.evaluate.curves import draw_refits

    draw_refits(fits, path)
    return str(path)
