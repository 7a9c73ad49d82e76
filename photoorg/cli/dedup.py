"""`photoorg dedup`: find duplicates, look at them, resolve them, take it back."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction, open_catalog
from photoorg.config import PhotoOrgConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.registry import load

KINDS = ("exact", "copy", "edit", "burst")
STATES = ("open", "merged", "ignored", "stacked")
PREVIEWED = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99)


def add_to(commands: Commands) -> None:
    """Add `dedup scan|list|show|resolve|undo|preview|stats`."""
    group = commands.group("dedup", "find and resolve duplicates", "photoorg dedup scan")
    scan = group.add("scan", "look for duplicates among all photos", "photoorg dedup scan", _scan)
    scan.add_argument(
        "--confidence",
        type=float,
        metavar="X",
        help="suggest from X on, 0..1 (default: calibrated or configured)",
    )
    scan.add_argument(
        "--hashes-only", action="store_true", help="neither vectors nor pictures: the quickest"
    )
    listing = group.add(
        "list",
        "list groups of duplicates, the surest first",
        "photoorg dedup list --limit 20",
        _list,
    )
    add_page(listing)
    listing.add_argument("--kind", choices=KINDS)
    listing.add_argument("--status", choices=STATES, default="open")
    listing.add_argument("--confidence", type=float, default=0.0, metavar="X", help="from X on")
    show = group.add("show", "show one group with its evidence", "photoorg dedup show 7", _show)
    show.add_argument("group", type=int, metavar="GROUP")
    resolve = group.add(
        "resolve",
        "keep one and trash the rest (merge), keep all (ignore), or stack",
        "photoorg dedup resolve 7 merge\nphotoorg dedup resolve 7 ignore --not-duplicates",
        _resolve,
    )
    resolve.add_argument("group", type=int, metavar="GROUP")
    resolve.add_argument("action", choices=("merge", "ignore", "stack"))
    resolve.add_argument("--keep", metavar="PHOTO", help="the photo to keep (default: suggested)")
    resolve.add_argument(
        "--not-duplicates", action="store_true", help="with ignore: never group any two of them"
    )
    undo = group.add("undo", "take a resolution back", "photoorg dedup undo TOKEN", _undo)
    undo.add_argument("token", metavar="TOKEN", help="undo_token that resolve gave")
    preview = group.add(
        "preview",
        "count what thresholds would suggest, without writing",
        "photoorg dedup preview --confidence 0.7 --confidence 0.9",
        _preview,
    )
    preview.add_argument("--confidence", type=float, action="append", metavar="X")
    group.add("stats", "count groups, photos and bytes", "photoorg dedup stats --json", _stats)


def scan(config: PhotoOrgConfig, confidence: float | None = None) -> dict[str, Any]:
    """Run the duplicate job; photos, pairs, groups, bytes, seconds and more."""
    done: dict[str, Any] = load("pipelines.dedup:run")(config, confidence=confidence)
    return done


def scan_line(done: dict[str, Any]) -> str:
    """What a scan found, in one line for people."""
    return (
        f"{done['photos']} photos: {done['groups']} groups ({done['new_groups']} new) with "
        f"{done['duplicates']} duplicates, {megabytes(done['bytes'])} to reclaim; "
        f"{done['seconds']:.1f} s"
    )


def megabytes(size: int) -> str:
    """A size for people."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def _scan(args: argparse.Namespace, session: Session) -> None:
    if args.confidence is not None:
        _fraction(args.confidence)
    sections: dict[str, Any] = {"neighbours": 0, "looks": 0} if args.hashes_only else {}
    done = scan(session.config(dedup=sections), args.confidence)
    session.out.reply(done, scan_line(done))


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import duplicates

    with catalog_transaction(session) as tx:
        groups, cursor = duplicates.page(
            tx,
            after=args.after,
            limit=limit_of(args),
            least=_fraction(args.confidence),
            kind=args.kind,
            status=args.status,
        )
    rows = [
        (
            g.group_id,
            g.kind,
            f"{g.confidence:.3f}",
            len(g.members),
            megabytes(g.reclaimable),
            _name(g, g.keeper_id),
            g.reason,
        )
        for g in groups
    ]
    header = ("group", "kind", "confidence", "photos", "reclaims", "keep", "because")
    text = table(rows, header) if rows else "No groups: `photoorg dedup scan` looks for them."
    data = {"groups": [asdict(g) for g in groups], "next_cursor": cursor}
    session.out.reply(data, text + more(cursor))


