"""`photoorg events`: find events, look at them, and put them right."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction
from photoorg.registry import load

if TYPE_CHECKING:
    from photoorg.store.catalog.events import Event


def add_to(commands: Commands) -> None:
    """Add `events` with its commands."""
    group = commands.group(
        "events", "occasions: runs of photos that belong together", "photoorg events detect"
    )
    found = group.add("detect", "find the events anew", "photoorg events detect", _detect)
    found.add_argument("--no-visual", action="store_true", help="do not look at what photos show")
    listed = group.add("list", "list events, the latest first", "photoorg events list", _list)
    add_page(listed)
    _home(listed)
    listed.add_argument("--trip", type=int, metavar="TRIP", help="only the events of a trip")
    away = group.add(
        "trips", "list trips: two days or more away from home", "photoorg events trips", _trips
    )
    add_page(away)
    shown = group.add("show", "one event and its photos", "photoorg events show 12", _show)
    shown.add_argument("event", type=int, metavar="EVENT")
    add_page(shown)
    _home(shown)
    split = group.add(
        "split", "part an event in two", "photoorg events split 12 --at 3f9a... ", _split
    )
    split.add_argument("event", type=int, metavar="EVENT")
    where = split.add_mutually_exclusive_group(required=True)
    where.add_argument("--at", metavar="PHOTO_ID", help="the first photo of the new event")
    where.add_argument("--photos", nargs="+", metavar="PHOTO_ID", help="photos of the new event")
    merge = group.add("merge", "put events into one", "photoorg events merge 12 13", _merge)
    merge.add_argument("events", type=int, nargs="+", metavar="EVENT", help="the first one stays")
    rename = group.add("rename", "name an event", "photoorg events rename 12 Wedding", _rename)
    rename.add_argument("event", type=int, metavar="EVENT")
    rename.add_argument("title", help='"" gives it back the title it has by itself')
    move = group.add(
        "move", "put photos into another event", "photoorg events move 3f9a... --to 12", _move
    )
    move.add_argument("photos", nargs="+", metavar="PHOTO_ID")
    move.add_argument("--to", type=int, metavar="EVENT", help="default: a new event")
    history = group.add("history", "list what people decided", "photoorg events history", _history)
    add_page(history, after="DECISION", kind=int)
    undo = group.add("undo", "take a decision back", "photoorg events undo 7", _undo)
    undo.add_argument("decision", type=int, metavar="DECISION")


def event_view(event: Event, *, show_home: bool) -> dict[str, Any]:
    """An event as plain JSON; what would tell where home is only with `show_home`."""
    data: dict[str, Any] = {name: getattr(event, name) for name in type(event).__slots__}
    if event.kind == "home" and not show_home:
        data |= {"latitude": None, "longitude": None, "place": None, "kind": "local"}
    return data


def _home(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--show-home", action="store_true", help="also tell which events are home")


def _detect(args: argparse.Namespace, session: Session) -> None:
    summary = load("pipelines.events:run")(session.config(), visual=not args.no_visual)
    clocks = "".join(
        f"\nthe clock of {c['camera']} was put right by {c['seconds'] / 60:.0f} min "
        f"({c['photos']} photos)"
        for c in summary.clocks
    )
    session.out.reply(
        summary.to_dict(),
        f"{summary.events} events ({summary.new} new, {summary.trips} trips) of {summary.photos} "
        f"photos in {summary.seconds:.1f} s; {summary.undated} photos have no time{clocks}",
    )


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import events

    with catalog_transaction(session) as tx:
        found, following = events.page(tx, after=args.after, limit=limit_of(args), trip=args.trip)
    views = [event_view(event, show_home=args.show_home) for event in found]
    rows = [(e["event_id"], e["title"], e["photos"], e["kind"], e["trip_title"]) for e in views]
    none = "There are no events yet: `photoorg events detect`."
    if args.trip is not None:
        none = f"There is no trip {args.trip}: `photoorg events trips` lists them."
    text = table(rows, ("event", "title", "photos", "kind", "trip")) if rows else none
    session.out.reply({"events": views, "next_cursor": following}, text + more(following))


def _trips(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import events

    with catalog_transaction(session) as tx:
        found, following = events.trips(tx, after=args.after, limit=limit_of(args))
    rows = [(t.trip_id, t.title, t.events, t.photos) for t in found]
    none = "There are no trips: home is not known, or nobody left it for two days."
    text = table(rows, ("trip", "title", "events", "photos")) if rows else none
    trips = [{n: getattr(t, n) for n in type(t).__slots__} for t in found]
    session.out.reply({"trips": trips, "next_cursor": following}, text + more(following))


def _show(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.event_edits import require
    from photoorg.store.catalog import events

    with catalog_transaction(session) as tx:
        event = require(tx, args.event)
        photos, following = events.photo_page(
            tx, args.event, after=args.after, limit=limit_of(args)
        )
    view = event_view(event, show_home=args.show_home)
    lines = [f"{event.title}: {event.photos} photos", *photos]
    data = {"event": view, "photo_ids": photos, "next_cursor": following}
    session.out.reply(data, "\n".join(lines) + more(following))


def _split(args: argparse.Namespace, session: Session) -> None:
    _change(session, "split", args.event, at=args.at, photo_ids=args.photos or ())


def _merge(args: argparse.Namespace, session: Session) -> None:
    _change(session, "merge", args.events)


def _rename(args: argparse.Namespace, session: Session) -> None:
    _change(session, "rename", args.event, args.title)


def _move(args: argparse.Namespace, session: Session) -> None:
    _change(session, "move", args.photos, args.to)


def _change(session: Session, method: str, *args: Any, **options: Any) -> None:
    from photoorg.curate.event_edits import EventEdits

    with catalog_transaction(session) as tx:
        event, decision = getattr(EventEdits(tx, ACTOR), method)(*args, **options)
    session.out.reply(
        {"event": event_view(event, show_home=False), "decision": decision},
        f"event {event.event_id}: {event.title}, {event.photos} photos\n"
        f"to take it back: photoorg events undo {decision}",
    )


def _history(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import event_decisions

    with catalog_transaction(session) as tx:
        found, following = event_decisions.page(tx, before=args.after, limit=limit_of(args))
    views = [{n: getattr(d, n) for n in type(d).__slots__} for d in found]
    rows = [(d.decision_id, d.kind, d.event_id, d.actor, d.at, d.undone_at or "") for d in found]
    header = ("decision", "kind", "event", "by", "at", "undone")
    none = "Nobody has changed an event yet." if args.after is None else "There are none before."
    text = table(rows, header) if rows else none
    session.out.reply({"decisions": views, "next_cursor": following}, text + more(following))


def _undo(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.event_edits import EventEdits

    with catalog_transaction(session) as tx:
        changed = EventEdits(tx, ACTOR).undo(args.decision)
    session.out.reply(
        {"undone": args.decision, "events": changed}, f"decision {args.decision} is taken back"
    )
