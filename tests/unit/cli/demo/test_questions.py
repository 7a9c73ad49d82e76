from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from PIL import Image

from photoorg.cli.demo.questions import _row


def test_the_query_keeps_its_own_name_on_the_sheet() -> None:
    picture = Image.new("RGB", (4, 3), "white")
    client: Any = SimpleNamespace(thumbnail=lambda photo_id: picture)
    library: Any = SimpleNamespace(subject_at=lambda uri: "cat")
    hit = {"photo_id": "p", "uri": "file:///photos/cat-phone.jpg", "score": 1.0, "folded": []}
    answer: Any = SimpleNamespace(results=[hit])
    row = _row(client, library, "More like this photo", picture, "cat-original.jpg", answer)
    assert row.query.lines == ("query", "cat-original.jpg")
    assert row.results[0].lines == ("1.000  cat", "cat-phone.jpg")
