from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from photoorg.curate.rules import parse_rules, read_rules
from photoorg.errors import InputError, NotFoundError, PhotoOrgError

GOOD = """
rules:
  - name: poor duplicates
    when:
      all:
        - {field: near_duplicate, is: true}
        - {field: quality, below: 0.3}
    then: archive
"""
LEAF = st.sampled_from(
    [{"field": "quality", "below": 0.3}, {"field": "tag", "is": "x"}, {"field": "favourite"}]
)
TREES = st.recursive(
    LEAF,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map(lambda v: {"all": v}),
        st.lists(inner, min_size=1, max_size=3).map(lambda v: {"any": v}),
        inner.map(lambda v: {"not": v}),
    ),
    max_leaves=8,
)


def test_the_rule_of_the_manual_is_read(tmp_path):
    file = tmp_path / "rules.yaml"
    file.write_text(GOOD)
    (rule,) = read_rules(file).rules
    where = rule.when.where()
    assert (rule.then, where.values) == ("archive", (0.3,))
    assert where.asks == {"near_duplicate", "quality"}


@settings(max_examples=50, deadline=None)
@given(TREES)
def test_conditions_of_any_shape_keep_their_parameters_in_order(tree):
    (rule,) = parse_rules({"name": "x", "when": tree, "then": "trash"}).rules
    where = rule.when.where()
    assert where.sql.count("%s") == len(where.values)
    text = json.dumps(tree)
    assert len(where.values) == text.count('"below"') + text.count('"is"')


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"when": {"field": "beauty", "below": 1}}, "beauty"),
        ({"when": {"field": "quality"}}, "below, above or is"),
        ({"when": {"field": "quality", "below": "poor"}}, "below"),
        ({"when": {"field": "quality", "over": 1}}, "over"),
        ({"when": {"field": "tag", "is": "a", "contains": "b"}}, "one of is"),
        ({"when": {"all": []}}, "all"),
        ({"when": {}}, "a condition has"),
        ({"when": "quality < 0.3"}, "a condition has"),
        ({"then": "delete"}, "then"),
        ({"then": "tag"}, "label"),
        ({"label": "x"}, "label"),
        ({"name": ""}, "name"),
        ({"name": "a\0b"}, "NUL"),
    ],
)
def test_what_is_wrong_is_said(change, said):
    good = {"name": "x", "when": {"field": "quality", "below": 0.3}, "then": "archive"}
    with pytest.raises(InputError, match=said):
        parse_rules(good | change)


@pytest.mark.parametrize("data", [None, 3, "x", [], {}, {"rules": []}, {"rules": {"a": 1}}])
def test_what_is_no_rule_is_refused(data):
    with pytest.raises(InputError):
        parse_rules(data)


def test_two_rules_have_two_names():
    one = {"name": "x", "when": {"field": "located"}, "then": "archive"}
    with pytest.raises(InputError, match="one name"):
        parse_rules([one, one])


def test_rules_nested_beyond_reason_are_refused():
    when: dict = {"field": "located"}
    for _ in range(500):
        when = {"not": when}
    with pytest.raises(InputError, match="too deeply"):
        parse_rules({"name": "x", "when": when, "then": "archive"})


def test_files_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(NotFoundError, match="nowhere"):
        read_rules(tmp_path / "nowhere.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_bytes(b"\xff\xfe rules: [")
    with pytest.raises(PhotoOrgError, match="bad"):
        read_rules(bad)


@pytest.mark.parametrize("number", [".nan", ".inf", "-.inf"])
def test_bounds_are_numbers_that_can_be_compared(tmp_path, number):
    file = tmp_path / "rules.yaml"
    file.write_text(f"{{name: a, when: {{field: quality, below: {number}}}, then: archive}}")
    with pytest.raises(InputError, match="finite"):
        read_rules(file)


@pytest.mark.parametrize("text", ["", "just words", "7"])
def test_a_file_without_rules_says_so(tmp_path, text):
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(InputError, match="no rules"):
        read_rules(file)


def test_a_folder_is_no_file_of_rules(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        read_rules(tmp_path)
