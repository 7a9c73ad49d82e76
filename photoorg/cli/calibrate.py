"""`photoorg calibrate`: fit thresholds and weights to what is known to be right."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from photoorg.cli import calibrate_dedup
from photoorg.cli.output import table
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction, open_catalog

if TYPE_CHECKING:
    from photoorg.evaluate.refit import Refit

Changes = Mapping[str, tuple[float | None, float | None]]


def add_to(commands: Commands) -> None:
    """Add `calibrate search|feedback|dedup|show|undo`."""
    group = commands.group("calibrate", "fit thresholds and weights", "photoorg calibrate search")
    search = group.add(
        "search",
        "fit to the library's own vectors from what score on a hit is no chance",
        "photoorg calibrate search --dry-run",
        _search,
    )
    search.add_argument("--space", metavar="ID", help="embedding space (default: the tenant's)")
    search.add_argument("--dry-run", action="store_true", help="only show it")
    show = group.add("show", "list what is in force", "photoorg calibrate show", _show)
    undo = group.add(
        "undo",
        "take a change back: the last one, or that of a token",
        "photoorg calibrate undo\nphotoorg calibrate undo TOKEN",
        _undo,
    )
    undo.add_argument("token", metavar="TOKEN", nargs="?", help="undo_token that a change gave")
    for one in (show, undo):
        one.add_argument("--space", metavar="ID", help="embedding space (default: the tenant's)")
    parser = group.add(
        "feedback",
        "fit them to what people accepted and rejected; changes nothing without --apply",
        "photoorg calibrate feedback --png curves.png",
        _feedback,
    )
    parser.add_argument("--apply", action="store_true", help="put the new values in force")
    parser.add_argument("--png", metavar="FILE", help="draw the curves (needs matplotlib)")
    calibrate_dedup.add_to(group)


def _feedback(args: argparse.Namespace, session: Session) -> None:
    from photoorg.evaluate.feedback import apply, fit_feedback

    with catalog_transaction(session) as tx:
        fitted = fit_feedback(tx, session.config().search)
        fits, changes = fitted.fits, fitted.changes
        # First the picture: a file that cannot be written must leave everything as it was.
        drawn = _draw(fits, Path(args.png).expanduser()) if args.png and fits else None
        token = apply(tx, fitted, ACTOR).token if args.apply else None
    data = {
        "space": fitted.space,
        "applied": token is not None,
        "undo_token": token,
        "changes": _told(changes),
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
        what = "changed" if args.apply else "would change (--apply)"
        text += f"\n{what}: {_in_words(changes)}"
    if token:
        text += f"\ntake it back: photoorg calibrate undo {token}"
    session.out.reply(data, text)


def _search(args: argparse.Namespace, session: Session) -> None:
    from photoorg.stages.cutoffs import apply, fit_with_encoder, space_of

    config = session.config()
    with open_catalog(config) as catalog:
        with catalog.tenant(config.tenant) as tx:
            space = space_of(tx, args.space)
        fitted = fit_with_encoder(config, catalog, space)
        changes: Changes = {}
        token = None
        if not args.dry_run:
            with catalog.tenant(config.tenant) as tx:
                done = apply(tx, fitted, ACTOR)
            changes, token = done.values, done.token
    data = {
        "space": space.id,
        "photos": fitted.photos,
        "applied": bool(changes),
        "undo_token": token,
        "cutoffs": {kind: asdict(found) for kind, found in fitted.cutoffs.items()},
        "real_kept": fitted.real,
        "nonsense_refused": fitted.nonsense,
        "changes": _told(changes),
    }
    rows = [
        (
            kind,
            f"{found.best:.3f}",
            f"{found.floor:.3f}",
            f"{fitted.real[kind]:.1%}",
            f"{fitted.nonsense[kind]:.1%}" if kind in fitted.nonsense else "-",
        )
        for kind, found in fitted.cutoffs.items()
    ]
    header = ("query by", "best hit from", "hits from", "real kept", "nonsense refused")
    text = (
        table(rows, header)
        if rows
        else f"{fitted.photos} photos are too few to tell what chance looks like (40 are enough)."
    )
    session.out.reply(data, text)


def _show(args: argparse.Namespace, session: Session) -> None:
    from photoorg.stages.cutoffs import space_of
    from photoorg.store.catalog import thresholds

    with catalog_transaction(session) as tx:
        space = space_of(tx, args.space)
        found = dict(sorted(thresholds.get_all(tx, space.id).items()))
    rows = [(name, f"{value:g}") for name, value in found.items()]
    text = table(rows, ("name", "value")) if rows else "Nothing is set: the configuration decides."
    session.out.reply({"space": space.id, "thresholds": found}, text)


def _undo(args: argparse.Namespace, session: Session) -> None:
    from photoorg.stages.cutoffs import space_of
    from photoorg.store.catalog import thresholds

    with catalog_transaction(session) as tx:
        if args.token:
            done = thresholds.undo(tx, args.token, ACTOR)
        else:
            done = thresholds.undo_last(tx, space_of(tx, args.space).id, ACTOR)
    text = "Nothing to undo."
    if done.values:
        text = f"{_in_words(done.values)}\ntake that back: photoorg calibrate undo {done.token}"
    data = {"space": done.space_id, "changes": _told(done.values), "undo_token": done.token}
    session.out.reply(data, text)


def _told(changes: Changes) -> dict[str, dict[str, float | None]]:
    return {name: {"before": old, "after": new} for name, (old, new) in changes.items()}


def _in_words(changes: Changes) -> str:
    def value(number: float | None) -> str:
        return "configured" if number is None else f"{number:g}"

    return ", ".join(f"{n} {value(old)} -> {value(new)}" for n, (old, new) in changes.items())


def _draw(fits: Sequence[Refit], path: Path) -> str:
    from photoorg.evaluate.curves import draw_refits

    draw_refits(fits, path)
    return str(path)
