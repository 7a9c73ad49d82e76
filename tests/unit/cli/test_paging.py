from __future__ import annotations

import argparse
import shlex

import pytest

from photoorg.cli.paging import MOST, add_page, limit_of, more, span
from photoorg.cli.parser import Parser
from photoorg.errors import InputError, NotFoundError

NAMES = ["a", "b", "c", "d", "e"]


def given(*words: str) -> argparse.Namespace:
    parser = Parser()
    add_page(parser, limit=2)
    return parser.parse_args(words)


def test_following_the_cursor_gives_every_entry_once():
    seen: list[str] = []
    after: list[str] = []
    while True:
        part, cursor = span(given(*after), NAMES, "letter")
        seen += NAMES[part]
        if cursor is None:
            break
        after = ["--after", cursor]
    assert seen == NAMES


@pytest.mark.parametrize(("limit", "cursor"), [("4", "d"), ("5", None), ("6", None)])
def test_the_last_page_has_no_cursor(limit, cursor):
    assert span(given("--limit", limit), NAMES, "letter")[1] == cursor


def test_nothing_is_one_empty_page():
    assert span(given(), [], "letter") == (slice(0, 2), None)


def test_a_made_up_cursor_is_refused():
    with pytest.raises(NotFoundError, match="no letter 'z'"):
        span(given("--after", "z"), NAMES, "letter")


@pytest.mark.parametrize("limit", [0, -1, MOST + 1])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(InputError, match=f"not {limit}"):
        limit_of(given("--limit", str(limit)))


def test_what_is_to_be_typed_for_the_next_page_survives_a_shell():
    assert more(None) == ""
    assert shlex.split(more("my photos/it's.jpg").split(": ", 1)[1]) == [
        "--after",
        "my photos/it's.jpg",
    ]
