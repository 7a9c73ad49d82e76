"""The command line's grammar: argparse with usage errors as exceptions and an example per command.

argparse, not a framework above it: a usage error then passes through the same door as every other
error and keeps the `--json` contract.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from photoorg.cli.session import Session
from photoorg.errors import InputError
from photoorg.registry import load

MODULES = (
    "serve",
    "ingest",
    "rejects",
    "pairs",
    "index",
    "migration",
    "search",
    "dedup",
    "events",
    "people",
    "scenes",
    "albums",
    "tags",
    "anomalies",
    "rules",
    "calibrate",
    "train",
    "evaluate",
    "config",
    "doctor",
)
"""Where the commands are, in the order of the help."""
NEGATIVE = re.compile(r"-\.?\d[\d.eE+,-]*$")
Run = Callable[[argparse.Namespace, Session], int | None]


class UsageError(InputError):
    """The command line itself is wrong."""

    code = "usage"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser that raises UsageError where argparse would print and exit.

    Numbers after commas that begin below zero (`--near -33.9,151.2,20`) are values, no options.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._negative_number_matcher = NEGATIVE

    def error(self, message: str) -> NoReturn:
        """Raise instead of leaving the process."""
        raise UsageError(f"{self.prog}: {message}.", fix=f"See `{self.prog} --help`.")


@dataclass(frozen=True, slots=True)
class Commands:
    """Where a command group adds its commands."""

    parsers: Any

    def add(
        self, name: str, summary: str, example: str, run: Run, *, tenant: bool = True
    ) -> Parser:
        """A command with the options all commands share; `run` returns its exit status or None."""
        parser = self._parser(name, summary, example)
        parser.set_defaults(run=run)
        common = parser.add_argument_group("common options")
        common.add_argument("--config", metavar="FILE", help="YAML file (default: PHOTOORG_CONFIG)")
        if tenant:
            common.add_argument("--tenant", help="whose photos (default: the configuration's)")
        common.add_argument(
            "--json", action="store_true", help="one JSON object on stdout, logs on stderr"
        )
        common.add_argument("--debug", action="store_true", help="all logs, and tracebacks")
        return parser

    def group(self, name: str, summary: str, example: str) -> Commands:
        """A command that only holds others, such as `index build`."""
        parser = self._parser(name, summary, example)
        return Commands(parser.add_subparsers(metavar="COMMAND", required=True, dest=name))

    def _parser(self, name: str, summary: str, example: str) -> Parser:
        parser: Parser = self.parsers.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog="example:\n  " + example.replace("\n", "\n  "),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        return parser


def build_parser() -> Parser:
    """The whole grammar."""
    parser = Parser(
        prog="photoorg",
        description="Find, group and clean up photos.",
        epilog="example:\n  photoorg up ~/Pictures",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = Commands(parser.add_subparsers(metavar="COMMAND", required=True, dest="command"))
    for module in MODULES:
        load(f"photoorg.cli.{module}:add_to")(commands)
    return parser
