"""`photoorg dedup` and `photoorg evaluate dedup` as a person uses them."""

from __future__ import annotations

import csv
import json

import pytest
from PIL import Image

from photoorg.config import DatabaseConfig
from photoorg.store.catalog import Catalog, photos
from photoorg.store.embedded import database_url
from tests.catalog import rows
from tests.catalog.test_duplicates import copies
from tests.e2e.conftest import Home
from tests.pictures import picture

pytestmark = [pytest.mark.e2e, pytest.mark.postgres]


@pytest.fixture
def filled(home: Home) -> Home:
    """A tenant of its own with two groups of copies, as an ingest would have left them."""
    from photoorg.config import load

    config = load(None, home.settings)
    with database_url(config) as url, Catalog(url, DatabaseConfig()) as catalog:
        catalog.migrate()
        with catalog.tenant("copies") as tx:
            made = [*copies("x", 3), *copies("y", 2), rows.photo("z")]
            photos.copy_part(tx, "r", 0, rows.photos(*made), rows.rejects())
    return home


def test_scan_list_resolve_undo_and_preview(filled: Home, request: pytest.FixtureRequest) -> None:
    def run(*words: str) -> dict:
        done = filled.call(request, "dedup", *words, "--tenant", "copies", "--json")
        assert done.status == 0, done.err
        return done.json

    found = run("scan", "--hashes-only")
    assert (found["groups"], found["duplicates"], found["photos"]) == (2, 3, 6)
    page = run("list", "--limit", "1")
    rest = run("list", "--limit", "1", "--after", page["next_cursor"])
    assert rest["next_cursor"] is None
    number = page["groups"][0]["group_id"]
    assert run("show", str(number))["group_id"] == number
    effects = run("preview", "--confidence", "0.8", "--confidence", "1")["thresholds"]
    assert [e["groups"] for e in effects] == [2, 0]
    merged = run("resolve", str(number), "merge")
    assert merged["removed"]
    assert run("stats")["groups"]["merged"]["groups"] == 1
    undone = run("undo", merged["undo_token"])
    assert sorted(undone["restored"]) == sorted(merged["removed"])
    kept = run("resolve", str(number), "ignore", "--not-duplicates")
    assert kept["removed"] == []
    assert run("scan", "--hashes-only")["groups"] == 1


@pytest.mark.parametrize(
    "words",
    [
        ("show", "99999"),
        ("resolve", "99999", "merge"),
        ("undo", "made-up"),
        ("list", "--limit", "0"),
        ("preview", "--confidence", "3"),
        ("resolve", "1", "merge", "--not-duplicates"),
    ],
)
def test_faults_are_explained(
    home: Home, request: pytest.FixtureRequest, words: tuple[str, ...]
) -> None:
    done = home.call(request, "dedup", *words, "--json")
    assert done.status == 1
    assert done.json["error"]["message"]


@pytest.mark.ray
@pytest.mark.slow
def test_evaluate_finds_copies_of_files(home: Home) -> None:
    folder = home.folder / "labelled"
    folder.mkdir()
    truth = [("file", "group")]
    for number in range(4):
        image = picture(50 + number, 800, 600)
        image.save(folder / f"{number}.png")
        image.resize((400, 300), Image.Resampling.BICUBIC).save(folder / f"{number}-small.jpg")
        label = f"g{number}"
        truth += [(f"{number}.png", label), (f"{number}-small.jpg", label)]
    picture(99, 800, 600).save(folder / "alone.jpg")
    (folder / "copy.png").write_bytes((folder / "0.png").read_bytes())
    truth += [("alone.jpg", ""), ("copy.png", "g0")]
    table = home.folder / "truth.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(truth)
    done = home.run("evaluate", "dedup", str(folder), "--truth", str(table), "--json")
    assert done.status == 0, done.err
    scores = json.loads(done.out)
    assert scores["precision"] == scores["recall"] == scores["f1"] == scores["roc_auc"] == 1.0
    assert scores["true_pairs"] == 6


def test_a_truth_that_is_none_is_refused(home: Home, request: pytest.FixtureRequest) -> None:
    wrong = home.folder / "wrong.csv"
    wrong.write_text("name,label\na,b\n")
    done = home.call(
        request, "evaluate", "dedup", str(home.folder), "--truth", str(wrong), "--json"
    )
    assert done.status == 1
    assert "file and group" in done.json["error"]["message"]


def test_a_truth_of_files_that_are_not_there_is_refused(
    home: Home, request: pytest.FixtureRequest
) -> None:
    table = home.folder / "elsewhere.csv"
    table.write_text("file,group\nnowhere-1.jpg,a\nnowhere-2.jpg,a\n")
    for command in ("evaluate", "calibrate"):
        done = home.call(
            request, command, "dedup", str(home.folder), "--truth", str(table), "--json"
        )
        assert done.status == 1
        assert "None of the 2 files" in done.json["error"]["message"]


def test_an_unknown_calibration_cannot_be_undone(
    home: Home, request: pytest.FixtureRequest
) -> None:
    done = home.call(request, "calibrate", "undo", "made-up", "--json")
    assert done.status == 1
    assert "made-up" in done.json["error"]["message"]
