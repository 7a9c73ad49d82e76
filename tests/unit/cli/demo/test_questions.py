import hashlib
from pathlib import Path

import pytest
from PIL import Image

from photoorg.cli.demo import questions
from photoorg.cli.demo.client import Answer
from photoorg.cli.demo.library import Library, jpeg
from photoorg.cli.demo.run import ingested_all


class FakeClient:
    """Answers every search with the same results, best first."""

    def __init__(self, *hits: tuple[str, str]) -> None:
        self._results = [
            {"photo_id": photo_id, "uri": uri, "score": 0.9, "folded": []} for photo_id, uri in hits
        ]

    def by_image(self, image: bytes, *, k: int, box: object = None) -> Answer:
        return Answer(self._results, 1.0)

    def similar(self, photo_id: str, *, k: int) -> Answer:
        return Answer(self._results, 1.0)

    def upload(self, image: bytes, name: str) -> str:
        return "new"

    def thumbnail(self, photo_id: str) -> Image.Image:
        return Image.new("RGB", (40, 30), "red")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two photos, of the two subjects that are asked for."""
    subject_of = {}
    for subject in ("pavilion", "cat"):
        path = tmp_path / f"{subject}-original.jpg"
        path.write_bytes(jpeg(Image.new("RGB", (60, 40), "navy")))
        subject_of[path] = subject
    return Library(tmp_path, subject_of, (), ())


def uri(library: Library, subject: str) -> str:
    return f"file://{library.path(subject, 'original')}"


def test_a_crop_is_answered_right_by_its_subject_on_top_only(library):
    right = FakeClient(("1", uri(library, "pavilion")), ("2", uri(library, "cat")))
    wrong = FakeClient(("2", uri(library, "cat")), ("1", uri(library, "pavilion")))
    assert questions.similar_to_crop(right, library).right
    assert not questions.similar_to_crop(wrong, library).right
    assert not questions.similar_to_crop(FakeClient(), library).right


def test_a_photo_must_not_be_among_its_own_similar_ones(library):
    own = hashlib.sha256(library.path("cat", "original").read_bytes()).hexdigest()
    other, itself = ("1", uri(library, "cat")), (own, uri(library, "cat"))
    assert questions.similar_to_photo(FakeClient(other), library).right
    assert not questions.similar_to_photo(FakeClient(other, itself), library).right


def test_an_upload_must_come_out_on_top_in_time(library, monkeypatch):
    monkeypatch.setattr(questions, "SEARCHABLE_WITHIN_S", 0.0)
    found = FakeClient(("new", "default/blobs/ne/new"))
    other = FakeClient(("1", uri(library, "cat")), ("new", "default/blobs/ne/new"))
    assert questions.new_photo_in_part_of_image(found, library).right
    assert not questions.new_photo_in_part_of_image(other, library).right


def test_every_file_must_be_accounted_for(library):
    good = {"files": 2, "photos": 2, "duplicates": 0, "rejects": 0, "seconds": 1.0}
    assert ingested_all(library, good).right
    assert not ingested_all(library, good | {"photos": 1, "rejects": 1}).right
