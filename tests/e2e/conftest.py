"""Whole commands in processes of their own, as a person runs them."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from photoorg.cli import main
from photoorg.store.embedded import embedded
from tests.pictures import jpeg, library


@dataclass(frozen=True)
class Command:
    """What a command left: its status, stdout and stderr."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on stdout."""
        assert self.out.count("\n") == 1, self.out
        return json.loads(self.out)


@dataclass(frozen=True)
class Home:
    """A folder with photos and a storage of its own, and the environment that names it."""

    folder: Path
    root: Path
    settings: dict[str, str]

    def run(self, *words: str, code: str | None = None, **settings: str) -> Command:
        """Run `photoorg` with these words, or `code` in its place."""
        own = {k: v for k, v in os.environ.items() if not k.startswith("PHOTOORG_")}
        own |= {"PYTHONPATH": str(self.root), "PYTHONWARNINGS": "error::ResourceWarning"}
        done = subprocess.run(
            [sys.executable, *(["-c", code] if code else ["-m", "photoorg.cli"]), *words],
            env=own | self.settings | settings,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=280,
        )
        return Command(done.returncode, done.stdout, done.stderr)

    def call(self, request: pytest.FixtureRequest, *words: str) -> Command:
        """The same in the test's own process: quick enough for many calls."""
        patch, captured = (request.getfixturevalue(name) for name in ("monkeypatch", "capsys"))
        for name in [n for n in os.environ if n.startswith("PHOTOORG_")]:
            patch.delenv(name)
        for name, value in self.settings.items():
            patch.setenv(name, value)
        patch.chdir(self.folder)
        status = main(list(words))
        out, err = captured.readouterr()
        return Command(status, out, err)


@pytest.fixture(scope="module")
def home(repo_root: Path) -> Iterator[Home]:
    """A home whose embedded PostgreSQL runs as long as the module's tests.

    It is not below pytest's folders: started by root, PostgreSQL runs as a user who is shut out.
    """
    with tempfile.TemporaryDirectory(prefix="photoorg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        library(folder / "photos", 9, duplicates=2, broken=3)
        (folder / "photos" / "query.png").write_bytes(jpeg(3))
        (folder / "empty").mkdir()
        (folder / "note.txt").write_text("not a photo")
        storage = folder / "store"
        settings = {
            "PHOTOORG_STORAGE__ROOT": str(storage),
            "PHOTOORG_ENCODER__SPACE": "builtin",
            "PHOTOORG_SERVE__CACHE_DIR": str(folder / "cache"),
        }
        with embedded(storage):
            yield Home(folder, repo_root, settings)
