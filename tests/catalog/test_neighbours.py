"""Neighbours that are remembered, over the real catalog and real shards: never longer than true."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from photoorg.search.catalog import CatalogQueries
from photoorg.search.local import (
    local_embedder,
    local_neighbours,
    local_reader,
    local_service,
    local_slot,
)
from photoorg.search.ports import SearchAnswer
from photoorg.search.questions import Terms
from photoorg.search.service import SearchService
from photoorg.stages import compaction
from photoorg.stages.versions import Versions
from photoorg.store.catalog import Catalog, photos, thresholds, trash
from tests.fakes.libraries import Uploads, configured
from tests.pictures import jpeg

pytestmark = pytest.mark.postgres
T = "default"


class World:
    """A library of 12 photos with an index, and a service that remembers."""

    def __init__(self, tmp_path: Path, catalog: Catalog, url: str) -> None:
        from pipelines import build_index

        config = configured(tmp_path, url, ingest={"part_rows": 100})
        # Only the log may tell that something changed.
        search = config.search.model_copy(update={"cache_seconds": 3600.0})
        self.config = config.model_copy(update={"search": search})
        self.catalog = catalog
        self.library = Uploads(self.config, catalog)
        self.photos = self.library.add(*range(12))
        build_index.run(self.config)
        self.neighbours = local_neighbours(self.config)
        self.reader = local_reader(self.config, catalog, self.library.store)
        self.slot = local_slot(self.config, catalog, self.library.store, 0, 1)
        self.embedder = local_embedder(self.config)
        self.queries: list[CatalogQueries] = []
        self.service = self.fresh_service()

    def fresh_service(self) -> SearchService:
        """One that remembers neighbours, and nothing of the thresholds."""
        self.queries.append(CatalogQueries(self.catalog))
        return local_service(
            self.config,
            self.embedder,
            [self.slot],
            self.reader,
            self.queries[-1],
            neighbours=self.neighbours,
        )

    async def similar(self, **asked) -> SearchAnswer:
        """What is like the first photo, which everybody looks at."""
        return await self.service.similar(T, self.photos[0], 100, Terms(**asked))

    async def found(self) -> set[str]:
        hits = (await self.similar()).hits
        return {h.photo_id for h in hits} | {f for h in hits for f in h.folded}

    def others(self) -> set[str]:
        """Every photo but the first, by the catalog."""
        with self.catalog.tenant(T) as tx:
            return set(photos.live_ids(tx)) - set(trash.ids(tx)) - {self.photos[0]}

    async def do(self, work, *given):
        """Something that blocks, as another process would do it."""
        return await asyncio.to_thread(work, *given)

    def close(self) -> None:
        for part in (self.slot, self.reader, self.embedder, *self.queries, self.library):
            part.close()


@pytest.fixture
def world(tmp_path, catalog, catalog_url):
    world = World(tmp_path, catalog, catalog_url)
    yield world
    world.close()


async def remembered(world: World) -> set[str]:
    """What is found, which must then come out of memory."""
    found = await world.found()
    hits = world.neighbours.hits
    assert await world.found() == found and world.neighbours.hits == hits + 1
    return found


async def test_uploads_deletes_and_the_trash_count_at_once(world):
    assert await remembered(world) == world.others()
    (new,) = await world.do(world.library.add, 100)
    assert new in await remembered(world)
    await world.do(world.library.delete, world.photos[3])
    assert world.photos[3] not in await remembered(world)

    def change(what) -> None:
        with world.catalog.tenant(T) as tx:
            what(tx, [world.photos[4]])

    await world.do(change, trash.put)
    assert world.photos[4] not in await remembered(world)
    await world.do(change, trash.restore)
    assert world.photos[4] in await remembered(world)
    assert await world.found() == world.others()


async def test_a_photo_that_was_deleted_and_comes_again_is_found_again(world):
    assert world.photos[3] in await remembered(world)
    await world.do(world.library.delete, world.photos[3])
    assert world.photos[3] not in await remembered(world)
    assert await world.do(world.library.add, 3) == [world.photos[3]]
    assert await remembered(world) == world.others()


async def test_a_cutover_and_the_way_back_count_at_once(world):
    from pipelines import reembed

    before = await world.similar()
    await remembered(world)
    done = await world.do(reembed.run, world.config, world.config.migration.spaces[0])
    await remembered(world)
    versions = Versions(world.catalog, T, world.config.migration)

    def activate() -> None:
        world.slot.refresh()
        versions.activate(done["version"], actor="ann", force=True)

    await preloaded(world, activate)
    after = await world.similar()
    assert after.space == done["space"] != before.space
    assert await remembered(world) == world.others()
    await world.do(world.library.delete, world.photos[5])
    await world.do(world.library.add, 101)
    assert await remembered(world) == world.others()
    await preloaded(world, lambda: versions.rollback(actor="ann"))
    back = await world.similar()
    assert back.space == before.space
    assert await remembered(world) == world.others()


async def preloaded(world: World, switch) -> None:
    """Do a switch while the slot does what it does all the time."""
    switching = asyncio.create_task(world.do(switch))
    while not switching.done():
        await world.do(world.slot.refresh)
        await asyncio.sleep(0.05)
    await switching


async def test_a_compaction_changes_nothing_that_is_found(world):
    await world.do(world.library.add, 102, 103)
    found = await remembered(world)

    def compact() -> None:
        compaction.compact(world.config, world.library.store, world.catalog, actor="ann", shards=3)

    await preloaded(world, compact)
    assert await remembered(world) == found == world.others()


async def test_a_bulk_ingest_is_found_with_its_index(world, tmp_path):
    from pipelines import build_index, ingest

    await remembered(world)
    folder = tmp_path / "bulk"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(jpeg(104))
    await world.do(ingest.run, world.config, [str(folder)])
    await preloaded(world, lambda: build_index.run(world.config))
    assert await remembered(world) == world.others()


async def test_a_new_calibration_counts_for_what_is_remembered(world):
    found = await world.similar(cutoff="auto")
    assert found.hits
    with world.catalog.tenant(T) as tx:
        cutoffs = {"search.image": 0.999, "search.image.floor": 0.999}
        thresholds.change(tx, found.space, cutoffs, "ann")
    world.service = world.fresh_service()
    hits = world.neighbours.hits
    assert not (await world.similar(cutoff="auto")).hits
    assert world.neighbours.hits == hits + 1, "the shards were not asked for it"


async def test_tenants_share_nothing(world, catalog):
    await remembered(world)
    other = world.config.model_copy(update={"tenant": "other"})
    library = Uploads(other, catalog)
    try:
        theirs = await world.do(library.add, 0, 1, 200)
        assert theirs[0] == world.photos[0], "the same bytes in both"
        answer = await world.service.similar("other", theirs[0], 100)
        assert {h.photo_id for h in answer.hits} == set(theirs[1:])
        assert await remembered(world) == world.others()
    finally:
        library.close()


async def test_nothing_comes_back_while_photos_come_and_go(world):
    gone: set[str] = set()
    wrong: list[set[str]] = []
    stop = asyncio.Event()

    async def look() -> None:
        while not stop.is_set():
            known = set(gone)
            wrong.append(await world.found() & known)

    looking = [asyncio.create_task(look()) for _ in range(4)]
    for number, photo_id in enumerate(world.photos[1:9]):
        await world.do(world.library.delete, photo_id)
        gone.add(photo_id)
        (new,) = await world.do(world.library.add, 300 + number)
        assert new in await world.found()
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*looking)
    assert len(wrong) > 8 and not any(wrong) and world.neighbours.hits > 0
    assert await world.found() == world.others()
