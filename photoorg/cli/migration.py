"""`photoorg reembed`, `photoorg maintain` and `photoorg spaces`: from one model to the next."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from photoorg.cli.index import open_versions
from photoorg.cli.output import table
from photoorg.cli.paging import add_page, more, span
from photoorg.cli.parser import Commands
from photoorg.cli.progress import ProgressLine
from photoorg.cli.session import Session
from photoorg.registry import load

STEPS = ("people_new", "trash", "videos", "people", "events", "anomalies", "dedup", "people_anew")


def add_to(commands: Commands) -> None:
    """Add `reembed`, `maintain` and `spaces list`."""
    reembed = commands.add(
        "reembed",
        "embed the stored photos in another space and build a shadow index",
        "photoorg reembed --space clip-vit-b-32-laion2b",
        _reembed,
    )
    reembed.add_argument("--space", required=True, metavar="NAME", help="a space, or its file")
    maintain = commands.add(
        "maintain",
        "keep the library in order: meant to run every hour, once a day and once a week",
        "photoorg maintain --daily --json",
        _maintain,
    )
    period = maintain.add_mutually_exclusive_group()
    period.add_argument(
        "--daily",
        action="store_true",
        help="also empty the trash; centres, covers and questions of people; events; anomalies",
    )
    period.add_argument(
        "--weekly",
        action="store_true",
        help="all of --daily; find duplicates; cluster people anew where many faces are new",
    )
    spaces = commands.group("spaces", "show embedding spaces", "photoorg spaces list")
    listing = spaces.add("list", "list the spaces of the library", "photoorg spaces list", _spaces)
    add_page(listing, after="ID", limit=100)


def _reembed(args: argparse.Namespace, session: Session) -> None:
    done = load("pipelines.reembed:run")(
        session.config(), args.space, progress=ProgressLine(sys.stderr)
    )
    text = (
        "Nothing was lacking"
        if not done["photos"]
        else (
            f"{done['photos']} photos embedded in {done['space']} ({done['images_per_second']:.1f} "
            f"images/s, {done['images_per_day']} a day), {done['rejects']} could not be"
        )
    )
    text += f"; version {done['version']} {'serves' if done['status'] == 'active' else 'waits'}"
    if done["added"]:
        text += f", {done['added']} photos were added to it"
    if done["lacking"]:
        text += f"; it lacks {done['lacking']} that may be read another time: run this again"
    if done["status"] != "active":
        text += f".\nNext: photoorg index compare {done['version']}"
    session.out.reply(done, text)


def _maintain(args: argparse.Namespace, session: Session) -> int:
    period = "weekly" if args.weekly else "daily" if args.daily else "hourly"
    done = load("pipelines.maintain:run")(session.config(), period=period)
    compaction = done.get("compaction")
    compacted = compaction is not None and compaction["compacted"]
    lines = [
        f"{'compacted; ' if compacted else ''}{len(done.get('purged', ()))} versions purged, "
        f"{len(done.get('abandoned', ()))} abandoned builds removed, "
        f"{done.get('trimmed', 0)} log entries trimmed"
    ]
    lines += [f"{step}: {_told(done[step])}" for step in STEPS if done.get(step)]
    lines += (done.get("health") or {}).get("problems", [])
    lines += [f"{step} failed: {why}" for step, why in done["failed"].items()]
    session.out.reply(done, "\n".join(lines))
    return 1 if done["failed"] else 0


def _told(report: dict[str, Any]) -> str:
    """The plain values of a report."""
    plain = {k: v for k, v in report.items() if isinstance(v, int | float | str) and k != "space"}
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in plain.items())


def _spaces(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import indexes, spaces

    with open_versions(session) as (_, config, catalog), catalog.tenant(config.tenant) as tx:
        known = spaces.list_spaces(tx)
        route = spaces.route(tx)
        live = {v.space_id for v in indexes.list_versions(tx) if v.status in indexes.LIVE}
    ids = [space.id for space in known]
    part, following = span(args, ids, "space")
    shown = known[part]
    default = route.default.id if route.default is not None else None
    entries = [
        {**s.to_dict(), "default": s.id == default, "has_index": s.id in live} for s in shown
    ]
    rows = [
        (s.id, s.kind, s.dim, ", ".join(s.modalities), "default" if s.id == default else "")
        for s in shown
    ]
    text = table(rows, ("space", "kind", "dim", "takes", "")) if ids else "No space is known yet."
    session.out.reply({"spaces": entries, "next_cursor": following}, text + more(following))
