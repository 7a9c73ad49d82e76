"""Neighbours of hot photos are remembered, and never longer than they are true."""

from __future__ import annotations

from dataclasses import replace

from photoorg.config import SearchConfig
from photoorg.search.filters import Filter
from photoorg.search.neighbours import Neighbours
from photoorg.search.questions import Terms
from photoorg.search.service import SearchService
from serve.metrics import Metrics
from tests.fakes.search import SPACE, FakeEmbedder, FakePhotos, FakeSlot, photo, photo_id, unit

NAMES = [f"photo-{i}" for i in range(30)]
HOT = photo_id("photo-3")


class World:
    """One slot over some photos; `seq` is where the tenant's log stands."""

    def __init__(self, *, most=10, seconds=60.0, lost=0) -> None:
        self.slot = FakeSlot({photo_id(n): unit(n) for n in NAMES}, lost=lost)
        self.photos = FakePhotos([photo(n) for n in NAMES])
        self.neighbours = Neighbours(most, seconds)
        self.service = SearchService(
            FakeEmbedder(),
            [self.slot],
            self.photos,
            SearchConfig(mmr_lambda=1.0),
            neighbours=self.neighbours,
        )

    async def similar(self, to=HOT, k=29, **asked) -> list[str]:
        answer = await self.service.similar("default", to, k, Terms(**asked))
        return [hit.photo_id for hit in answer.hits]

    @property
    def asked(self) -> int:
        return len(self.slot.seqs)


async def test_the_second_look_at_a_photo_asks_no_shard_and_finds_the_same():
    world = World()
    first = await world.similar()
    before = world.asked
    assert await world.similar() == first and len(first) == 29
    assert world.asked == before
    assert (world.neighbours.hits, world.neighbours.misses) == (1, before)


async def test_a_deleted_photo_is_gone_from_the_next_query():
    world = World()
    gone = (await world.similar())[0]
    del world.slot.vectors[gone], world.photos.known[gone]
    world.photos.seq += 1
    found = await world.similar()
    assert gone not in found and len(found) == 28


async def test_an_uploaded_photo_is_found_by_the_next_query():
    world = World()
    await world.similar()
    new = photo("new")
    world.slot.vectors[new.photo_id], world.photos.known[new.photo_id] = unit("photo-3"), new
    world.photos.seq += 1
    assert (await world.similar(k=5))[0] == new.photo_id


async def test_after_a_cutover_the_other_version_answers():
    world = World()
    await world.similar()
    swapped = {photo_id(n): unit(n + "'") for n in NAMES}
    world.slot.vectors = swapped
    world.photos.seq += 1  # a cutover writes a switch event
    best = max(swapped, key=lambda i: (i != HOT) * float(swapped[i] @ swapped[HOT]))
    assert (await world.similar(k=5))[0] == best


async def test_another_space_is_another_question():
    world = World()
    await world.similar()
    before = world.asked
    world.photos.tenant_space = replace(SPACE, revision="other")
    await world.similar()
    assert world.asked > before and world.neighbours.hits == 0


async def test_an_older_query_neither_takes_nor_replaces_what_a_later_one_found():
    world = World()
    world.photos.seq = 5
    await world.similar()
    world.photos.seq = 4
    await world.similar()
    world.photos.seq = 5
    before = world.asked
    await world.similar()
    assert world.asked == before


async def test_partial_answers_are_not_kept():
    partial = World(lost=1)
    await partial.similar()
    await partial.similar()
    assert partial.neighbours.hits == 0 and len(partial.neighbours) == 0


async def test_an_empty_filter_is_no_filter():
    world = World()
    await world.similar(where=Filter())
    await world.similar(where=Filter())
    assert world.neighbours.hits == 1


async def test_at_most_so_many_are_kept_the_least_recently_used_dropped():
    world = World(most=2)
    for name in ("photo-1", "photo-2", "photo-1", "photo-3"):
        await world.similar(photo_id(name), 3)
    before = world.asked
    await world.similar(photo_id("photo-1"), 3)
    assert world.asked == before and len(world.neighbours) == 2
    await world.similar(photo_id("photo-2"), 3)
    assert world.asked > before


async def test_old_answers_are_asked_for_again():
    world = World(seconds=0.0)
    await world.similar(k=3)
    before = world.asked
    await world.similar(k=3)
    assert world.asked > before


async def test_metrics_tell_hits_and_misses():
    world, metrics = World(), Metrics()
    metrics.watch(world.neighbours)
    await world.similar(k=3)
    await world.similar(k=3)
    text = metrics.text().decode()
    assert 'photoorg_neighbour_cache_requests{outcome="hit"} 1.0' in text
