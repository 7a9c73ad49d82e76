"""`photoorg people`: who is in the photos."""

from __future__ import annotations

import argparse
import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction, open_catalog
from photoorg.config import PhotoOrgConfig
from photoorg.registry import load

if TYPE_CHECKING:
    from photoorg.curate.people import People
    from photoorg.store.catalog import Catalog
    from photoorg.store.catalog.faces_of_people import StoredFace
    from photoorg.store.catalog.people import Merge, Person

FACE = re.compile(r"(?P<photo>[0-9a-f]{64}):(?P<number>\d{1,6})")
ID = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def add_to(commands: Commands) -> None:
    """Add the `people` group."""
    group = commands.group("people", "find and name the people in photos", "photoorg people list")
    enable = group.add(
        "enable", "agree to reading faces (off by default)", "photoorg people enable", _enable
    )
    disable = group.add(
        "disable",
        "withdraw the consent and delete faces, embeddings and assignments",
        "photoorg people disable --user ann",
        _disable,
    )
    for parser in (enable, disable):
        parser.add_argument(
            "--user", metavar="NAME", help="only this user (default: the tenant and people.user)"
        )
    cluster = group.add(
        "cluster", "group the faces into persons", "photoorg people cluster", _cluster
    )
    cluster.add_argument("--new", action="store_true", help="only place faces that came since")
    cluster.add_argument("--space", metavar="ID", help="face space (default: the most used)")
    listing = group.add(
        "list", "list persons, those with most faces first", "photoorg people list", _list
    )
    listing.add_argument("--hidden", action="store_true", help="hidden persons too")
    listing.add_argument("--unnamed", action="store_true", help="only persons without a name")
    show = group.add("show", "show a person's faces and history", "photoorg people show 7", _show)
    suggestions = group.add(
        "suggestions", "list persons that may be one", "photoorg people suggestions", _suggestions
    )
    answer = suggestions.add_mutually_exclusive_group()
    for option, told in (
        ("--refuse", "these two are not one person"),
        ("--reopen", "take a refusal back"),
    ):
        answer.add_argument(option, nargs=2, type=int, metavar="ID", help=told)
    name = group.add("name", "name a person", "photoorg people name 7 Ann", _name)
    name.add_argument("person", type=int, metavar="ID")
    name.add_argument("name", metavar="NAME", help="an empty name takes it away")
    merge = group.add("merge", "make one person of two", "photoorg people merge 7 12", _merge)
    merge.add_argument("kept", type=int, metavar="KEPT")
    merge.add_argument("merged", type=int, metavar="MERGED")
    unmerge = group.add("unmerge", "take a merge back", "photoorg people unmerge 12", _unmerge)
    hide = group.add("hide", "leave a person out of lists", "photoorg people hide 7", _hide)
    hide.add_argument("--undo", action="store_true", help="show the person again")
    merges = group.add("merges", "list the merges of a person", "photoorg people merges 7", _merges)
    for parser in (show, merges, unmerge, hide):
        parser.add_argument("person", type=int, metavar="ID")
    split = group.add(
        "split", "make a new person of faces", f"photoorg people split 7 {ID}:0", _split
    )
    split.add_argument("--name", help="of the new person")
    remove = group.add(
        "remove", "take faces away from a person", f"photoorg people remove 7 {ID}:0", _remove
    )
    confirm = group.add(
        "confirm", "say that faces are a person", f"photoorg people confirm 7 {ID}:0", _confirm
    )
    for parser in (split, remove, confirm):
        parser.add_argument("person", type=int, metavar="ID")
        parser.add_argument(
            "faces", nargs="+", type=_face, metavar="PHOTO_ID:NUMBER", help="as `show` lists them"
        )
    link = group.add(
        "link", "say that two faces are one person", f"photoorg people link {ID}:0 {ID}:1", _link
    )
    said = link.add_mutually_exclusive_group()
    said.add_argument("--apart", action="store_true", help="they are two persons")
    said.add_argument("--undo", action="store_true", help="take back what was said of the two")
    for one in ("first", "second"):
        link.add_argument(one, type=_face, metavar="PHOTO_ID:NUMBER")
    unknown = group.add(
        "unknown", "list faces that are nobody's yet", "photoorg people unknown", _unknown
    )
    for parser in (listing, show, suggestions, unknown):
        add_page(parser)
    add_page(merges, after="MERGE", kind=int)


