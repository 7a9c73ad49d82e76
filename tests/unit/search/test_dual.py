"""Dual reads: what is compared, and that the live answer never waits."""

from __future__ import annotations

import numpy as np
import pytest

from photoorg.config import SearchConfig
from photoorg.curation_config import GatesConfig
from photoorg.search.comparing import Comparison, gates_of
from photoorg.search.dual import DualReads, overlap, rank_correlation, score_drift
from photoorg.search.fanout import FanOut
from photoorg.search.neighbours import Neighbours
from photoorg.search.reader import Shadow
from photoorg.search.service import SearchService
from tests.fakes.search import MUTE, FakeEmbedder, FakePhotos, FakeSlot, photo, photo_id, unit

NAMES = [f"photo-{n}" for n in range(30)]


@pytest.mark.parametrize(
    ("live", "other", "k", "expected"),
    [
        ("abcd", "abcd", 4, 1.0),
        ("abcd", "efgh", 4, 0.0),
        ("abcd", "cdxy", 4, 0.5),
        ("abcd", "dcba", 2, 0.0),
        ("ab", "ab", 10, 1.0),
        ("", "", 10, 1.0),
    ],
)
def test_overlap_is_the_share_of_the_first_k(live, other, k, expected):
    assert overlap(list(live), list(other), k) == expected


@pytest.mark.parametrize(
    ("live", "other", "expected"),
    [("abcd", "abcd", 1.0), ("abcd", "dcba", -1.0), ("ab", "xy", None), ("a", "a", None)],
)
def test_rank_correlation_is_spearmans_over_the_common_photos(live, other, expected):
    assert rank_correlation(list(live), list(other)) == expected


def test_rank_correlation_agrees_with_its_definition_on_ranks():
    rng = np.random.default_rng(0)
    for _ in range(50):
        order = rng.permutation(8)
        expected = np.corrcoef(np.arange(8), np.argsort(order))[0, 1]
        names = [str(n) for n in range(8)]
        found = rank_correlation(names, [names[i] for i in order])
        assert found == pytest.approx(expected)


def test_score_drift_is_signed():
    live = np.array([0.9, 0.8], np.float32)
    assert score_drift(live, live - 0.1) == pytest.approx(-0.1)
    assert score_drift(live, live[:0]) is None


class Notes(FakePhotos):
    """A reader that knows of a shadow and keeps what is noted."""

    def __init__(self, *args) -> None:
        super().__init__(*args)
        self.noted: list = []
        self.there: Shadow | None = Shadow(MUTE, "m1")

    async def shadow(self, tenant: str) -> Shadow | None:
        return self.there

    async def note(self, tenant: str, read) -> None:
        self.noted.append(read)


class Spaces(FakeSlot):
    """Another slot's vectors for the shadow's space."""

    def __init__(self, live: FakeSlot, other: FakeSlot) -> None:
        super().__init__()
        self.by_space = {MUTE.id: other}
        self.live = live

    async def search(self, query):
        return await self.by_space.get(query.space.id, self.live).search(query)

    async def vector(self, tenant, space, photo_id, *, seq):
        return await self.by_space.get(space.id, self.live).vector(tenant, space, photo_id, seq=seq)


def service(
    share: float, other: FakeSlot, neighbours: Neighbours | None = None
) -> tuple[SearchService, DualReads, Notes]:
    vectors = {photo_id(n): unit(n) for n in NAMES}
    slot = Spaces(FakeSlot(vectors), other)
    reader = Notes([photo(n) for n in NAMES])
    dual = DualReads(FanOut([slot], 1.0), reader, share)
    searches = SearchService(
        FakeEmbedder(), [slot], reader, SearchConfig(), dual=dual, neighbours=neighbours
    )
    return searches, dual, reader


async def test_a_query_is_put_to_the_shadow_too_and_compared():
    same = FakeSlot({photo_id(n): unit(n) for n in NAMES})
    searches, dual, reader = service(1.0, same)
    await searches.similar("t", photo_id(NAMES[0]), 5)
    await dual.settle()
    (read,) = reader.noted
    assert (read.space_id, read.version, read.k) == (MUTE.id, "m1", 5)
    assert (read.overlap, read.rank_correlation) == (1.0, 1.0)
    assert read.score_drift == pytest.approx(0.0, abs=1e-6)


async def test_what_was_remembered_is_compared_with_nothing():
    same = FakeSlot({photo_id(n): unit(n) for n in NAMES})
    searches, dual, reader = service(1.0, same, Neighbours(10, 60.0))
    for _ in range(3):
        await searches.similar("t", photo_id(NAMES[0]), 5)
    await dual.settle()
    assert len(reader.noted) == 1


async def test_a_shadow_that_fails_costs_the_live_query_nothing():
    searches, dual, reader = service(1.0, FakeSlot(error=RuntimeError("broken")))
    answer = await searches.similar("t", photo_id(NAMES[0]), 5)
    await dual.settle()
    assert len(answer.hits) == 5 and reader.noted == []


async def test_only_the_share_is_sampled_and_nothing_without_a_shadow():
    same = FakeSlot({photo_id(n): unit(n) for n in NAMES})
    searches, dual, reader = service(0.0, same)
    await searches.similar("t", photo_id(NAMES[0]), 5)
    await dual.settle()
    assert reader.noted == []
    searches, dual, reader = service(1.0, same)
    reader.there = None
    await searches.similar("t", photo_id(NAMES[0]), 5)
    await dual.settle()
    assert reader.noted == []


def comparison(**changes) -> Comparison:
    values = {
        "candidate": "b",
        "candidate_space": "s2",
        "serving": "a",
        "serving_space": "s1",
        "k": 10,
        "queries": 100,
        "live_queries": 0,
        "overlap": 0.6,
        "rank_correlation": 0.5,
        "score_drift": 0.1,
        "latency_ms": (1.0, 1.5),
        "coverage": 1.0,
        "maps": (0.8, 0.79),
    }
    return Comparison(**(values | changes))


@pytest.mark.parametrize(
    ("changes", "failed"),
    [
        ({}, []),
        ({"queries": 5}, ["queries"]),
        ({"overlap": 0.05}, ["overlap"]),
        ({"coverage": 0.9}, ["coverage"]),
        ({"latency_ms": (1.0, 4.0)}, ["latency_ratio"]),
        ({"maps": (0.8, 0.7)}, ["map_drop"]),
        ({"maps": None}, []),
        ({"rank_correlation": None}, []),
    ],
)
def test_each_gate_can_close(changes, failed):
    gates = gates_of(comparison(**changes), GatesConfig())
    assert [g.name for g in gates if not g.passed] == failed


def test_a_report_can_be_read_back_and_drawn():
    import json

    from photoorg.search.chart import draw

    found = comparison(gates=gates_of(comparison(), GatesConfig()), overlaps=(0.5, 1.0))
    back = Comparison.from_dict(json.loads(json.dumps(found.to_dict())))
    assert back == found and draw(back).startswith(b"\x89PNG")
