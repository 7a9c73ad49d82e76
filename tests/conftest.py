"""Fixtures shared by every test."""

from pathlib import Path

import hypothesis
import pytest

pytest_plugins = ["tests.postgres", "tests.s3server"]
ROOT = Path(__file__).resolve().parent.parent
# How long an example takes says more about the machine than about the code.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def repo_root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real photos and models kept beside the checkout; absent in a bare clone."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the test data folder ../shared/data is not beside this checkout")
    return folder
