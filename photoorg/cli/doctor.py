"""`photoorg doctor`: what is installed, what works, and what to do about the rest."""

from __future__ import annotations

import argparse
from collections import Counter

from photoorg.cli.parser import Commands
from photoorg.cli.session import Session

MARKS = {"ok": "ok  ", "warn": "warn", "fail": "FAIL"}


def add_to(commands: Commands) -> None:
    """Add `doctor`."""
    commands.add(
        "doctor",
        "say what is installed, what works, and what to fix",
        "photoorg doctor --config configs/laptop.yaml",
        _doctor,
    )


def _doctor(args: argparse.Namespace, session: Session) -> int:
    from photoorg.cli.checks import examine

    config = session.config()
    checks = []
    for check in examine(config):
        checks.append(check)
        session.out.note(f"{MARKS[check.status]}  {check.name:<29} {check.what}")
        if check.fix:
            session.out.note(f"      {'':<29} -> {check.fix}")
    counts = Counter(check.status for check in checks)
    healthy = not counts["fail"]
    data = {"ok": healthy, "checks": [check.to_dict() for check in checks]}
    verdict = "photoorg can run here" if healthy else "photoorg cannot run here yet"
    session.out.reply(data, f"{verdict}: {counts['warn']} warnings, {counts['fail']} failures.")
    return 0 if healthy else 1
