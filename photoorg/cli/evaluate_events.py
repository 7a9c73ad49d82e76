"""`photoorg evaluate events`: how well events are found in a labelled list of photos."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from photoorg.cli.parser import Commands
from photoorg.cli.session import Session
from photoorg.config import PhotoOrgConfig

if TYPE_CHECKING:
    from photoorg.curate.timeline import Shot


def add_to(group: Commands) -> None:
    """Add `events` to the group `evaluate`."""
    parser = group.add(
        "events",
        "find events in FILE and compare them with its labels",
        "photoorg evaluate events trips.json --json",
        _events,
        tenant=False,
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        help='JSON list of {"file", "time", "lat", "lon", "event"}; a null event does not count',
    )
    parser.add_argument(
        "--space",
        metavar="FILE",
        help="also look at what the photos show, where they lie beside FILE: space file or name",
    )


def _events(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.events import detect
    from photoorg.curate.labelled import read_labelled
    from photoorg.curate.timeline import timeline
    from photoorg.evaluate.clustering import scores

    config = session.config(encoder={"space": args.space})
    file = Path(args.file).expanduser()
    shots, truth = read_labelled(file)
    seen = look_at(shots, file.parent, config, session) if args.space else None
    started = time.monotonic()
    detected = detect(timeline(shots), config.events, seen)
    seconds = time.monotonic() - started
    found = detected.event_n.tolist()
    score = scores(truth, found)
    data = {
        "pairwise_f1": round(score.pairwise_f1, 4),
        "precision": round(score.pairwise_precision, 4),
        "recall": round(score.pairwise_recall, 4),
        "events": len(set(found)),
        "true_events": len({event for event in truth if event is not None}),
        "nmi": round(score.nmi, 4),
        "ari": round(score.ari, 4),
        "photos": len(shots),
        "labelled": score.n,
        "looked_at": 0 if seen is None else int(seen.any(axis=1).sum()),
        "clocks_set": [
            {"camera": s.camera, "seconds": s.seconds, "photos": s.photos} for s in detected.shifts
        ],
        "seconds": round(seconds, 3),
    }
    session.out.reply(
        data,
        f"pairwise F1 {score.pairwise_f1:.3f} (precision {score.pairwise_precision:.3f}, recall "
        f"{score.pairwise_recall:.3f})\n{len(set(found))} events found, {data['true_events']} "
        f"labelled, {len(shots)} photos in {seconds:.2f} s",
    )


def look_at(
    shots: Sequence[Shot], folder: Path, config: PhotoOrgConfig, session: Session
) -> NDArray[np.float32] | None:
    """Unit-norm vectors [n, dim] of the photos that lie in `folder`, zeros for the others.

    None if none of them is there or can be read; ConfigError for a space there is none of.
    """
    from photoorg.cli.evaluate import read_embedded, vectors_only
    from photoorg.cli.ingest import ingest
    from photoorg.encoders.spaces import load_spec

    load_spec(config.encoder.space)
    rows: dict[Path, int] = {}
    for row, shot in enumerate(shots):
        path = Path(os.path.abspath(folder / shot.name))
        if shot.name and path.is_file():
            rows.setdefault(path, row)
    if not rows:
        session.out.note(f"None of the photos lies in {folder}: only times and places count.")
        return None
    with TemporaryDirectory(prefix="photoorg-evaluate-", ignore_cleanup_errors=True) as scratch:
        config = vectors_only(config, scratch)
        embedded = read_embedded(config, ingest(config, [str(path) for path in rows]))
    if not embedded.files:
        session.out.note("None of the photos can be read: only times and places count.")
        return None
    whole = embedded.x_nw.shape[1] // embedded.views
    x_nd = np.zeros((len(shots), whole), np.float32)
    x_nd[[rows[path] for path in embedded.files]] = embedded.x_nw[:, :whole]
    return x_nd