def _show(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import duplicates

    with catalog_transaction(session) as tx:
        group = duplicates.get(tx, args.group)
    if group is None:
        raise NotFoundError(
            f"There is no group {args.group}.", fix="`photoorg dedup list` shows those there are."
        )
    head = (
        f"group {group.group_id}: {group.kind}, confidence {group.confidence:.3f}, "
        f"{group.status}, {megabytes(group.reclaimable)} to reclaim\n"
        f"keep {_name(group, group.keeper_id)}: {group.reason}"
    )
    rows = [
        (
            m.photo_id[:12],
            f"{m.confidence:.3f}",
            f"{m.width} x {m.height}",
            megabytes(m.size),
            "trash" if m.trashed else "",
            m.uri,
            "; ".join(m.evidence),
        )
        for m in group.members
    ]
    header = ("photo", "confidence", "pixels", "size", "", "file", "evidence")
    session.out.reply(asdict(group), f"{head}\n{table(rows, header)}")


def _resolve(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import resolutions

    if args.not_duplicates and args.action != "ignore":
        raise InputError("--not-duplicates goes with ignore only.")
    with catalog_transaction(session) as tx:
        done = resolutions.resolve(
            tx,
            args.group,
            args.action,
            keeper_id=args.keep,
            distinct=args.not_duplicates,
            actor=ACTOR,
        )
    moved = f", {len(done.removed)} in the trash" if done.removed else ""
    session.out.reply(
        asdict(done),
        f"group {done.group_id}: {args.action} done{moved}\n"
        f"take it back: photoorg dedup undo {done.undo_token}",
    )


def _undo(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import resolutions

    with catalog_transaction(session) as tx:
        done = resolutions.undo(tx, args.token, actor=ACTOR)
    session.out.reply(
        asdict(done), f"group {done.group_id} is open again, {len(done.restored)} photos restored"
    )


def _preview(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.calibrated import in_force
    from photoorg.curate.sweep import preview

    asked = {_fraction(x) for x in args.confidence or PREVIEWED}
    config = session.config()
    with open_catalog(config) as catalog, catalog.tenant(config.tenant) as tx:
        now = in_force(tx, config.dedup)
        if not args.confidence:
            asked.add(now.confidence)
        effects = preview(tx, now, sorted(asked))
    rows = [(f"{e.confidence:g}", e.groups, e.photos, megabytes(e.bytes)) for e in effects]
    session.out.reply(
        {
            "thresholds": [asdict(e) for e in effects],
            "floor": now.floor,
            "in_force": now.confidence,
        },
        table(rows, ("confidence", "groups", "duplicates", "reclaims"))
        + f"\nin force: {now.confidence:g}",
    )


def _stats(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import duplicates

    with catalog_transaction(session) as tx:
        counts = duplicates.counts(tx)
    rows = [
        (state, of["groups"], of["photos"], megabytes(of["bytes"]))
        for state, of in counts["groups"].items()
    ]
    text = table(rows, ("status", "groups", "duplicates", "bytes")) if rows else "No groups yet."
    text += (
        f"\n{counts['photos_in_several_files']} photos lie in several files with the same bytes "
        f"({counts['files_beyond_the_first']} files beyond the first); "
        f"{counts['decisions']} decisions about pairs"
    )
    session.out.reply(counts, text)


def _name(group: Any, photo_id: str) -> str:
    uri = next((m.uri for m in group.members if m.photo_id == photo_id), photo_id[:12])
    return str(uri).rpartition("/")[2]


def _fraction(value: float) -> float:
    if not 0.0 <= value <= 1.0:
        raise InputError(f"A confidence is between 0 and 1, not {value:g}.")
    return value
