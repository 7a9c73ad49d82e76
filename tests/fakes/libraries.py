"""A small library in the builtin space, and a second space that needs no download."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import yaml

from photoorg.config import PhotoOrgConfig, parse
from photoorg.encoders.several import SpaceEncoders
from photoorg.encoders.spaces import open_encoder
from photoorg.space import EmbeddingSpace
from photoorg.stages.ingest import open_models
from photoorg.stages.online import OnlineIngest
from photoorg.store.catalog import Catalog
from photoorg.store.objects import ObjectStore
from serve.ingestor import Ingestor
from serve.library import Library
from tests.pictures import jpeg
from tests.unit.encoders.models import tiny_onnx


def second_space(folder: Path, name: str = "tiny") -> str:
    """The path of a space file over a tiny ONNX model in `folder`, which is its models_dir."""
    folder.mkdir(parents=True, exist_ok=True)
    spec = tiny_onnx(folder).model_copy(update={"name": name})
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(spec.model_dump(mode="json")))
    return str(path)


def configured(tmp_path: Path, url: str, **sections: Any) -> PhotoOrgConfig:
    """The builtin space, able to move to the second one."""
    models = tmp_path / "models"
    data: dict[str, Any] = {
        "storage": {"root": str(tmp_path / "store")},
        "database": {"url": url},
        "models_dir": str(models),
        "encoder": {"space": "builtin"},
        "index": {"shards": 2},
        "search": {"delta_poll_ms": 50},
        "serve": {"cache_dir": str(tmp_path / "cache")},
        "migration": {"spaces": [second_space(models)], "sample": 0.0},
    }
    for name, section in sections.items():
        data[name] = {**data.get(name, {}), **section}
    return parse(data)


class Uploads:
    """Uploads and deletes as the server does them, in this thread."""

    def __init__(self, config: PhotoOrgConfig, catalog: Catalog) -> None:
        self.config, self.catalog = config, catalog
        self.store = ObjectStore(config.storage)
        self.models = open_models(config)
        self.library = Library(catalog, self.store)
        encoders = SpaceEncoders(config.encoder, config.models_dir, config.migration.spaces)
        self.ingestor = Ingestor(
            catalog,
            self.store,
            lambda tenant: OnlineIngest(config, self.store, self.models),
            self.models.space,
            encoders=encoders,
        )

    @property
    def second(self) -> EmbeddingSpace:
        """The space of second_space()."""
        config = self.config.encoder.model_copy(update={"space": self.config.migration.spaces[0]})
        return open_encoder(config, self.config.models_dir).space

    def accept(self, seed: int) -> str:
        """Queue a picture; its id."""
        accepting = self.library.accept(self.config.tenant, jpeg(seed), f"{seed}.jpg")
        return asyncio.run(accepting).photo_id

    def add(self, *seeds: int) -> list[str]:
        """Upload and process pictures; their ids."""
        ids = [self.accept(seed) for seed in seeds]
        while self.ingestor.step():
            pass
        return ids

    def delete(self, *photo_ids: str) -> None:
        for photo_id in photo_ids:
            asyncio.run(self.library.delete(self.config.tenant, photo_id))

    def close(self) -> None:
        self.library.close()
        self.ingestor._threads.shutdown()
