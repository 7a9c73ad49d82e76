"""Metrics of several processes: whoever is asked answers for all of them."""

from __future__ import annotations

import asyncio
import pickle

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serve.board import Board, Reporter
from serve.metrics import Metrics, Snapshot
from tests.fakes.http import World

ROUTE = "/v1/photos"


class Replica:
    """One ingress of an application whose processes share a board."""

    def __init__(self, name: str, board: Board) -> None:
        self.metrics = Metrics(name)
        self.reporter = Reporter(self.metrics, board, every_s=0.01)
        self.world = World(metrics=self.metrics, others=self.reporter.others)

    async def get(self, path: str) -> httpx.Response:
        async with self.world.client() as client:
            return await client.get(path)

    async def scraped(self) -> dict[str, list]:
        text = (await self.get("/v1/metrics")).text
        families = list(text_string_to_metric_families(text))
        assert len({f.name for f in families}) == len(families), "a family stands there twice"
        return {f.name: f.samples for f in families}


def answered(families: dict[str, list]) -> dict[str, float]:
    return {
        s.labels["replica"]: s.value
        for s in families["photoorg_http_requests"]
        if s.name.endswith("_total") and s.labels["route"] == ROUTE
    }


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_every_replica_answers_for_all_and_the_sums_are_right():
    board = Board()
    one, two = Replica("one", board), Replica("two", board)
    for replica, times in ((one, 3), (two, 2)):
        for _ in range(times):
            assert (await replica.get(ROUTE)).status_code == 200
        replica.reporter.start()
    async with asyncio.timeout(60):
        while len(await board.others("whoever asks")) < 2:
            await asyncio.sleep(0.01)
    for asked in (one, two):
        families = await asked.scraped()
        assert answered(families) == {"one": 3.0, "two": 2.0}
        (depth,) = families["photoorg_upload_queue_depth"]
        assert depth.labels == {} and depth.value == 0, "one queue, however many are asked"
        (reporting,) = families["photoorg_replicas_reporting"]
        assert reporting.value == 2
    await two.reporter.stop()
    assert answered(await one.scraped()) == {"one": 3.0}, "who stopped is gone at once"
    await one.reporter.stop()


async def test_who_died_is_left_out_after_a_while():
    clock = Clock()
    board = Board(forget_s=30, clock=clock)
    await board.put(Snapshot("dead", ()))
    clock.now = 20
    await board.put(Snapshot("alive", ()))
    assert [s.replica for s in await board.others("me")] == ["alive", "dead"]
    clock.now = 40
    assert [s.replica for s in await board.others("me")] == ["alive"]
    assert await board.others("alive") == []


async def test_without_the_board_a_replica_still_answers_for_itself(caplog):
    class Gone(Board):
        async def others(self, replica: str) -> list[Snapshot]:
            raise ConnectionError("gone")

        async def put(self, snapshot: Snapshot) -> None:
            raise ConnectionError("gone")

    one = Replica("one", Gone())
    one.reporter.start()
    await one.get(ROUTE)
    families = await one.scraped()
    await one.reporter.stop()
    assert answered(families) == {"one": 1.0}
    assert families["photoorg_replicas_reporting"][0].value == 1
    assert "cannot be had" in caplog.text


def test_a_snapshot_can_be_sent_to_another_process():
    metrics = Metrics("one")
    metrics.search.labels("image").observe(0.02)
    sent = pickle.loads(pickle.dumps(metrics.snapshot()))
    text = Metrics("two").text([sent]).decode()
    assert 'photoorg_search_seconds_count{kind="image",replica="one"} 1.0' in text


def test_one_process_alone_needs_no_replica():
    metrics = Metrics()
    metrics.partial.inc()
    assert b"photoorg_search_partial_total 1.0" in metrics.text()


@pytest.mark.parametrize("kind", ["counter", "histogram", "gauge"])
def test_the_text_keeps_the_kinds_of_families(kind):
    text = Metrics("one").text([Metrics("two").snapshot()]).decode()
    assert f" {kind}\n" in text
