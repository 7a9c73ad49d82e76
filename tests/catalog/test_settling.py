"""Which space "auto" means depends on the photos that are there."""

import logging
from datetime import UTC, datetime

import pytest

from photoorg.config import PhotoOrgConfig, parse
from photoorg.encoders.settling import settled
from photoorg.models import IndexVersion
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, indexes, spaces

pytestmark = pytest.mark.postgres


def automatic(tmp_path: object) -> PhotoOrgConfig:
    return parse({"models_dir": str(tmp_path), "encoder": {"hub_timeout_s": 0.01}})


def test_photos_that_are_there_decide(catalog: Catalog, tmp_path: object) -> None:
    space = EmbeddingSpace("mobilenetv2", "onnx", "sha256:1", "1", "p", 4)
    config = automatic(tmp_path)
    with catalog.tenant(config.tenant) as tx:
        spaces.register(tx, space)
        spaces.set_default(tx, space.id, "image")
    assert settled(config, catalog).encoder.space == "mobilenetv2"


def test_a_library_stays_in_the_space_it_is_searched_in(
    catalog: Catalog, caplog: pytest.LogCaptureFixture
) -> None:
    space = EmbeddingSpace("mobilenetv2", "onnx", "sha256:1", "1", "p", 4)
    named = parse({"encoder": {"space": "builtin"}})
    with catalog.tenant(named.tenant) as tx:
        spaces.register(tx, space)
        spaces.set_default(tx, space.id, "image")
    assert settled(named, catalog) is named, "nothing is searched yet"
    version = IndexVersion(named.tenant, space.id, "v1", "shadow", "at", 1, 1, datetime.now(UTC))
    with catalog.tenant(named.tenant) as tx:
        indexes.create(tx, version, 0)
        indexes.activate(tx, space.id, "v1")
    with caplog.at_level(logging.WARNING):
        assert settled(named, catalog).encoder.space == "mobilenetv2"
    assert "reembed --space builtin" in caplog.text
    same = parse({"encoder": {"space": "mobilenetv2"}})
    assert settled(same, catalog) is same


def test_without_photos_the_best_to_be_had_is_named(
    catalog: Catalog, tmp_path: object, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert settled(automatic(tmp_path), catalog).encoder.space == "builtin"
    assert "no text search" in caplog.text
    named = parse({"encoder": {"space": "siglip2-base"}})
    assert settled(named, catalog) is named
