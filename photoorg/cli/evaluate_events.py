"""`photoorg evaluate events`: how well events are found in a labelled list of photos."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from photoorg.cli.parser import Commands
from photoorg.cli.session import Session


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


def _events(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.events import detect
    from photoorg.curate.labelled import read_labelled
    from photoorg.curate.timeline import timeline
    from photoorg.evaluate.clustering import scores

    config = session.config()
    shots, truth = read_labelled(Path(args.file).expanduser())
    started = time.monotonic()
    detected = detect(timeline(shots), config.events)
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
