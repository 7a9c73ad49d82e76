"""What the commands say of a library without photos, and of words that make no sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from photoorg.cli import main
from photoorg.store.catalog import Catalog

pytestmark = pytest.mark.postgres


@pytest.fixture
def run(catalog: Catalog, catalog_url: str, tmp_path: Path, monkeypatch, capsys) -> Any:
    """Runs a command with --json; its exit status and object."""
    monkeypatch.setenv("PHOTOORG_DATABASE__URL", catalog_url)
    monkeypatch.setenv("PHOTOORG_STORAGE__ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("PHOTOORG_TENANT", "a")

    def command(*words: str) -> tuple[int, dict[str, Any]]:
        status = main([*words, "--json"])
        return status, json.loads(capsys.readouterr().out.splitlines()[-1])

    return command


@pytest.mark.parametrize(
    ("command", "key"),
    [
        ("dedup list", "groups"),
        ("events list", "events"),
        ("people list", "people"),
        ("people suggestions", "suggestions"),
        ("scenes list", "scenes"),
        ("anomalies list", "anomalies"),
        ("rules runs", "runs"),
        ("tags list", "tags"),
    ],
)
def test_every_listing_is_an_empty_page(run, command: str, key: str) -> None:
    status, found = run(*command.split())
    assert (status, found[key], found["next_cursor"]) == (0, [], None)


def test_what_looks_at_all_photos_finds_none_or_says_so(run, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yaml"
    rules.write_text("{name: poor, when: {field: quality, below: 0.3}, then: archive}")
    assert run("dedup", "scan", "--hashes-only")[1]["groups"] == 0
    assert run("dedup", "stats")[1]["groups"] == {}
    assert all(t["groups"] == 0 for t in run("dedup", "preview")[1]["thresholds"])
    assert run("events", "detect")[1]["events"] == 0
    assert run("people", "cluster")[1]["faces"] == 0
    assert run("scenes", "suggest-albums") == (0, {"albums": []})
    status, dry = run("rules", "run", str(rules), "--dry-run")
    assert (status, dry["rules"][0]["photos"]) == (0, 0)
    for words in (("scenes", "cluster"), ("anomalies", "scan"), ("scenes", "plot", "map.png")):
        status, said = run(*words)
        assert status == 1 and said["error"]["fix"], words
    assert not Path("map.png").exists()


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("scenes cluster --space other", "'other'"),
        ("scenes cluster --method kmeans --k many", "'many' is neither auto nor a number"),
        ("scenes cluster --method kmeans --k 0", "'0' is neither auto nor a number"),
        ("scenes accept 9", "no album 9"),
        ("scenes show 9", "no scene 9"),
        ("dedup scan --confidence nan", "between 0 and 1"),
        ("dedup scan --confidence 2", "between 0 and 1"),
        ("dedup show 9", "no group 9"),
        ("dedup undo nonsense", "nothing to undo"),
        ("events split 9 --photos " + "a" * 64, "no event 9"),
        ("events merge 9 8", "no event 9"),
        ("events undo 9", "no decision 9"),
        ("people merge 1 1", "itself"),
        ("people unmerge 9", "no person 9"),
        ("anomalies dismiss " + "a" * 64, "not in the queue"),
        ("rules undo 9", "no rule run 9"),
    ],
)
def test_what_is_not_there_is_named(run, command: str, said: str) -> None:
    status, answer = run(*command.split())
    assert status != 0 and said in answer["error"]["message"]
