"""Rules at work: what they would do, doing it, taking it back; audited."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from photoorg.curate.rules import Rule, RuleBook
from photoorg.errors import ConflictError, NotFoundError
from photoorg.store.catalog import audit, rules
from photoorg.store.catalog.connection import Transaction


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a rule did, or (`run_id` None) would do; at most `EXAMPLES` photos are named."""

    name: str
    action: str
    photos: int
    bytes: int
    matched: int
    kept: int
    examples: tuple[str, ...]
    run_id: int | None


EXAMPLES = 20


def run_rules(tx: Transaction, book: RuleBook, actor: str, *, dry_run: bool) -> list[Outcome]:
    """Run the rules in order; a dry run tells what each would do by itself and changes nothing."""
    return [_run(tx, rule, actor, dry_run=dry_run) for rule in book.rules]


def undo_rule(tx: Transaction, run_id: int, actor: str) -> tuple[str, int]:
    """Put back what a run changed; the rule's name and how many photos were put back."""
    run = rules.get(tx, run_id)
    if run is None:
        raise NotFoundError(
            f"There is no rule run {run_id}.", fix="`photoorg rules runs` lists them."
        )
    if run.undone_at is not None:
        raise ConflictError(
            f"Rule run {run_id} is taken back already.",
            fix="`photoorg rules runs` shows those that stand.",
        )
    restored = rules.take_back(tx, run)
    audit.record(tx, actor, "rule.undo", "rule", str(run_id), {"photos": restored})
    return run.name, restored


def _run(tx: Transaction, rule: Rule, actor: str, *, dry_run: bool) -> Outcome:
    planned = rules.plan(tx, rule.when.where(), rule.then, rule.label)
    run_id = None
    photos = len(planned.photo_ids)
    if planned.photo_ids and not dry_run:
        told: dict[str, Any] = rule.model_dump(mode="json", by_alias=True, exclude_none=True)
        run_id = rules.apply(tx, rule.name, rule.then, told, rule.label, planned.photo_ids, actor)
        detail = {"name": rule.name, "action": rule.then, "photos": photos}
        audit.record(tx, actor, "rule.run", "rule", str(run_id), detail)
    return Outcome(
        rule.name,
        rule.then,
        photos,
        planned.bytes,
        planned.matched,
        planned.kept,
        tuple(planned.photo_ids[:EXAMPLES]),
        run_id,
    )
