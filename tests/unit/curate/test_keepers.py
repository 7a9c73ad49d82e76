import pytest

from photoorg.curate.keepers import ranks, reason
from photoorg.curation_config import DedupConfig
from tests.unit.curate.library import facts

RULES = DedupConfig().keeper


@pytest.mark.parametrize(
    ("better", "worse", "words"),
    [
        ({"favourite": True}, {"width": 8000}, "favourite"),
        ({"in_album": True}, {"width": 8000}, "album"),
        ({"original": True}, {"width": 8000}, "camera's own metadata"),
        ({}, {"width": 1000}, "highest resolution (4000 x 3000"),
        ({"mime": 0}, {"size": 9000}, "best format (RAW)"),
        ({"quality": 0.9}, {"size": 9000}, "best quality (0.90)"),
        ({"size": 9000}, {}, "largest file (9000 bytes)"),
        ({"taken": -5.0}, {"taken": 7.0}, "oldest"),
    ],
)
def test_each_rule_decides_before_those_behind_it(better, worse, words):
    photos = facts(worse, better)
    assert ranks(photos, RULES).tolist() == [1, 0]
    assert words in reason(photos, 1, [0], RULES)


def test_the_order_of_rules_is_a_choice():
    photos = facts({"quality": 0.9, "width": 100}, {"quality": 0.2})
    assert ranks(photos, ("quality", "resolution")).tolist() == [0, 1]
    assert ranks(photos, ("resolution", "quality")).tolist() == [1, 0]


def test_a_keeper_that_no_rule_chose_is_there_for_being_near_all():
    photos = facts({"width": 8000}, {}, {})
    assert reason(photos, 1, [0, 2], RULES) == "nearest to all the others"


def test_unknown_quality_is_the_worst():
    photos = facts({"quality": float("nan")}, {"quality": 0.1})
    assert ranks(photos, ("quality",)).tolist() == [1, 0]
