"""What `photoorg index` and `photoorg spaces` read and say."""

from __future__ import annotations

import json

import pytest

from photoorg.cli import main
from photoorg.cli.index import compact_line, read_golden
from photoorg.errors import InputError, NotFoundError

ID = "ab" * 32


def test_a_golden_set_is_read_by_line(tmp_path):
    path = tmp_path / "golden.csv"
    path.write_text(f"photo_id,label\n{ID},beach, sunny\n\n")
    assert read_golden(path) == {ID: "beach, sunny"}


@pytest.mark.parametrize("line", [ID, f"{ID},", "short,label"])
def test_a_line_that_is_none_is_named(tmp_path, line):
    path = tmp_path / "golden.csv"
    path.write_text(f"{ID},a\n{line}\n")
    with pytest.raises(InputError, match="line 2"):
        read_golden(path)


def test_a_golden_set_that_is_not_there_is_a_sentence(tmp_path):
    with pytest.raises(NotFoundError):
        read_golden(tmp_path / "none.csv")


@pytest.mark.parametrize("compacted", [True, False])
def test_a_compaction_is_told_in_one_line(compacted):
    done = {
        "compacted": compacted,
        "came": 3,
        "gone": 1,
        "version": "v2",
        "from_version": "v1",
        "vectors": 9,
        "shards": 4,
        "seconds": 1.0,
    }
    assert ("v1; now v2: 9 vectors" in compact_line(done)) == compacted


@pytest.mark.postgres
def test_an_empty_library_lists_nothing_and_refuses_in_sentences(tmp_path, catalog_url, capsys):
    config = tmp_path / "c.yaml"
    config.write_text(
        json.dumps({"storage": {"root": str(tmp_path)}, "database": {"url": catalog_url}})
    )

    def run(*words: str) -> tuple[int, dict]:
        status = main([*words, "--config", str(config), "--json"])
        return status, json.loads(capsys.readouterr().out.splitlines()[-1])

    status, listed = run("index", "list")
    assert (status, listed["indexes"], listed["default_space"]) == (0, [], None)
    assert run("spaces", "list") == (0, {"spaces": [], "next_cursor": None})
    for words in (
        ("index", "activate", "nothing"),
        ("index", "rollback"),
        ("index", "compare", "nothing"),
        ("index", "compact"),
        ("index", "canary", "nothing", "2"),
    ):
        status, answer = run(*words)
        assert status == 1 and answer["error"]["message"]
    status, tidied = run("maintain")
    assert (status, tidied["compaction"], tidied["purged"]) == (0, None, [])
    assert tidied["period"] == "hourly" and tidied["health"]["problems"] == []
    status, weekly = run("maintain", "--weekly")
    assert status == 0 and weekly["failed"] == {}
    assert weekly["trash"] == {"purged": 0, "older_than_days": 30.0}
    assert {"people", "events", "anomalies", "dedup", "people_anew"} < weekly.keys()
