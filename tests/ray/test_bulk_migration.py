"""Bulk ingests on a cluster while the library moves to another space: nothing is left behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from photoorg.config import PhotoOrgConfig
from photoorg.errors import ConflictError
from photoorg.search.local import open_search
from photoorg.stages.coverage import Coverage
from photoorg.stages.versions import Versions
from photoorg.store.catalog import Catalog, photos
from photoorg.store.objects import ObjectStore
from tests.fakes.libraries import configured
from tests.pictures import jpeg, library

pytestmark = [pytest.mark.ray, pytest.mark.postgres, pytest.mark.timeout(600)]


def similar(config: PhotoOrgConfig, photo_id: str) -> tuple[str, set[str]]:
    with open_search(config) as service:
        answer = asyncio.run(service.similar(config.tenant, photo_id, 100))
    return answer.space, {hit.photo_id for hit in answer.hits} | {
        f for hit in answer.hits for f in hit.folded
    }


def test_bulk_ingests_around_a_re_embedding_end_up_in_the_new_space(
    tmp_path: Path, catalog: Catalog, catalog_url: str
) -> None:
    from pipelines import build_index, ingest, reembed

    here = {"part_rows": 8, "micro_batch": 4, "here_below": 0}
    config = configured(tmp_path, catalog_url, ingest=here)
    space = config.migration.spaces[0]
    folder = library(tmp_path / "in", 20)
    assert ingest.run(config, [str(folder)]).photos == 20
    build_index.run(config)
    shadow = reembed.run(config, space)
    assert (shadow["photos"], shadow["vectors"], shadow["status"]) == (20, 20, "shadow")
    for seed in range(300, 318):
        (folder / f"both-{seed}.jpg").write_bytes(jpeg(seed))
    both = ingest.run(config, [str(folder)])
    assert (both.new, both.also, both.behind) == (18, ("tiny",), ())
    nowhere = config.migration.model_copy(update={"spaces": ()})
    lame = config.model_copy(update={"migration": nowhere})
    for seed in range(320, 338):
        (folder / f"late-{seed}.jpg").write_bytes(jpeg(seed))
    late = ingest.run(lame, [str(folder)])
    assert (late.new, late.also, late.behind) == (18, (), ("tiny",))
    store = ObjectStore(config.storage)
    coverage = Coverage(store, catalog, config.tenant)
    versions = Versions(catalog, config.tenant, config.migration, coverage)
    with pytest.raises(ConflictError, match="lacks 18 of 56 photos"):
        versions.activate(shadow["version"], actor="test", force=True)
    again = reembed.run(config, space)
    assert (again["version"], again["photos"], again["added"]) == (shadow["version"], 18, 18)
    versions.activate(shadow["version"], actor="test", force=True)
    with catalog.tenant(config.tenant) as tx:
        ids = list(photos.live_ids(tx))
    asked_in, found = similar(config, ids[0])
    assert asked_in == again["space"] and found == set(ids[1:])
