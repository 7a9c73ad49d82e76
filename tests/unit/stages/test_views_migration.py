"""From a space of one vector a photo to one of several, and back."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from photoorg.config import PhotoOrgConfig
from photoorg.models import IndexVersion
from photoorg.search.comparing import Comparer
from photoorg.search.local import open_search
from photoorg.search.ports import SearchAnswer
from photoorg.stages.compaction import compact, up_to_date
from photoorg.stages.coverage import Coverage
from photoorg.stages.versions import Versions
from photoorg.store.catalog import indexes, photos, spaces
from tests.fakes.libraries import Uploads, configured
from tests.pictures import jpeg

pytestmark = pytest.mark.postgres
T = "default"
VIEWS = 6


@pytest.fixture
def parts(tmp_path) -> str:
    """The space of builtin-parts, as a file of one's own."""
    path = tmp_path / "parts.yaml"
    path.write_text("kind: builtin\nname: parts\nviews: [full, centre, grid2]\n")
    return str(path)


@pytest.fixture
def world(tmp_path, catalog, catalog_url, parts):
    gates = {"min_queries": 5, "max_latency_ratio": 1_000.0}
    config = configured(
        tmp_path,
        catalog_url,
        ingest={"part_rows": 100},
        migration={"spaces": [parts], "gates": gates},
    )
    world = Uploads(config, catalog)
    yield world
    world.close()


def similar(config: PhotoOrgConfig, photo_id: str) -> SearchAnswer:
    with open_search(config) as service:
        return asyncio.run(service.similar(T, photo_id, 100))


def ids(answer: SearchAnswer) -> set[str]:
    return {hit.photo_id for hit in answer.hits} | {f for hit in answer.hits for f in hit.folded}


def live(world: Uploads) -> set[str]:
    with world.catalog.tenant(T) as tx:
        return set(photos.live_ids(tx))


def of(world: Uploads, done: dict) -> IndexVersion:
    with world.catalog.tenant(T) as tx:
        found = indexes.get(tx, done["space"], done["version"])
    assert found is not None
    return found[0]


def test_there_and_back_with_uploads_deletes_and_a_bulk_ingest(world, parts, tmp_path):
    from pipelines import build_index, ingest, reembed

    first = world.add(*range(10))
    build_index.run(world.config)
    done = reembed.run(world.config, parts)
    assert (done["photos"], done["vectors"], done["rejects"]) == (10, 10 * VIEWS, 0)
    late = world.add(30, 31)
    world.delete(first[1], late[1])
    folder = tmp_path / "bulk"
    folder.mkdir()
    (folder / "32.jpg").write_bytes(jpeg(32, 320, 240))
    ingest.run(world.config, [str(folder)])
    coverage = Coverage(world.store, world.catalog, T)
    assert coverage.gap(of(world, done)).photo_ids == [], "a bulk ingest fills both spaces"
    again = reembed.run(world.config, parts)
    assert (again["version"], again["photos"], again["added"]) == (done["version"], 0, 0)
    compared = Comparer(world.config, world.store, world.catalog).compare(of(world, done))
    assert compared.passed and compared.coverage == 1.0, compared.gates
    versions = Versions(world.catalog, T, world.config.migration, coverage)
    versions.activate(done["version"], actor="ann")
    answer = similar(world.config, first[0])
    assert answer.space == done["space"] and ids(answer) == live(world) - {first[0]}
    assert all(hit.view for hit in answer.hits), "each says which part of it is meant"
    new = world.add(33)
    assert ids(similar(world.config, new[0])) == live(world) - {new[0]}
    back = versions.rollback(actor="ann")
    assert back.lacking == 1, "the bulk ingest of before is in no index of the space before"
    answer = similar(world.config, first[0])
    assert answer.space != done["space"] and {hit.view for hit in answer.hits} == {""}
    assert ids(answer) | {first[0]} >= {*first[2:], late[0], *new}
    assert reembed.run(world.config, "builtin")["added"] == 1
    assert ids(similar(world.config, first[0])) == live(world) - {first[0]}


def test_a_library_with_views_is_compacted_and_known_to_be_up_to_date(world, parts):
    from pipelines import reembed

    world.add(*range(4))
    from pipelines import build_index

    build_index.run(world.config)
    done = reembed.run(world.config, parts)
    versions = Versions(world.catalog, T, world.config.migration)
    versions.activate(done["version"], actor="ann", force=True)
    with world.catalog.tenant(T) as tx:
        default = spaces.get_default(tx)
    assert default is not None and len(default.views) == VIEWS
    assert up_to_date(world.config, world.store, world.catalog) is not None
    world.add(5)
    assert up_to_date(world.config, world.store, world.catalog) is None
    done = compact(world.config, world.store, world.catalog, actor="ann")
    assert (done.came, done.vectors) == (1, 5 * VIEWS)
    version = up_to_date(world.config, world.store, world.catalog)
    assert version is not None and version.version == done.version
    assert Path(world.store.root, version.location).is_dir()
