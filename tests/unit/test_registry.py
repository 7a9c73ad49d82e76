from __future__ import annotations

import sys
from types import ModuleType

import pytest

from photoorg.errors import ConfigError
from photoorg.registry import ENCODERS, FACE_ENCODERS, INDEXES, NSFW_SCORERS, TEXT_READERS, resolve


@pytest.mark.parametrize("table", [ENCODERS, FACE_ENCODERS, INDEXES, NSFW_SCORERS, TEXT_READERS])
def test_every_name_leads_to_a_class(table):
    assert table and all(isinstance(resolve(table, name, "thing"), type) for name in table)


def test_an_unknown_name_is_told_the_known_ones():
    with pytest.raises(ConfigError, match="no index called 'tree'") as caught:
        resolve(INDEXES, "tree", "index")
    assert "flat, ivfpq" in caught.value.fix


def test_a_fault_inside_an_implementation_is_not_taken_for_an_unknown_name(monkeypatch):
    class Broken(ModuleType):
        def __getattr__(self, name: str) -> object:
            raise KeyError(name)

    monkeypatch.setitem(sys.modules, "broken", Broken("broken"))
    with pytest.raises(KeyError, match="Thing"):
        resolve({"mine": "broken:Thing"}, "mine", "thing")
