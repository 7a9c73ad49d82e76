"""`photoorg evaluate faces` on real faces, and which face counts."""

from __future__ import annotations

import json

import numpy as np
import pytest

from photoorg.cli import main
from photoorg.cli.evaluate_faces import main_face
from photoorg.models import Face


def face(x: float, size: float) -> Face:
    return Face((x, 0.5 - size / 2, size, size), (), 0.9, 0.9, np.zeros(4, np.float32))


def test_the_large_face_in_the_middle_counts():
    middle, edge, tiny = face(0.35, 0.3), face(0.0, 0.3), face(0.49, 0.02)
    assert main_face([edge, tiny, middle]) is middle


@pytest.mark.data
def test_tight_crops_of_real_people_are_grouped(shared_data, tmp_path, monkeypatch, capsys):
    for person in sorted(p for p in (shared_data / "faces" / "lfw10").iterdir() if p.is_dir())[:3]:
        folder = tmp_path / person.name
        folder.mkdir()
        for file in sorted(person.iterdir())[:4]:
            (folder / file.name).write_bytes(file.read_bytes())
    (tmp_path / person.name / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    (tmp_path / "Nobody Yet").mkdir()
    monkeypatch.setenv("PHOTOORG_MODELS_DIR", str(shared_data / "models"))
    assert (
        main(["evaluate", "faces", str(tmp_path), "--space", "faces-mobilefacenet", "--json"]) == 0
    )
    data = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {"nmi", "ari", "purity", "pairwise_f1", "clusters"} <= data.keys()
    assert data["nmi"] >= 0.9 and data["purity"] >= 0.9 and data["clusters"] >= 3
    assert (data["n"], data["missed"]) == (12, 1)
