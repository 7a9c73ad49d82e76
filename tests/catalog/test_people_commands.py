"""`photoorg people` and `photoorg scenes`, from the command line to a real catalog and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from photoorg.cli import main
from photoorg.space import EmbeddingSpace
from photoorg.store.catalog import Catalog, delta, photos, spaces, trash
from tests.catalog import rows
from tests.catalog.portraits import T, load, portraits
from tests.unit.curate.faces import made_up

pytestmark = pytest.mark.postgres
SPACE = EmbeddingSpace(
    name="made-up", encoder="test", weights="w", revision="1", preprocessing="none", dim=32
)


@pytest.fixture
def run(catalog: Catalog, catalog_url: str, tmp_path: Path, monkeypatch, capsys) -> Any:
    """Runs a command with --json; its exit status and object."""
    monkeypatch.setenv("PHOTOORG_DATABASE__URL", catalog_url)
    monkeypatch.setenv("PHOTOORG_STORAGE__ROOT", str(tmp_path / "store"))
    monkeypatch.setenv("PHOTOORG_TENANT", T)
    monkeypatch.setenv("PHOTOORG_PEOPLE__DEVICE", "cpu")
    monkeypatch.setenv("PHOTOORG_SCENES__DEVICE", "cpu")

    def command(*words: str, status: int = 0) -> dict[str, Any]:
        assert main([*words, "--json"]) == status, capsys.readouterr().err
        return json.loads(capsys.readouterr().out.splitlines()[-1])

    return command


def test_people_from_consent_to_names_and_back(run, catalog: Catalog) -> None:
    assert run("people", "list") == {"people": [], "next_cursor": None}
    assert run("people", "enable")["agreed"] is True
    load(catalog, "run", *portraits(1, 6), *portraits(2, 4))
    assert run("people", "cluster")["persons"] == 2
    first = run("people", "list", "--limit", "1")
    second = run("people", "list", "--limit", "1", "--after", first["next_cursor"])
    big, small = (p["people"][0]["person_id"] for p in (first, second))
    assert run("people", "name", str(big), "Ann")["name"] == "Ann"
    shown = run("people", "show", str(big), "--limit", "2")
    assert len(shown["face_list"]) == 2 and shown["next_cursor"]
    face = f"{shown['face_list'][0]['photo_id']}:0"
    assert run("people", "remove", str(big), face) == {"removed": 1}
    assert run("people", "confirm", str(big), face)["confirmed"] == 1
    new = run("people", "split", str(big), face, "--name", "Twin")["person_id"]
    assert run("people", "merge", str(big), str(new))["person"]["faces"] == 6
    assert run("people", "unmerge", str(new))["person"]["faces"] == 1
    again = run("people", "merge", str(big), str(new))["person"]["faces"]
    assert again == 6 and run("people", "unmerge", str(new))["person"]["faces"] == 1
    first = run("people", "merges", str(big), "--limit", "1")
    rest = run("people", "merges", str(big), "--after", str(first["next_cursor"]))
    made = [m["merge_id"] for m in first["merges"] + rest["merges"]]
    assert made == sorted(made, reverse=True) and len(made) == 2 and rest["next_cursor"] is None
    assert run("people", "hide", str(small))["hidden"] is True
    assert run("people", "hide", str(small), "--undo")["hidden"] is False
    refused = run("people", "suggestions", "--refuse", str(big), str(small))
    assert refused["suggestions"] == []
    run("people", "suggestions", "--reopen", str(big), str(small))
    other = next(f for f in shown["face_list"] if f"{f['photo_id']}:0" != face)
    pair = (face, f"{other['photo_id']}:0")
    assert run("people", "link", *pair, "--apart") == {"same": False}
    assert run("people", "link", *reversed(pair), "--undo") == {"removed": True}
    assert run("people", "link", *pair, "--undo") == {"removed": False}
    assert run("people", "unknown")["faces"] == []
    load(catalog, "more", *portraits(1, 2, seed=3))
    assert run("people", "cluster", "--new")["known"] == 12
    assert run("people", "show", "999999", status=1)["error"]["code"] == "not-found"
    assert run("people", "list", "--limit", "0", status=1)["error"]["code"] == "input-invalid"
    assert run("people", "disable")["faces"] == 12
    assert run("people", "list")["people"] == []


def test_scenes_from_vectors_to_an_album_and_a_map(run, catalog: Catalog, tmp_path: Path) -> None:
    assert run("scenes", "cluster", status=1)["error"]["code"] == "not-found"
    x_nd, labels = made_up([12, 10], within=0.8, dim=32)
    names = [f"{label}-{i}.jpg" for i, label in enumerate(labels)]
    with catalog.tenant(T) as tx:
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, "image")
        listed = [*names, "trashed.jpg", "without-a-vector.jpg"]
        photos.copy_part(tx, "run", 0, rows.photos(*map(rows.photo, listed)), rows.rejects())
        delta.add(tx, SPACE.id, [rows.photo_id(name) for name in names], x_nd)
        delta.add(tx, SPACE.id, [rows.photo_id("trashed.jpg")], x_nd[:1])
        trash.put(tx, [rows.photo_id("trashed.jpg")])
    for method in ("kmeans", "agglomerative", "hdbscan"):
        found = run("scenes", "cluster", "--method", method)
        assert (found["photos"], found["scenes"], found["noise"]) == (22, 2, 0)
    assert run("scenes", "cluster", "--method", "kmeans", "--k", "3")["scenes"] == 3
    run("scenes", "cluster", "--method", "agglomerative", "--linkage", "ward", "--k", "auto")
    listed = run("scenes", "list")["scenes"]
    assert [s["size"] for s in listed] == [12, 10] and listed[0]["name"] == "May 2024"
    shown = run("scenes", "show", str(listed[1]["scene_id"]), "--limit", "4")
    assert len(shown["photos"]) == 4 and shown["next_cursor"]
    keep, drop = run("scenes", "suggest-albums")["albums"]
    assert run("scenes", "accept", str(keep["album_id"]), "--name", "Sea")["name"] == "Sea"
    run("scenes", "refuse", str(drop["album_id"]))
    assert run("scenes", "suggest-albums")["albums"] == []
    assert run("albums", "list", "--kind", "suggested")["albums"] == []
    back = run("albums", "restore", str(drop["album_id"]))
    assert (back["kind"], back["photos"], back["reason"]) == ("suggested", 10, drop["reason"])
    (again,) = run("scenes", "suggest-albums")["albums"]
    assert again["cover_id"] == back["cover_id"] == drop["cover_id"]
    run("scenes", "refuse", str(again["album_id"]))
    file = tmp_path / "map.png"
    assert run("scenes", "plot", str(file))["bytes"] == file.stat().st_size


def test_albums_are_made_changed_deleted_and_brought_back(run, catalog: Catalog) -> None:
    names = [f"{i}.jpg" for i in range(5)]
    with catalog.tenant(T) as tx:
        made = [rows.photo(name, quality=n / 10) for n, name in enumerate(names)]
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
    ids = [rows.photo_id(name) for name in names]
    album = run("albums", "create", "Summer", *ids[:3])
    number = str(album["album_id"])
    assert (album["photos"], album["cover_id"]) == (3, ids[2])
    assert run("albums", "add", number, ids[4])["cover_id"] == ids[4]
    assert run("albums", "remove", number, ids[0])["photos"] == 3
    assert run("albums", "rename", number, "Autumn")["name"] == "Autumn"
    first = run("albums", "show", number, "--limit", "2")
    rest = run("albums", "show", number, "--after", first["next_cursor"])
    assert first["photo_ids"] + rest["photo_ids"] == sorted([ids[1], ids[2], ids[4]])
    with catalog.tenant(T) as tx:
        trash.put(tx, [ids[4]])
    (listed,) = run("albums", "list")["albums"]
    assert (listed["photos"], listed["cover_id"]) == (2, ids[2])
    undo = run("albums", "delete", number)["undo"]
    assert run("albums", "show", number, status=1)["error"]["code"] == "not-found"
    again = run(*undo.split()[1:])
    assert (again["name"], again["photos"]) == ("Autumn", 2)
    assert run(*undo.split()[1:], status=1)["error"]["code"] == "conflict"


@pytest.mark.parametrize("away", ["deleted", "trashed"])
def test_a_scene_outlives_its_cover(run, catalog: Catalog, away: str) -> None:
    x_nd, labels = made_up([12, 10], within=0.8, dim=32)
    names = [f"{label}-{i}.jpg" for i, label in enumerate(labels)]
    with catalog.tenant(T) as tx:
        spaces.register(tx, SPACE)
        spaces.set_default(tx, SPACE.id, "image")
        photos.copy_part(tx, "run", 0, rows.photos(*map(rows.photo, names)), rows.rejects())
        delta.add(tx, SPACE.id, [rows.photo_id(name) for name in names], x_nd)
    run("scenes", "cluster", "--method", "agglomerative", "--k", "2")
    first, second = run("scenes", "list")["scenes"]
    with catalog.tenant(T) as tx:
        gone = [first["cover_id"], *(rows.photo_id(name) for name in names[12:])]
        if away == "trashed":
            trash.put(tx, gone)
        else:
            assert all(photos.delete(tx, photo) for photo in gone)
    (left,) = run("scenes", "list")["scenes"]
    assert left["scene_id"] == first["scene_id"] and left["cover_id"] != first["cover_id"]
    shown = run("scenes", "show", str(first["scene_id"]))["photos"]
    assert len(shown) == 11 and left["cover_id"] in {m["photo_id"] for m in shown}
    assert run("scenes", "show", str(second["scene_id"]), status=1)["error"]["code"] == "not-found"
