"""What README.md says exists: commands, options, paths, endpoints, keys and verbs."""

from __future__ import annotations

import importlib
import re
import shlex
import tomllib
from pathlib import Path

import pytest

from photoorg.cli.parser import Parser, build_parser
from photoorg.config import PREFIX, PhotoOrgConfig
from pipelines.entry import Entry
from tests.fakes.http import World, every_router
from tests.unit.cli.test_parser import ALL

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
FENCES = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)
PROSE = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
SPANS = [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", PROSE)]
COMMANDS: dict[tuple[str, ...], Parser] = dict(ALL)
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PROSE.splitlines()]
LINES = [
    line.split("#")[0]
    for language, fence in FENCES
    if not language
    for line in fence.replace("\\\n", " ").splitlines()
]


def spans(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def command_of(words: list[str]) -> tuple[str, ...]:
    known = [tuple(words[:n]) for n in (2, 1) if tuple(words[:n]) in COMMANDS]
    assert known, f"there is no command `photoorg {' '.join(words)}`"
    return known[0]


def rows_of_commands() -> list[list[str]]:
    return [row for row in ROWS if row and row[0].startswith("`photoorg ")]


def keys() -> set[str]:
    return {
        f"{name}.{key}"
        for name, field in PhotoOrgConfig.model_fields.items()
        if hasattr(field.annotation, "model_fields")
        for key in field.annotation.model_fields
    }


@pytest.mark.parametrize("row", rows_of_commands(), ids=lambda row: row[0][:40])
def test_every_command_and_option_of_the_table_exists(row):
    words = spans(row[0])[0].split()[1:]
    commands, options = [command_of(words)], [w for w in words if w.startswith("--")]
    for span in spans(row[0])[1:]:
        more = span.split()
        if not more[0].startswith("--"):
            group = commands[0][:1]
            commands.append(command_of([*group, *more] if (more[0],) != group else more))
        options += [w for w in more if w.startswith("--")]
    for span in spans(row[1]):
        options += [w for w in span.split() if w.startswith("--")]
    known = {name for command in commands for name in COMMANDS[command]._option_string_actions}
    assert set(options) <= known


def test_the_table_names_every_group_of_commands():
    named = {spans(row[0])[0].split()[1] for row in rows_of_commands()}
    assert {words[0] for words in COMMANDS} == named


@pytest.mark.parametrize(
    "line",
    [
        *(line for line in LINES if re.match(r"(\S*/)?photoorg ", line)),
        *(s for s in SPANS if s.startswith("photoorg ") and f"| `{s}`" not in README),
    ],
)
def test_every_command_that_is_shown_parses(line):
    build_parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("name", sorted(set(re.findall(r"python -m (pipelines\.\w+)", README))))
def test_every_job_that_is_shown_can_be_run(name):
    assert isinstance(importlib.import_module(name).main, Entry)


def test_every_endpoint_of_the_table_exists():
    app = World(routers=every_router).app
    known = {
        f"{method.upper()} {re.sub(r'{.*?}', '{}', path)}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    rows = [row for row in ROWS if row and "/v1/" in row[0] and row[0].startswith("`")]
    assert len(rows) > 8
    for row in rows:
        base = ""
        for span in spans(row[0]):
            method, _, path = re.sub(r"{.*?}", "{}", span.partition("?")[0]).rpartition(" ")
            path = base + path[3:] if path.startswith("...") else path
            base = base if "..." in span else path
            if method:
                assert f"{method} {path}" in known, span
            else:
                assert any(name.partition(" ")[2].startswith(path) for name in known), span


@pytest.mark.parametrize(
    "path", [s for s in SPANS if re.fullmatch(r"[\w-]+(/[\w.-]+)+/?", s) and "mine" not in s]
)
def test_every_path_exists(path):
    assert (ROOT / path).exists() or (ROOT / "photoorg" / path).exists()


def test_every_key_variable_extra_and_verb_exists():
    named = {s.split(":")[0] for s in SPANS if re.fullmatch(r"[a-z_]+\.[a-z_]+(: .*)?", s)}
    named = {name for name in named if not name.endswith((".yaml", ".py", ".md"))}
    assert named and named <= keys()
    variables = set(re.findall(rf"{PREFIX}(\w+)=", README))
    assert variables and {v.lower().replace("__", ".") for v in variables} <= keys()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = ",".join(re.findall(r"photoorg\[([\w,]+)\]", README)).split(",")
    assert set(extras) <= set(project["optional-dependencies"])
    verbs = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?\bmake ([a-z]+)\b", README)) <= verbs
