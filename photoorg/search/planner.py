"""How to answer a search that has a filter: fetch more and check, or look among the allowed.

Of what is looked for among the allowed, each shard decides for itself between comparing every
allowed vector and scanning inverted lists through a bitmap (index.shard): it knows how many rows
are allowed there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

OVER_FETCH_SHARE = 0.06
"""From this share of allowed photos on, checking what was found beats a set of all ids."""
MARGIN = 1.5
SLACK = 10


@dataclass(frozen=True, slots=True)
class FilterPlan:
    """`over-fetch`: search all, `factor` times as many, and check them; `subset`: only allowed."""

    kind: Literal["over-fetch", "subset"]
    factor: float = 1.0

    def fetch(self, wanted: int) -> int:
        """How many candidates to ask for where `wanted` allowed ones are needed."""
        return wanted if self.kind == "subset" else math.ceil(wanted * self.factor) + SLACK


def plan(share: float) -> FilterPlan:
    """The plan for a filter that allows about this share (0..1) of the photos."""
    if share >= OVER_FETCH_SHARE:
        return FilterPlan("over-fetch", MARGIN / share)
    return FilterPlan("subset")
