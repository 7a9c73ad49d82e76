"""A detail of a busy picture: found by a space with several views, from files to ranked hits."""

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from photoorg.config import PhotoOrgConfig, parse
from photoorg.models import Hit
from photoorg.search.local import open_search
from photoorg.store.catalog import Catalog, photos
from tests.pictures import jpeg, picture

pytestmark = [pytest.mark.ray, pytest.mark.postgres]
DETAIL = 900


def busy(seed: int, detail: int | None = None) -> bytes:
    """Many small pictures side by side; `detail` covers most of the bottom right."""
    sheet = Image.new("RGB", (640, 480))
    for row in range(4):
        for column in range(4):
            small = picture(1_000 * seed + 10 * row + column, 160, 120)
            sheet.paste(small, (160 * column, 120 * row))
    if detail is not None:
        sheet.paste(picture(detail, 360, 270), (272, 204))
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def configured(tmp_path: Path, url: str, views: list[str]) -> PhotoOrgConfig:
    space = tmp_path / "parts.yaml"
    space.write_text(f"kind: builtin\nname: parts\nviews: [{', '.join(views)}]\n")
    return parse(
        {
            "storage": {"root": str(tmp_path / "-".join(views))},
            "database": {"url": url},
            "encoder": {"space": str(space)},
            "ingest": {"part_rows": 16, "micro_batch": 4},
        }
    )


def asked(config: PhotoOrgConfig, query: bytes, k: int = 40) -> tuple[Hit, ...]:
    with open_search(config) as service:
        return asyncio.run(service.by_image(config.tenant, query, k)).hits


def place_of(hits: tuple[Hit, ...], name: str) -> tuple[int, Hit]:
    return next((n, hit) for n, hit in enumerate(hits) if hit.uri.endswith(name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    inside = tmp_path / "in"
    inside.mkdir()
    for number in range(12):
        (inside / f"busy-{number}.jpg").write_bytes(busy(number))
        (inside / f"plain-{number}.jpg").write_bytes(jpeg(500 + number, 640, 480))
    (inside / "it.jpg").write_bytes(busy(77, DETAIL))
    return inside


def test_a_detail_is_found_with_views_and_ranks_lower_without(
    tmp_path: Path, folder: Path, catalog_url: str
) -> None:
    from pipelines import build_index, ingest

    query = jpeg(DETAIL, 640, 480)
    places: dict[str, int] = {}
    for views in (["full"], ["full", "grid2"]):
        tenant = {"tenant": "parts" if len(views) > 1 else "wholes"}
        config = configured(tmp_path, catalog_url, views).model_copy(update=tenant)
        summary = ingest.run(config, [str(folder)])
        assert (summary.photos, summary.rejects) == (25, 0)
        unindexed = asked(config, query)
        built = build_index.run(config)
        assert built["vectors"] == 25 * (5 if len(views) > 1 else 1)
        hits = asked(config, query)
        assert len(hits) == 25 and not unindexed, "a bulk ingest is found once there is an index"
        place, hit = place_of(hits, "it.jpg")
        places[config.tenant] = place
        if len(views) > 1:
            assert hit.view == "grid2-row2-column2"
            assert any("bottom right" in reason for reason in hit.reasons)
        else:
            assert {h.view for h in hits} == {""}
    assert places["parts"] == 0 < places["wholes"], places


def test_a_photo_of_a_space_with_views_is_compared_and_deleted_like_any_other(
    tmp_path: Path, folder: Path, catalog_url: str
) -> None:
    from pipelines import build_index, compact, ingest

    config = configured(tmp_path, catalog_url, ["full", "centre"])
    ingest.run(config, [str(folder)])
    build_index.run(config)
    with Catalog(catalog_url, config.database) as catalog, catalog.tenant(config.tenant) as tx:
        first, second = list(photos.live_ids(tx))[:2]
        photos.delete(tx, second)
    with open_search(config) as service:
        answer = asyncio.run(service.similar(config.tenant, first, 40))
    found = {hit.photo_id for hit in answer.hits}
    assert len(found) == 23 and not found & {first, second}
    folded = compact.run(config, shards=3)
    assert (folded["vectors"], folded["shards"]) == (24 * 2, 3)
    with open_search(config) as service:
        again = asyncio.run(service.similar(config.tenant, first, 40))
    assert {hit.photo_id for hit in again.hits} == found
    assert again.hits[0].photo_id == answer.hits[0].photo_id