def _face(text: str) -> tuple[str, int]:
    found = FACE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not PHOTO_ID:NUMBER")
    return found["photo"], int(found["number"])


def _people(catalog: Catalog, config: PhotoOrgConfig) -> People:
    from photoorg.curate.people import People

    return People(catalog, config.tenant, config.people, ACTOR)


def _enable(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import consent

    config = session.config()
    users = [args.user] if args.user else [consent.TENANT, config.people.user]
    with open_catalog(config) as catalog, catalog.tenant(config.tenant) as tx:
        for user in users:
            consent.agree(tx, user, ACTOR)
        agreed = consent.agreed(tx, users[-1])
        said = consent.listing(tx)
    hints = []
    if not agreed:
        hints.append("The tenant did not agree yet: `photoorg people enable`.")
    if not config.faces.enabled:
        hints.append("Set faces.enabled: true in the configuration, then ingest with --force.")
    data = {
        "user": users[-1],
        "agreed": agreed,
        "faces_enabled": config.faces.enabled,
        "consents": [asdict(c) for c in said],
    }
    session.out.reply(data, " ".join([f"{users[-1]} agreed to faces.", *hints]))


def _disable(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.forgetting import withdraw
    from photoorg.store.catalog.consent import TENANT
    from photoorg.store.objects import ObjectStore

    config = session.config()
    store = ObjectStore(config.storage)
    user = args.user or TENANT
    with open_catalog(config) as catalog:
        gone = withdraw(catalog, store, config.tenant, user, ACTOR)
    data = {"user": user or None, **asdict(gone)}
    session.out.reply(data, f"{gone.faces} faces and {gone.persons} persons deleted.")


def _cluster(args: argparse.Namespace, session: Session) -> None:
    summary = load("pipelines.cluster:people")(
        session.config(), actor=ACTOR, space=args.space, new=args.new
    )
    text = (
        f"{summary.faces} faces: {summary.known} of {summary.persons} persons "
        f"({summary.new_persons} new), {summary.unknown} of nobody known, "
        f"{summary.suggestions} suggestions; {summary.seconds:.1f} s"
    )
    if summary.stale:
        text += "\nMany faces are new: `photoorg people cluster` groups all of them again."
    session.out.reply(summary.to_dict(), text)


def _list(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import people

    config = session.config()
    named = False if args.unnamed else None
    with open_catalog(config) as catalog, catalog.tenant(config.tenant) as tx:
        found, following = people.page(
            tx, after=args.after, limit=limit_of(args), hidden=args.hidden, named=named
        )
    rows = [(p.person_id, p.name, p.faces, p.photos, "hidden" if p.hidden else "") for p in found]
    text = (
        table(rows, ("id", "name", "faces", "photos", ""))
        if rows
        else "Nobody yet: `photoorg people cluster`."
    )
    data = {"people": [asdict(p) for p in found], "next_cursor": following}
    session.out.reply(data, text + more(following))


def _show(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import faces_of_people, people

    with catalog_transaction(session) as tx:
        person = people.get(tx, args.person)
        faces, following = faces_of_people.of_person(
            tx, args.person, after=args.after, limit=limit_of(args)
        )
        history, _ = people.history(tx, args.person, limit=limit_of(args))
    data = {
        **asdict(person),
        "face_list": [face_data(f) for f in faces],
        "merges": [asdict(m) for m in history],
        "next_cursor": following,
    }
    rows = [(f"{f.photo_id}:{f.face_no}", f.source, _number(f.confidence)) for f in faces]
    lines = [_title(person), table(rows, ("face", "source", "confidence"))]
    lines += map(_merge_told, history)
    session.out.reply(data, "\n".join(lines) + more(following))


def _merges(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import people

    with catalog_transaction(session) as tx:
        people.get(tx, args.person)
        found, following = people.history(tx, args.person, before=args.after, limit=limit_of(args))
    text = "\n".join(map(_merge_told, found)) or "Nobody was merged."
    data = {"merges": [asdict(m) for m in found], "next_cursor": following}
    session.out.reply(data, text + more(following))


def _suggestions(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import faces_of_people, people

    with catalog_transaction(session) as tx:
        if args.refuse:
            one, two = (people.living(tx, person).person_id for person in args.refuse)
            people.refuse(tx, one, two, ACTOR)
        if args.reopen:
            one, two = args.reopen
            people.reopen(tx, one, two, ACTOR)
        found, following = faces_of_people.suggestions(tx, after=args.after, limit=limit_of(args))
    keys = ("first_id", "second_id", "similarity")
    data = {
        "suggestions": [dict(zip(keys, row, strict=True)) for row in found],
        "next_cursor": following,
    }
    rows = [(a, b, f"{near:.2f}") for a, b, near in found]
    text = table(rows, ("person", "person", "alike")) if rows else "There are no suggestions."
    session.out.reply(data, text + more(following))


def _name(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import people

    with catalog_transaction(session) as tx:
        person = people.rename(tx, args.person, args.name or None, ACTOR)
    session.out.reply(asdict(person), _title(person))


def _merge(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import people

    with catalog_transaction(session) as tx:
        merge = people.merge(tx, args.kept, args.merged, ACTOR)
        person = people.get(tx, args.kept)
    undo = f"`photoorg people unmerge {args.merged}` takes it back."
    session.out.reply(
        {"merge": asdict(merge), "person": asdict(person)}, _title(person) + f" {undo}"
    )


def _unmerge(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import people

    with catalog_transaction(session) as tx:
        merge = people.unmerge(tx, args.person, ACTOR)
        person = people.get(tx, args.person)
    session.out.reply({"merge": asdict(merge), "person": asdict(person)}, _title(person))


def _hide(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import people

    with catalog_transaction(session) as tx:
        person = people.hide(tx, args.person, not args.undo, ACTOR)
    session.out.reply(asdict(person), _title(person))


def _split(args: argparse.Namespace, session: Session) -> None:
    config = session.config()
    with open_catalog(config) as catalog:
        new = _people(catalog, config).split(args.person, args.faces, args.name)
    session.out.reply({"person_id": new, "faces": len(args.faces)}, f"Person {new} is new.")


def _remove(args: argparse.Namespace, session: Session) -> None:
    config = session.config()
    with open_catalog(config) as catalog:
        gone = _people(catalog, config).remove(args.faces, args.person)
    session.out.reply({"removed": gone}, f"{gone} faces removed.")


def _confirm(args: argparse.Namespace, session: Session) -> None:
    config = session.config()
    with open_catalog(config) as catalog:
        person = _people(catalog, config).confirm(args.faces, args.person, None)
    session.out.reply(
        {"person_id": person, "confirmed": len(args.faces)}, f"{len(args.faces)} faces confirmed."
    )


def _link(args: argparse.Namespace, session: Session) -> None:
    config = session.config()
    with open_catalog(config) as catalog:
        service = _people(catalog, config)
        if args.undo:
            gone = service.unlink(args.first, args.second)
            text = "It is taken back." if gone else "Nothing was said of the two."
            session.out.reply({"removed": gone}, text)
            return
        service.link(args.first, args.second, same=not args.apart)
    text = "They are two persons." if args.apart else "They are one person."
    session.out.reply({"same": not args.apart}, f"{text} The next grouping obeys.")


def _unknown(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import faces_of_people

    with catalog_transaction(session) as tx:
        faces, following = faces_of_people.unknown(tx, after=args.after, limit=limit_of(args))
    rows = [(f"{f.photo_id}:{f.face_no}", f"{f.quality:.2f}") for f in faces]
    text = table(rows, ("face", "quality")) if rows else "Every face is somebody's."
    data = {"faces": [face_data(f) for f in faces], "next_cursor": following}
    session.out.reply(data, text + more(following))


def face_data(face: StoredFace) -> dict[str, Any]:
    """A face without its embedding, which is nobody's business."""
    names = ("photo_id", "face_no", "box", "quality", "person_id", "source", "confidence")
    return {name: getattr(face, name) for name in names}


def _merge_told(merge: Merge) -> str:
    undone = f", taken back {merge.undone_at:%Y-%m-%d}" if merge.undone_at else ""
    return f"merge of {merge.merged_id} into {merge.kept_id}, {merge.merged_at:%Y-%m-%d}{undone}"


def _title(person: Person) -> str:
    name = person.name or "(no name)"
    hidden = ", hidden" if person.hidden else ""
    into = f", part of {person.merged_into}" if person.merged_into is not None else ""
    return f"{person.person_id} {name}: {person.faces} faces{hidden}{into}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
