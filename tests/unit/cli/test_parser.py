import argparse
import shlex

import pytest

from photoorg.cli.parser import Parser, UsageError, build_parser


def commands(parser: Parser, words: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Parser]]:
    """Every command that can be run, with the words that lead to it."""
    groups = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not groups:
        return [(words, parser)]
    return [
        found
        for name, child in groups[0].choices.items()
        for found in commands(child, (*words, name))
    ]


PEOPLE = (
    "enable disable cluster list show suggestions name merge unmerge hide split remove confirm"
    " link merges unknown"
).split()
DEDUP = "scan list show resolve undo preview stats".split()
TAGS = "list map unmap recompute".split()
SCENES = "cluster list show suggest-albums accept refuse plot".split()
ALBUMS = "list show create rename add remove delete restore".split()
ALL = commands(build_parser())


def test_the_commands_are_those_of_the_manual():
    assert {" ".join(words) for words, _ in ALL} == {
        "up",
        "ingest",
        "pairs",
        "rejects",
        "tags list",
        "tags map",
        "tags unmap",
        "tags recompute",
        "index build",
        "index list",
        "index compare",
        "index activate",
        "index rollback",
        "index canary",
        "index compact",
        "index reshard",
        "index retire",
        "reembed",
        "maintain",
        "spaces list",
        "search",
        "serve",
        "evaluate retrieval",
        "evaluate dedup",
        "evaluate events",
        "train projection",
        *(f"dedup {name}" for name in DEDUP),
        *(f"albums {name}" for name in ALBUMS),
        *(f"tags {name}" for name in TAGS),
        "events detect",
        "events list",
        "events trips",
        "events show",
        "events split",
        "events merge",
        "events rename",
        "events move",
        "events history",
        "events undo",
        "anomalies scan",
        "anomalies list",
        "anomalies dismiss",
        "anomalies reopen",
        "rules check",
        "rules run",
        "rules runs",
        "rules undo",
        "calibrate dedup",
        "calibrate feedback",
        "calibrate search",
        "calibrate show",
        "calibrate undo",
        "evaluate faces",
        *(f"people {name}" for name in PEOPLE),
        *(f"scenes {name}" for name in SCENES),
        "config check",
        "config show",
        "doctor",
    }


@pytest.mark.parametrize(("words", "parser"), ALL, ids=[" ".join(w) for w, _ in ALL])
def test_every_command_has_json_config_and_an_example_that_parses(words, parser):
    text = parser.format_help()
    assert "--json" in text and "--config" in text
    example = shlex.split(text.partition("example:\n")[2].splitlines()[0])
    assert tuple(example[1 : 1 + len(words)]) == words
    build_parser().parse_args(example[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["nonsense"],
        ["ingest"],
        ["ingest", "x", "--stage", "paint"],
        ["ingest", "x", "--limit", "many"],
        ["search", "--image", "a.jpg", "--text", "cat"],
        ["search", "--image", "a.jpg", "--bbox", "1,2,3"],
        ["search", "--text", "cat", "--k", "few"],
        ["search", "--tex", "cat"],
        ["index"],
        ["config", "check", "--tenant", "a"],
    ],
)
def test_a_wrong_call_raises_and_points_to_help(arguments):
    with pytest.raises(UsageError) as caught:
        build_parser().parse_args(arguments)
    assert "--help" in caught.value.fix
