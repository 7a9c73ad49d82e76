"""`photoorg rules`: batch changes by rule, tried first and taken back if need be."""

from __future__ import annotations

import argparse
from pathlib import Path

from photoorg.cli.output import table
from photoorg.cli.paging import add_page, limit_of, more
from photoorg.cli.parser import Commands
from photoorg.cli.session import ACTOR, Session, catalog_transaction

EXAMPLE = """photoorg rules check rules.yaml
where rules.yaml holds
  rules:
    - name: poor duplicates
      when:
        all:
          - {field: near_duplicate, is: true}
          - {field: quality, below: 0.3}
      then: archive          # or trash, favourite, tag (with label: ...)"""


def add_to(commands: Commands) -> None:
    """Add `rules check`, `run`, `runs` and `undo`."""
    group = commands.group("rules", "change many photos by rule", "photoorg rules run FILE")
    checked = group.add("check", "say whether a file of rules is valid", EXAMPLE, _check)
    checked.add_argument("file", metavar="FILE", help="YAML or JSON")
    run = group.add("run", "do what the rules say", "photoorg rules run rules.yaml --dry-run", _run)
    run.add_argument("file", metavar="FILE", help="YAML or JSON, see `photoorg rules check --help`")
    run.add_argument(
        "--dry-run", action="store_true", help="tell what would happen, change nothing"
    )
    runs = group.add("runs", "list what rules did", "photoorg rules runs", _runs)
    add_page(runs, after="RUN", kind=int)
    undo = group.add("undo", "put back what a run changed", "photoorg rules undo 3", _undo)
    undo.add_argument("run_id", type=int, metavar="RUN")


def _check(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.rules import read_rules

    book = read_rules(Path(args.file).expanduser())
    names = [rule.name for rule in book.rules]
    session.out.reply({"valid": True, "rules": names}, f"{len(names)} rules, all valid")


def _run(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.rule_runs import run_rules
    from photoorg.curate.rules import read_rules

    book = read_rules(Path(args.file).expanduser())
    with catalog_transaction(session) as tx:
        outcomes = run_rules(tx, book, ACTOR, dry_run=args.dry_run)
    rows = [(o.run_id, o.name, o.action, o.photos, o.bytes, o.kept) for o in outcomes]
    told = table(rows, ("run", "rule", "action", "photos", "bytes", "keepers left alone"))
    views = [{n: getattr(o, n) for n in type(o).__slots__} for o in outcomes]
    note = "nothing was changed" if args.dry_run else "to take a run back: photoorg rules undo RUN"
    session.out.reply({"dry_run": args.dry_run, "rules": views}, f"{told}\n{note}")


def _runs(args: argparse.Namespace, session: Session) -> None:
    from photoorg.store.catalog import rules

    limit = limit_of(args)
    with catalog_transaction(session) as tx:
        found, following = rules.page(tx, before=args.after, limit=limit)
    views = [{n: getattr(r, n) for n in type(r).__slots__} for r in found]
    rows = [(r.run_id, r.name, r.action, r.photos, r.at, r.undone_at) for r in found]
    header = ("run", "rule", "action", "photos", "at", "undone")
    none = "No rule has been run yet." if args.after is None else "There are no earlier runs."
    text = table(rows, header) if rows else none
    session.out.reply({"runs": views, "next_cursor": following}, text + more(following))


def _undo(args: argparse.Namespace, session: Session) -> None:
    from photoorg.curate.rule_runs import undo_rule

    with catalog_transaction(session) as tx:
        name, restored = undo_rule(tx, args.run_id, ACTOR)
    session.out.reply(
        {"undone": args.run_id, "photos": restored}, f"{name}: {restored} photos put back"
    )
