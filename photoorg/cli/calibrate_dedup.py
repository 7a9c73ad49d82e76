"""`photoorg calibrate dedup`: fit the confidence of duplicates to a labelled folder."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from photoorg.cli.evaluate_dedup import by_file, read_truth, require_files, throw_away
from photoorg.cli.ingest import ingest
from photoorg.cli.output import table
from photoorg.cli.parser import Commands
from photoorg.cli.session import (
    ACTOR,
    Session,
    catalog_transaction,
    open_catalog,
    override,
    running_database,
)
from photoorg.config import PhotoOrgConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.registry import load

if TYPE_CHECKING:
    from photoorg.curate.calibrating import Judged
    from photoorg.evaluate.pairs import PairScores
    from photoorg.evaluate.refit import Curve


def add_to(group: Commands) -> None:
    """Add `calibrate dedup` to the group `calibrate`."""
    parser = group.add(
        "dedup",
        "fit the confidence of duplicates to labelled files; changes nothing without --apply",
        "photoorg calibrate dedup ~/labelled --truth truth.csv --png curves.png\n"
        "photoorg calibrate dedup ~/labelled --truth truth.csv --apply",
        _calibrate,
    )
    parser.add_argument("folder", metavar="DIR", help="a folder with the files")
    parser.add_argument(
        "--truth", metavar="CSV", required=True, help="columns file,group; a blank group: in none"
    )
    parser.add_argument("--space", metavar="FILE", help="space file or name (default: configured)")
    parser.add_argument("--apply", action="store_true", help="put the new values in force")
    parser.add_argument("--png", metavar="FILE", help="draw the curves (needs matplotlib)")


def _calibrate(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.calibrated import values_of, with_values
    from photoorg.curate.calibrating import calibrate
    from photoorg.store.catalog import thresholds

    folder = Path(args.folder).expanduser().resolve()
    if not folder.is_dir():
        raise NotFoundError(f"There is no folder {folder}.", fix="Check the path.")
    labelled = require_files(read_truth(Path(args.truth).expanduser(), folder), session)
    with TemporaryDirectory(prefix="photoorg-calibrate-") as scratch:
        plain = throw_away(session.config(encoder={"space": args.space}), scratch)
        with running_database(plain) as config:
            ingest(config, [str(folder)])
            space, photos = _ingested(config)
            known = _in_force(session, space)
            now = with_values(config.dedup, known)
            weights = {"weights": now.weights, "confidence": now.confidence}
            facts, found = load("pipelines.dedup:compared")(override(config, dedup=weights))
    labels = {photos[str(path)]: label for path, label in labelled.items() if str(path) in photos}
    done = calibrate(facts, found, labels, now)
    values = values_of(done.model, done.confidence)
    before, before_curve, before_area = _measured(labelled, photos, done.before)
    after, after_curve, after_area = _measured(labelled, photos, done.after)
    drawn = None
    if args.png:  # first: a file that cannot be written must leave everything as it was
        drawn = _draw(Path(args.png).expanduser(), before, before_curve, after, after_curve)
    token = None
    if args.apply:
        with catalog_transaction(session) as tx:
            token = thresholds.change(tx, space, values, ACTOR).token
    changes = {n: {"before": known.get(n), "after": v} for n, v in values.items()}
    data = {
        "space": space,
        "applied": bool(args.apply),
        "undo_token": token,
        "pairs": done.pairs,
        "same": done.same,
        "before": _figures(before, before_area, now.confidence) | {"curve": asdict(before_curve)},
        "after": _figures(after, after_area, done.confidence) | {"curve": asdict(after_curve)},
        "changes": changes,
        "png": drawn,
    }
    rows = [
        (name, *(f"{v:.4f}" for v in _figures(scores, area, threshold).values()))
        for name, scores, area, threshold in (
            ("before", before, before_area, now.confidence),
            ("after, unseen", after, after_area, done.confidence),
        )
    ]
    header = ("", "precision", "recall", "F1", "ROC-AUC", "PR-AUC", "threshold")
    text = f"{table(rows, header)}\n{done.pairs} pairs compared, {done.same} of one group\n"
    if token:
        text += f"in force from the next scan on; take it back: photoorg calibrate undo {token}"
    else:
        text += "nothing was changed (--apply puts it in force)"
    session.out.reply(data, text)


def _ingested(config: PhotoOrgConfig) -> tuple[str, dict[str, str]]:
    """Id of the space the files were embedded in, and the photo of each file."""
    from photoorg.store.catalog import sources, spaces
    from photoorg.store.sources import local_file

    with open_catalog(config) as catalog, catalog.tenant(config.tenant) as tx:
        space = spaces.get_default(tx, "image")
        if space is None:
            raise InputError("None of the files could be read as a picture.")
        return space.id, {str(local_file(uri)): photo for uri, photo in sources.photos(tx)}


def _in_force(session: Session, space: str) -> dict[str, float]:
    """What was fitted for the tenant and the space before."""
    from photoorg.store.catalog import thresholds

    with catalog_transaction(session) as tx:
        return thresholds.get_all(tx, space)


def _measured(
    labelled: dict[Path, str], photos: dict[str, str], judged: Judged
) -> tuple[PairScores, Curve, float]:
    """Scores over files, with the curve and PR-AUC."""
    from photoorg.evaluate.pairs import pair_curve, score

    files = by_file(labelled, photos, judged.together, judged.scored)
    curve, area = pair_curve(files.labels, files.confidence, files.counts)
    return score(files.labels, files.found, files.confidence, files.counts), curve, area


def _figures(scores: PairScores, area: float, threshold: float) -> dict[str, Any]:
    return {
        "precision": round(scores.precision, 4),
        "recall": round(scores.recall, 4),
        "f1": round(scores.f1, 4),
        "roc_auc": round(scores.roc_auc or 0.0, 4),
        "pr_auc": round(area, 4),
        "threshold": threshold,
    }


def _draw(path: Path, before: PairScores, old: Curve, after: PairScores, new: Curve) -> str:
    from photoorg.evaluate.curves import draw_refits
    from photoorg.evaluate.refit import Refit

    pairs = after.n * (after.n - 1) // 2
    fit = Refit("duplicate", pairs, after.positives, old, new, before.f1, after.f1, {})
    draw_refits([fit], path)
    return str(path)
