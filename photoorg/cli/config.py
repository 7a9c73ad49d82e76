"""`photoorg config`: check a file, print what is in force."""

from __future__ import annotations

import argparse

import yaml

from photoorg.cli.parser import Commands
from photoorg.cli.session import Session
from photoorg.config import load


def add_to(commands: Commands) -> None:
    """Add `config check` and `config show`."""
    group = commands.group(
        "config", "check or print the configuration", "photoorg config check configs/laptop.yaml"
    )
    check = group.add(
        "check",
        "check a configuration file and explain every fault in it",
        "photoorg config check configs/laptop.yaml",
        _check,
        tenant=False,
    )
    check.add_argument("file", metavar="FILE", nargs="?", help="the YAML file (default: --config)")
    group.add(
        "show",
        "print every key with the value in force (secrets hidden)",
        "photoorg config show --config configs/laptop.yaml",
        _show,
    )


def _check(args: argparse.Namespace, session: Session) -> None:
    path = args.file or session.config_path
    load(path)
    what = path or "the configuration (defaults and environment)"
    session.out.reply({"ok": True, "file": path}, f"{what} is valid.")


def _show(args: argparse.Namespace, session: Session) -> None:
    data = session.config().model_dump(mode="json")
    session.out.reply(data, yaml.safe_dump(data, sort_keys=False))
