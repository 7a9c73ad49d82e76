"""OCR and NSFW alone over photos that are known already, on a real local Ray cluster."""

from pathlib import Path

import pytest
from PIL import ImageDraw, ImageFont

from photoorg.config import parse
from photoorg.store.catalog import Catalog, photos
from tests.pictures import picture

pytestmark = [pytest.mark.ray, pytest.mark.postgres]


def signs(folder: Path) -> Path:
    """Three pictures, two of them with a word."""
    folder.mkdir()
    for number, word in enumerate(("HARBOUR", "MUSEUM", "")):
        image = picture(number, 640, 480)
        draw = ImageDraw.Draw(image)
        if word:
            draw.rectangle((60, 60, 400, 160), fill=(245, 245, 240))
            draw.text((80, 80), word, font=ImageFont.load_default(48), fill=(10, 10, 10))
        image.save(folder / f"{number}.png")
    return folder


def test_one_stage_over_known_photos_keeps_what_the_others_made(tmp_path, catalog_url):
    pytest.importorskip("rapidocr")
    pytest.importorskip("nudenet")
    from pipelines import ingest

    folder = signs(tmp_path / "in")
    config = parse(
        {
            "storage": {"root": str(tmp_path / "store")},
            "database": {"url": catalog_url},
            "encoder": {"space": "builtin", "device": "cpu"},
        }
    )
    ingest.run(config, [str(folder)])
    summary = ingest.run(config, [str(folder)], stages=("ocr", "nsfw"), force=True)
    assert (summary.photos, summary.rejects, summary.new) == (3, 0, 3)
    with Catalog(catalog_url, config.database) as catalog, catalog.tenant("default") as tx:
        found, _ = photos.page(tx)
    assert sorted(p.ocr_text or "" for p in found) == ["", "HARBOUR", "MUSEUM"]
    for photo in found:
        assert photo.nsfw is not None and 0 <= photo.nsfw < 0.5
        assert photo.hashes is not None and photo.quality is not None and photo.has_thumbnail
        assert photo.status == "ready"
