"""One local Ray cluster for all tests of this folder."""

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def ray_off_afterwards() -> Iterator[None]:
    yield
    import ray

    ray.shutdown()
