"""`make demo`, as a newcomer runs it, in an empty folder."""

import os
import subprocess
import sys

import pytest
from PIL import Image

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.ray,
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(600),
]


def test_the_demo_answers_every_question_and_ends_well(server_folder, repo_root):
    own = {k: v for k, v in os.environ.items() if not k.startswith("PHOTOORG_")}
    done = subprocess.run(
        [sys.executable, "-m", "photoorg.cli.demo"],
        cwd=server_folder,
        env=own
        | {"DEMO_EXIT": "1", "PYTHONPATH": str(repo_root), "PHOTOORG_ENCODER__SPACE": "builtin"},
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("   ok ") == 4 and "WRONG" not in done.stdout
    assert "Traceback" not in done.stderr
    with Image.open(server_folder / "demo-data" / "contact-sheet.png") as sheet:
        assert sheet.format == "PNG" and sheet.width > 800
        assert len(sheet.getcolors(1 << 22)) > 10_000
    assert {p.name for p in server_folder.iterdir()} == {"demo-data"}
