"""Questions: what is looked for, and what the catalog tells to answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from photoorg.config import SearchConfig
from photoorg.search.cross import CrossQuery
from photoorg.search.dual import Again
from photoorg.search.filters import Filter
from photoorg.search.ports import Vector
from photoorg.search.signals import QueryFacts
from photoorg.search.text import Words
from photoorg.search.tuning import NO_LIMITS, Cutoff, Limits
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog.bonds import Bonds


class Queries(Protocol):
    """What the catalog tells besides photos."""

    async def revision(self, tenant: str) -> int:
        """The number of changes so far."""

    async def share(self, tenant: str, chosen: Filter) -> float:
        """About which share of the photos the filter allows, 0..1."""

    async def thresholds(self, tenant: str, space_id: str) -> Mapping[str, float]:
        """The tenant's thresholds and weights in a space, by name."""

    async def bonds(self, tenant: str, ids: Sequence[str]) -> Mapping[str, Bonds]:
        """The event and the people of those of the photos that have any."""

    async def allowed(self, tenant: str, chosen: Filter, ids: Sequence[str]) -> set[str]:
        """Those of the photos that the filter allows."""

    async def words(self, tenant: str, text: str, limit: int, chosen: Filter | None) -> Words:
        """The best photos for the words of a text."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a query of any kind is answered.

    `where` says which photos may be found; `cursor` asks for the page after another. A `cutoff`
    "auto" leaves out what chance brings as near, "off" nothing, a number cosines below it. `user`
    decides which version a canary gives.
    """

    where: Filter | None = None
    cursor: str | None = None
    cutoff: Cutoff | None = None
    user: str = ""

    @property
    def narrowed(self) -> bool:
        """Whether there is a filter that leaves anything out."""
        return self.where is not None and not self.where.empty

    @property
    def told(self) -> tuple[object, ...]:
        """What tells pages of the same query apart: all but the place of the page and who asks."""
        return (self.where,) if self.cutoff is None else (self.where, self.cutoff)


PLAIN = Terms()


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for: `name` tells it from others, `limits` say what a hit must reach.

    `config` ranks the hits (None: as the service is configured). `cross` is the query for a second
    look at the hits. `again` gives the same as a vector of another space, for the search in a
    shadow index.
    """

    name: bytes
    tenant: str
    space: EmbeddingSpace
    seq: int
    x_d: Vector | None = None
    text: str | None = None
    facts: QueryFacts = field(default_factory=QueryFacts)
    skip: str = ""
    chosen: Filter | None = None
    limits: Limits = NO_LIMITS
    config: SearchConfig | None = None
    cross: CrossQuery | None = None
    again: Again | None = None
