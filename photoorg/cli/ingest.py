"""`photoorg ingest`: photos from folders and buckets into the library."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, get_args

from photoorg.cli.parser import Commands
from photoorg.cli.progress import ProgressLine
from photoorg.cli.session import Session
from photoorg.config import IngestStage, PhotoOrgConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.registry import load

SHOWN_REJECTS = 10


def add_to(commands: Commands) -> None:
    """Add `ingest`."""
    parser = commands.add(
        "ingest",
        "read photos from folders or buckets into the library",
        "photoorg ingest ~/Pictures s3://my-bucket/2024",
        _ingest,
    )
    parser.add_argument("uris", metavar="URI", nargs="+", help="a folder, a file or s3://...")
    parser.add_argument("--force", action="store_true", help="also files that are known already")
    parser.add_argument(
        "--stage",
        action="append",
        choices=get_args(IngestStage),
        help="run only this stage (repeat for more)",
    )
    parser.add_argument("--limit", type=int, metavar="N", help="at most N new files")
    parser.add_argument("--dry-run", action="store_true", help="count what there is to do, no more")


def ingest(config: PhotoOrgConfig, uris: Sequence[str], **options: Any) -> Any:
    """Run the ingest job with a progress line on stderr; returns its IngestSummary."""
    require_files(config, uris)
    return load("pipelines.ingest:run")(
        config, list(uris), progress=ProgressLine(sys.stderr), **options
    )


def require_files(config: PhotoOrgConfig, uris: Sequence[str]) -> None:
    """Refuse sources that are not there or hold no file, before anything is started for them."""
    from photoorg.store.sources import list_source

    found = [next(iter(list_source(uri, config.source)), None) for uri in uris]
    if not any(found):
        raise NotFoundError(
            f"No files were found under {', '.join(uris)}.",
            fix="Check the path or prefix; hidden files are skipped.",
        )


def summary_line(summary: Any) -> str:
    """The summary in one line for people."""
    if summary.dry_run:
        return f"{summary.new} new files would be ingested; {summary.files} are known"
    live = summary.live_videos
    videos = f" ({live} of them videos of live photos)" if live else ""
    return (
        f"{summary.files} files: {summary.photos} photos, {summary.duplicates} duplicates{videos}, "
        f"{summary.rejects} rejected; {summary.new} new in {summary.seconds:.1f} s "
        f"({summary.images_per_second:.1f} images/s)"
    )


def rejected(config: PhotoOrgConfig, summary: Any) -> list[str]:
    """What this run could not use and why, at most SHOWN_REJECTS lines.

    Videos of live photos are counted in one: most of them found their still later in the run.
    """
    from photoorg.schema import LIVE_VIDEO
    from photoorg.stages.parts import INGEST, REJECTS
    from photoorg.store.layout import run_dir
    from photoorg.store.objects import ObjectStore
    from photoorg.store.runs import Run

    store = ObjectStore(config.storage)
    waiting = summary.waiting_videos
    lines = [f"  {waiting} videos of live photos wait for their stills"] if waiting else []
    for run_id in summary.run_ids if not summary.dry_run else ():
        run = Run(store, run_dir(config.tenant, INGEST, run_id))
        for part in run.parts():
            for row in run.read_part(part, name=REJECTS).to_pylist():
                if row["code"] == LIVE_VIDEO:
                    continue
                lines.append(f"  {row['key']}: {row['reason']}")
                if len(lines) == SHOWN_REJECTS:
                    return lines
    return lines


def _ingest(args: argparse.Namespace, session: Session) -> None:
    if args.limit is not None and args.limit < 1:
        raise InputError(f"--limit must be 1 or more, not {args.limit}.")
    config = session.config()
    summary = ingest(
        config,
        args.uris,
        force=args.force,
        stages=tuple(args.stage) if args.stage else None,
        limit=args.limit,
        dry_run=args.dry_run,
    )
    lines = rejected(config, summary)
    if lines:
        session.out.note("\n".join(["rejected (all of them: `photoorg rejects`):", *lines]))
    for name in summary.also:
        session.out.note(f"The library is moving to {name}: the new photos are in it there, too.")
    for name in summary.behind:
        session.out.note(
            "The library is moving to another space, or has moved: `photoorg reembed --space "
            f"{name}` adds the new photos there. No version that lacks them is made to serve."
        )
    session.out.reply(summary.to_dict(), summary_line(summary))
