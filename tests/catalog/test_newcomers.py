"""New faces over a real catalog: they find their persons, or become new ones, by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from photoorg.curate.catching_up import CatchingUp, place_waiting
from photoorg.curate.clustering import on_gpu
from photoorg.curate.people import People
from photoorg.curation_config import PeopleConfig
from photoorg.store.catalog import Catalog, faces_of_people, people, photos
from tests.catalog import rows
from tests.catalog.portraits import (
    SPACE,
    T,
    agree,
    face,
    groups,
    key,
    load,
    persons,
    portraits,
    vectors,
    who,
)

pytestmark = pytest.mark.postgres


def grouped(catalog: Catalog) -> People:
    """Two persons of six photos each, clustered."""
    agree(catalog)
    load(catalog, "r1", *portraits(1, 6), *portraits(2, 6))
    service = People(catalog, T, PeopleConfig(device="cpu"), "test")
    service.cluster()
    return service


def waiting(catalog: Catalog) -> int:
    with catalog.tenant(T) as tx:
        return faces_of_people.waiting(tx, SPACE)


def test_new_faces_wait_until_they_are_placed_and_then_nothing_is_to_do(catalog):
    service = grouped(catalog)
    assert waiting(catalog) == 0 and service.place_waiting() is None
    load(catalog, "r2", *portraits(1, 2, seed=5), *portraits(3, 1, seed=5))
    assert waiting(catalog) == 3
    placed = place_waiting(catalog, T, PeopleConfig(device="cpu"))
    assert placed is not None and placed.persons == 2
    first = next(g for g in groups(catalog) if "p1-0-0.jpg" in g)
    assert {"p1-5-0.jpg", "p1-5-1.jpg"} < first and len(groups(catalog)) == 2
    # The stranger was looked at too: it does not make every later run read all faces again.
    assert waiting(catalog) == 0 and service.place_waiting() is None


def test_faces_found_anew_wait_again_and_keep_their_persons(catalog):
    grouped(catalog)
    before = groups(catalog)
    load(catalog, "r2", *portraits(1, 6), *portraits(2, 6))
    place_waiting(catalog, T, PeopleConfig(device="cpu"))
    assert groups(catalog) == before and waiting(catalog) == 0


def test_switched_off_nothing_is_placed_by_itself(catalog):
    agree(catalog)
    load(catalog, "r1", *portraits(1, 6))
    assert place_waiting(catalog, T, PeopleConfig(device="cpu", automatic=False)) is None
    assert waiting(catalog) == 6


def test_without_clusters_uploads_make_them_of_few_faces_only(catalog):
    agree(catalog)
    load(catalog, "r1", *portraits(1, 6))
    service = People(catalog, T, PeopleConfig(device="cpu"), "test")
    assert service.place_waiting(most=5) is None and groups(catalog) == set()
    assert service.place_waiting(most=6) is not None and len(groups(catalog)) == 1


def test_a_failure_to_place_is_logged_and_left_for_later(catalog, caplog):
    agree(catalog)
    load(catalog, "r1", *portraits(1, 6))
    broken = PeopleConfig(device="cuda")  # no cuML here
    if on_gpu("auto"):
        pytest.skip("cuML is installed here")
    assert place_waiting(catalog, T, broken) is None
    assert "wait for" in caplog.text and waiting(catalog) == 6


def test_uploads_are_followed_up_but_not_all_the_time(catalog):
    agree(catalog)
    load(catalog, "r1", *portraits(1, 6))
    now = [100.0]
    follow = CatchingUp(catalog, PeopleConfig(device="cpu"), clock=lambda: now[0])
    assert follow.run() == []
    follow.touched(T)
    assert follow.run() == [T] and waiting(catalog) == 0 and len(groups(catalog)) == 1
    load(catalog, "r2", *portraits(1, 2, seed=5))
    follow.touched(T)
    assert follow.run() == [] and waiting(catalog) == 2
    now[0] += 60
    assert follow.run() == [T] and waiting(catalog) == 0 and follow.run() == []


def newcomers(catalog: Catalog, *made: dict[str, Any], run: str = "new") -> People:
    """Photos that come to the two persons of `grouped`, placed as uploads are."""
    service = grouped(catalog)
    load(catalog, run, *made)
    assert service.place_waiting(most=50) is not None
    return service


def test_several_new_faces_of_somebody_unknown_start_a_person(catalog: Catalog) -> None:
    service = grouped(catalog)
    before = {p.person_id for p in persons(catalog)}
    load(catalog, "new", *portraits(7, 4, seed=5), *portraits(8, 1, seed=5))
    summary = service.place_waiting()
    assert summary is not None and (summary.new_persons, summary.unknown) == (1, 1)
    (new,) = [p for p in persons(catalog) if p.person_id not in before]
    assert new.faces == 4 and new.cover_photo is not None and new.name is None
    assert who(catalog)["p8-5-0.jpg"] == [None]
    # The person is one that further faces find, and that clustering anew keeps.
    load(catalog, "more", *portraits(7, 3, seed=6))
    placed = service.place_waiting()
    assert placed is not None and placed.new_persons == 0
    assert [who(catalog)[f"p7-6-{i}.jpg"] for i in range(3)] == [[new.person_id]] * 3
    with catalog.tenant(T) as tx:
        people.rename(tx, new.person_id, "Nell", "me")
    service.cluster()
    assert [(p.person_id, p.faces) for p in persons(catalog, named=True)] == [(new.person_id, 7)]


def test_a_face_that_was_left_alone_joins_when_others_like_it_come(catalog: Catalog) -> None:
    service = newcomers(catalog, *portraits(7, 1, seed=5))
    assert who(catalog)["p7-5-0.jpg"] == [None]
    load(catalog, "later", *portraits(7, 2, seed=6))
    service.place_waiting()
    (person,) = {i for name, ids in who(catalog).items() if name[:2] == "p7" for i in ids}
    assert person is not None and len(groups(catalog)) == 3


def test_new_persons_are_never_twice_in_a_photo_nor_of_faces_told_apart(catalog: Catalog) -> None:
    twins = vectors(7, 2, seed=5)
    pair = rows.photo("pair.jpg", faces=[face(twins[0]), face(twins[1], (0.6, 0.2, 0.3, 0.4))])
    service = newcomers(catalog, pair)
    assert who(catalog)["pair.jpg"] == [None, None]
    load(catalog, "two", *portraits(9, 2, seed=5))
    service.link(key("p9-5-0.jpg"), key("p9-5-1.jpg"), same=False)
    service.place_waiting()
    assert [who(catalog)[f"p9-5-{i}.jpg"] for i in range(2)] == [[None]] * 2


def test_poor_faces_and_strangers_start_nobody(catalog: Catalog) -> None:
    poor = [p | {"faces": [p["faces"][0] | {"quality": 0.1}]} for p in portraits(7, 4, seed=5)]
    service = newcomers(catalog, *poor, *(p for i in range(20, 30) for p in portraits(i, 1)))
    assert len(groups(catalog)) == 2
    assert service.place_new().new_persons == 0


def test_faces_taken_away_from_a_person_do_not_come_back_as_theirs(catalog: Catalog) -> None:
    service = grouped(catalog)
    big = persons(catalog)[0].person_id
    mine = [name for name, ids in who(catalog).items() if ids == [big]][:2]
    service.remove([key(name) for name in mine], big)
    load(catalog, "new", *portraits(7, 3, seed=5))
    summary = service.place_waiting()
    assert summary is not None and summary.new_persons == 1
    assert all(who(catalog)[name] != [big] for name in mine)


def test_only_so_many_faces_are_looked_at_and_the_rest_is_said(catalog: Catalog) -> None:
    service = grouped(catalog)
    load(catalog, "new", *portraits(7, 3, seed=5), *portraits(8, 3, seed=5))
    summary = service.place_waiting(most=2)
    assert summary is not None and summary.stale and summary.new_persons <= 1
    again = service.place_new()
    assert again.unknown == 0 and len(groups(catalog)) == 4


def test_clusters_keep_their_numbers_when_others_are_gone(catalog: Catalog) -> None:
    service = grouped(catalog)
    with catalog.tenant(T) as tx:
        first = min(faces_of_people.clusters(tx, SPACE), key=lambda c: c.cluster_no)
        gone = [n for n, ids in who(catalog).items() if ids == [first.origin_id]]
        for name in gone:
            assert photos.delete(tx, rows.photo_id(name))
        tx.conn.execute("DELETE FROM face_clusters WHERE cluster_no = %s", [first.cluster_no])
    left = 3 - int(gone[0][1])
    load(catalog, "new", *portraits(left, 2, seed=5), *portraits(7, 3, seed=5))
    service.place_waiting()
    with catalog.tenant(T) as tx:
        kept = {c.cluster_no: c.origin_id for c in faces_of_people.clusters(tx, SPACE)}
        placed = tx.conn.execute(
            "SELECT DISTINCT cluster_no, person_id FROM face_people"
        ).fetchall()
    assert len(kept) == 2 and dict(placed) == kept
