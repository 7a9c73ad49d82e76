"""The options of `photoorg search` and the filters and queries they make."""

from __future__ import annotations

import json

import pytest

from photoorg.cli.parser import UsageError, build_parser
from photoorg.cli.search import filter_of
from photoorg.errors import InputError
from photoorg.search.filters import parse_filter

PARSER = build_parser()


def parsed(*options: str):
    return PARSER.parse_args(["search", *options])


FLAGS = [
    (["--after", "2019-06-01"], {"taken": {"after": "2019-06-01"}}),
    (["--before", "2019-06-01T12:30"], {"taken": {"before": "2019-06-01T12:30:00"}}),
    (
        ["--after", "2019-06-01", "--before", "2019-07-01"],
        {"taken": {"after": "2019-06-01", "before": "2019-07-01"}},
    ),
    (["--near", "52.5,13.4,20"], {"near": {"lat": 52.5, "lon": 13.4, "km": 20}}),
    (["--near", "-33.9,-151.2,0.5"], {"near": {"lat": -33.9, "lon": -151.2, "km": 0.5}}),
    (["--near=-33.9,151.2,0.5"], {"near": {"lat": -33.9, "lon": 151.2, "km": 0.5}}),
    (["--tag", "park"], {"tags": {"all": ["park"]}}),
    (["--tag", "park", "--tag", "dog"], {"tags": {"all": ["park", "dog"]}}),
    (["--person", "Anna"], {"people": {"all": ["Anna"]}}),
    (["--person", "12", "--person", "Anna"], {"people": {"all": [12, "Anna"]}}),
    (["--album", "Summer 2019"], {"album": "Summer 2019"}),
    (["--album", "7"], {"album": 7}),
    (["--mime", "image/png", "--mime", "image/heic"], {"mime": ["image/png", "image/heic"]}),
    (["--device", "Pixel"], {"device": ["Pixel"]}),
    (["--min-quality", "0.4"], {"quality": {"min": 0.4}}),
    (["--min-quality", "0"], {"quality": {"min": 0.0}}),
    (["--max-nsfw", "0.2"], {"nsfw": {"max": 0.2}}),
    (["--max-nsfw", "0"], {"nsfw": {"max": 0.0}}),
    (["--filter", '{"favourite": true}'], {"favourite": True}),
    (
        ["--filter", '{"favourite": true}', "--tag", "dog"],
        {"and": [{"favourite": True}, {"tags": {"all": ["dog"]}}]},
    ),
]


@pytest.mark.parametrize(("options", "wanted"), FLAGS, ids=[" ".join(o) for o, _ in FLAGS])
def test_an_option_makes_its_filter(options, wanted):
    assert filter_of(parsed(*options)) == parse_filter(wanted)


def test_options_together_must_all_hold():
    found = filter_of(parsed("--tag", "dog", "--after", "2020-01-01", "--album", "Home"))
    wanted = {"tags": {"all": ["dog"]}, "taken": {"after": "2020-01-01"}, "album": "Home"}
    assert found == parse_filter(wanted)


def test_without_filter_options_there_is_no_filter():
    assert filter_of(parsed("--text", "cat")) is None


@pytest.mark.parametrize(
    "options",
    [
        ["--near", "52.5,13.4"],
        ["--near", "here,there,1"],
        ["--min-quality", "good"],
        ["--max-nsfw", "no"],
        ["--bbox", "1,2,3,x"],
        ["--mode", "magic"],
        ["--cutoff", "some"],
        ["--k", "1.5"],
        ["--image", "a.jpg", "--id", "ab"],
    ],
)
def test_values_that_cannot_be_read_are_a_wrong_call(options):
    with pytest.raises(UsageError):
        parsed(*options)


@pytest.mark.parametrize(
    "options",
    [
        ["--after", "the day before"],
        ["--after", "2019-13-01"],
        ["--near", "91,0,1"],
        ["--near", "0,181,1"],
        ["--near", "0,0,0"],
        ["--near", "0,0,-1"],
        ["--near", "nan,0,1"],
        ["--min-quality", "1.5"],
        ["--min-quality", "-0.1"],
        ["--max-nsfw", "2"],
        ["--tag", ""],
        ["--person", ""],
        ["--device", ""],
        ["--filter", "{"],
        ["--filter", '{"colour": "red"}'],
        ["--filter", "[]"],
    ],
)
def test_values_that_no_filter_takes_are_refused_with_a_reason(options):
    with pytest.raises(InputError) as caught:
        filter_of(parsed(*options))
    assert caught.value.fix


@pytest.mark.parametrize(
    ("said", "read"), [("auto", "auto"), ("off", "off"), ("0.35", 0.35), ("-1", -1.0)]
)
def test_a_cutoff_is_a_word_or_a_cosine(said, read):
    assert parsed("--text", "cat", f"--cutoff={said}").cutoff == read


def test_a_filter_is_shown_as_over_http():
    found = filter_of(parsed("--tag", "dog"))
    assert json.loads(found.to_json()) == {"tags": {"all": ["dog"]}}
