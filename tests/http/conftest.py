from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from photoorg.config import StorageConfig
from photoorg.store.objects import ObjectStore
from serve.ingestor import Ingestor
from serve.library import Library
from tests.fakes.http import World
from tests.fakes.line import FakeLine
from tests.fakes.search import SPACE


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    async with world.client() as client:
        yield client


@pytest.fixture
def store(tmp_path) -> ObjectStore:
    return ObjectStore(StorageConfig(root=str(tmp_path / "store")))


@pytest.fixture
def library(catalog, store):
    library = Library(catalog, store)
    yield library
    library.close()


@pytest.fixture
def line(store) -> FakeLine:
    return FakeLine(store)


@pytest.fixture
def ingestor(catalog, store, line) -> Ingestor:
    return Ingestor(catalog, store, lambda tenant: line, SPACE, attempts=3)
