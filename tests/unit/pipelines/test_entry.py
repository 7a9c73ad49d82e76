"""Every job is started by its module's name, and is a command of the CLI."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import pipelines
from photoorg.cli.parser import build_parser
from pipelines.entry import Entry
from tests.unit.cli.test_parser import ALL

NAMES = sorted(module.name for module in pkgutil.iter_modules(pipelines.__path__))
JOBS = {
    name: entry
    for name in NAMES
    if (entry := getattr(importlib.import_module(f"pipelines.{name}"), "main", None)) is not None
}


def test_modules_without_an_entry_are_parts_of_jobs():
    assert set(NAMES) - set(JOBS) == {"entry", "ray_data", "stored_vectors"}


@pytest.mark.parametrize("name", sorted(JOBS.keys() - {"cluster"}))
def test_a_job_names_a_command_that_exists(name):
    assert JOBS[name].command in dict(ALL)


def test_an_entry_hands_on_its_arguments_and_the_exit_status(capsys):
    assert Entry("index")(["list", "--no-such-option", "--json"]) == 2
    assert "--no-such-option" in capsys.readouterr().out


def test_an_entry_without_arguments_takes_those_of_the_process(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["reembed.py", "--space", "x", "--no-such-option", "--json"])
    assert Entry("reembed")() == 2
    assert "--no-such-option" in capsys.readouterr().out


def test_the_clustering_job_takes_the_command_it_is_to_run():
    build_parser().parse_args([*JOBS["cluster"].command, "people", "cluster"])
