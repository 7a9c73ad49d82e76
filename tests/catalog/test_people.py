"""Persons over a real catalog: found, named, corrected, merged, forgotten."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from photoorg.curate.people import People
from photoorg.curation_config import PeopleConfig
from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.evaluate.feedback import apply, fit_feedback
from photoorg.store.catalog import (
    Catalog,
    audit,
    consent,
    faces_of_people,
    feedback,
    people,
    photos,
    spaces,
    thresholds,
    trash,
)
from photoorg.store.catalog.consent import TENANT
from tests.catalog import rows
from tests.catalog.portraits import (
    SPACE,
    USER,
    T,
    agree,
    face,
    key,
    load,
    persons,
    portraits,
    two_persons,
    vectors,
    who,
)
from tests.fakes.search import SPACE as IMAGES

pytestmark = pytest.mark.postgres


@pytest.fixture
def found(catalog: Catalog) -> People:
    return two_persons(catalog)


def test_an_empty_library_has_no_persons(catalog: Catalog) -> None:
    summary = People(catalog, T, PeopleConfig(device="cpu"), "tester").cluster()
    assert (summary.faces, summary.persons, summary.space) == (0, 0, None)
    assert persons(catalog) == []


def test_persons_are_listed_by_their_faces_with_a_cover(catalog: Catalog, found: People) -> None:
    big, small = persons(catalog)
    assert (big.faces, big.photos, small.faces) == (6, 6, 4)
    assert big.cover_photo in {rows.photo_id(f"p1-0-{i}.jpg") for i in range(6)}
    with catalog.tenant(T) as tx:
        first, cursor = people.page(tx, limit=1)
        second, end = people.page(tx, limit=1, after=cursor)
        with pytest.raises(InputError):
            people.page(tx, after="nonsense")
    assert [*first, *second] == [big, small] and end is None


def test_names_survive_clustering_again_and_more_photos(catalog: Catalog, found: People) -> None:
    big = persons(catalog)[0]
    with catalog.tenant(T) as tx:
        people.rename(tx, big.person_id, "  Ann  Lee ", "me")
    load(catalog, "more", *portraits(1, 5, seed=9))
    for _ in range(2):
        found.cluster()
        named = persons(catalog, named=True)
        assert [(p.person_id, p.name, p.faces) for p in named] == [(big.person_id, "Ann Lee", 11)]


def test_new_faces_are_placed_without_clustering(catalog: Catalog, found: People) -> None:
    before = who(catalog)
    load(catalog, "more", *portraits(1, 3, seed=5), *portraits(7, 1, seed=5))
    summary = found.place_new()
    after = who(catalog)
    assert (summary.new_persons, summary.unknown) == (0, 1)
    assert {n: p for n, p in after.items() if n in before} == before
    ann = before["p1-0-0.jpg"]
    assert [after[f"p1-5-{i}.jpg"] for i in range(3)] == [ann] * 3
    assert after["p7-5-0.jpg"] == [None]


def test_a_face_removed_from_a_person_stays_removed(catalog: Catalog, found: People) -> None:
    big = persons(catalog)[0].person_id
    assert found.remove([key("p1-0-0.jpg")], big) == 1
    assert who(catalog)["p1-0-0.jpg"] == [None]
    found.place_new()
    found.cluster()
    assert who(catalog)["p1-0-0.jpg"] != [big]
    load(catalog, "again", *portraits(1, 6), space=SPACE)  # the same faces, detected anew
    found.cluster()
    assert who(catalog)["p1-0-0.jpg"] != [big] and who(catalog)["p1-0-1.jpg"] == [big]


def test_detection_anew_in_another_space_keeps_names_and_decisions(
    catalog: Catalog, found: People
) -> None:
    big, small = persons(catalog)
    with catalog.tenant(T) as tx:
        people.rename(tx, big.person_id, "Ann", "me")
    found.remove([key("p2-0-0.jpg")], small.person_id)
    moved = (0.12, 0.21, 0.29, 0.4)
    mirrored = [
        photo | {"faces": [face(-np.asarray(photo["faces"][0]["embedding"], np.float32), moved)]}
        for photo in (*portraits(1, 6), *portraits(2, 4))
    ]
    load(catalog, "model-2", *mirrored, space="space-2")
    assert {p for ids in who(catalog).values() for p in ids} == {None}
    assert found.cluster().space == "space-2"
    after = persons(catalog)
    assert [(p.person_id, p.name) for p in after[:2]] == [
        (big.person_id, "Ann"),
        (small.person_id, None),
    ]
    assert who(catalog)["p2-0-0.jpg"] != [small.person_id]


def test_a_photo_deleted_takes_its_memories_along(catalog: Catalog, found: People) -> None:
    with catalog.tenant(T) as tx:
        assert photos.delete(tx, rows.photo_id("p1-0-0.jpg"))
        assert tx.conn.execute("SELECT count(*) FROM face_memories").fetchone() == (0,)


def test_merge_and_unmerge_are_inverse(catalog: Catalog, found: People) -> None:
    big, small = (p.person_id for p in persons(catalog))
    with catalog.tenant(T) as tx:
        people.rename(tx, small, "Bob", "me")
    before = (who(catalog), [(p.person_id, p.name, p.faces) for p in persons(catalog)])
    with catalog.tenant(T) as tx:
        merge = people.merge(tx, big, small, "me")
    assert (merge.kept_id, merge.merged_id, merge.undone_at) == (big, small, None)
    assert [(p.person_id, p.name, p.faces) for p in persons(catalog)] == [(big, "Bob", 10)]
    found.cluster()
    assert [p.faces for p in persons(catalog)] == [10]
    with catalog.tenant(T) as tx:
        with pytest.raises(ConflictError):
            people.merge(tx, big, small, "me")
    with catalog.tenant(T) as tx:
        assert people.unmerge(tx, small, "you").undone_by == "you"
    assert before == (who(catalog), [(p.person_id, p.name, p.faces) for p in persons(catalog)])
    found.cluster()
    assert before == (who(catalog), [(p.person_id, p.name, p.faces) for p in persons(catalog)])


def test_a_split_holds_and_the_two_are_never_suggested(catalog: Catalog, found: People) -> None:
    big = persons(catalog)[0].person_id
    chosen = [key(f"p1-0-{i}.jpg") for i in range(2)]
    new = found.split(big, chosen, "Twin")
    found.cluster()
    after = who(catalog)
    assert [after[f"p1-0-{i}.jpg"] for i in range(2)] == [[new]] * 2
    assert after["p1-0-5.jpg"] == [big]
    with catalog.tenant(T) as tx:
        pairs, _ = faces_of_people.suggestions(tx)
    assert (min(big, new), max(big, new)) not in {pair[:2] for pair in pairs}
    with pytest.raises(InputError):
        found.split(big, chosen)


def test_confirmed_faces_and_links_hold(catalog: Catalog, found: People) -> None:
    big, small = (p.person_id for p in persons(catalog))
    found.confirm([key("p1-0-0.jpg")], small, None)
    found.link(key("p2-0-0.jpg"), key("p2-0-1.jpg"), same=False)
    new = found.confirm([key("p1-0-1.jpg")], None, "Cy")
    found.cluster()
    after = who(catalog)
    assert after["p1-0-0.jpg"] == [small] and after["p1-0-1.jpg"] == [new]
    assert after["p2-0-0.jpg"] != after["p2-0-1.jpg"]
    with catalog.tenant(T) as tx:
        assert people.get(tx, new).name == "Cy"
    with pytest.raises(NotFoundError):
        found.confirm([key("p1-0-0.jpg", 3)], big, None)
    with pytest.raises(InputError):
        found.confirm([], big, None)


def test_nobody_is_twice_in_one_photo_unless_somebody_says_so(catalog: Catalog) -> None:
    agree(catalog)
    both = vectors(1, 2, seed=3)
    pair = rows.photo("pair.jpg", faces=[face(both[0]), face(both[1], (0.6, 0.2, 0.3, 0.4))])
    load(catalog, "run", *portraits(1, 6), pair)
    service = People(catalog, T, PeopleConfig(device="cpu"), "tester")
    service.cluster()
    (person,) = {p for ids in who(catalog).values() for p in ids if p is not None}
    assert sorted(who(catalog)["pair.jpg"], key=str) == sorted([None, person], key=str)
    service.confirm([key("pair.jpg", 0), key("pair.jpg", 1)], person, None)
    service.cluster()
    assert who(catalog)["pair.jpg"] == [person, person]


def test_what_lies_in_the_trash_is_not_counted(catalog: Catalog, found: People) -> None:
    big, small = persons(catalog)
    away = [rows.photo_id(f"p1-0-{i}.jpg") for i in range(3)]
    with catalog.tenant(T) as tx:
        trash.put(tx, away)
    first, second = persons(catalog)
    assert (first.person_id, first.faces, second.faces, second.photos) == (small.person_id, 4, 3, 3)
    with catalog.tenant(T) as tx:
        trash.restore(tx, away)
    assert persons(catalog) == [big, small]


def test_hidden_persons_are_left_out_of_lists(catalog: Catalog, found: People) -> None:
    big, small = (p.person_id for p in persons(catalog))
    with catalog.tenant(T) as tx:
        people.hide(tx, big, True, "me")
    assert [p.person_id for p in persons(catalog)] == [small]
    assert len(persons(catalog, hidden=True)) == 2


def test_withdrawing_consent_deletes_everything_and_refuses_more(
    catalog: Catalog, found: People
) -> None:
    big = persons(catalog)[0].person_id
    with catalog.tenant(T) as tx:
        people.rename(tx, big, "Ann", "me")
    found.remove([key("p1-0-0.jpg")], big)
    with catalog.tenant(T) as tx:
        gone = consent.withdraw(tx, USER, "owner")
    assert gone.faces == 10
    with catalog.tenant(T) as tx:
        for name in (
            "faces",
            "face_people",
            "face_decisions",
            "face_memories",
            "face_clusters",
            "persons",
        ):
            assert tx.conn.execute(f"SELECT count(*) FROM {name}").fetchone() == (0,), name
    load(catalog, "late", *portraits(1, 2, seed=4))
    assert who(catalog) == {}


@pytest.mark.parametrize("agreed", [(), (TENANT,), (USER,)])
def test_faces_need_the_consent_of_tenant_and_user(catalog: Catalog, agreed: Any) -> None:
    with catalog.tenant(T) as tx:
        for user in agreed:
            consent.agree(tx, user, "test")
    load(catalog, "run", *portraits(1, 2))
    assert who(catalog) == {}


def test_one_user_withdraws_and_the_other_keeps_theirs(catalog: Catalog) -> None:
    agree(catalog, TENANT, USER, "other")
    load(catalog, "run", *portraits(1, 3))
    load(catalog, "theirs", *portraits(2, 3), user="other")
    People(catalog, T, PeopleConfig(device="cpu"), "tester").cluster()
    with catalog.tenant(T) as tx:
        assert consent.withdraw(tx, USER, "owner").faces == 3
    assert {name[:2] for name in who(catalog)} == {"p2"}
    assert [p.faces for p in persons(catalog)] == [3]


def test_what_people_change_is_in_the_audit_log(catalog: Catalog, found: People) -> None:
    big, small = (p.person_id for p in persons(catalog))
    with catalog.tenant(T) as tx:
        people.merge(tx, big, small, "me")
        audit.record(tx, "x", "y", "z", "0")
        actions = [r[0] for r in tx.conn.execute("SELECT action FROM audit_log ORDER BY audit_id")]
    assert "person.merge" in actions and "people.cluster" in actions


def test_a_face_back_from_the_trash_is_of_no_cluster_that_was_made_meanwhile(
    catalog: Catalog, found: People
) -> None:
    big, small = (p.person_id for p in persons(catalog))
    with catalog.tenant(T) as tx:
        trash.put(tx, [rows.photo_id(f"p2-0-{i}.jpg") for i in range(4)])
    load(catalog, "third", *portraits(3, 8))
    found.cluster()
    with catalog.tenant(T) as tx:
        trash.restore(tx, [rows.photo_id(f"p2-0-{i}.jpg") for i in range(4)])
        numbers = tx.conn.execute(
            "SELECT DISTINCT cluster_no FROM face_people WHERE person_id = %s", [small]
        ).fetchall()
    assert numbers == [(None,)]
    load(catalog, "more", *portraits(2, 1, seed=6))
    found.place_new()
    assert who(catalog)["p2-6-0.jpg"][0] not in {big, who(catalog)["p3-0-0.jpg"][0]}


def test_a_name_that_went_up_two_merges_comes_back_by_one_unmerge(
    catalog: Catalog, found: People
) -> None:
    load(catalog, "third", *portraits(3, 3))
    found.cluster()
    first, second, third = (p.person_id for p in persons(catalog))
    with catalog.tenant(T) as tx:
        people.rename(tx, third, "Cy", "me")
        people.merge(tx, second, third, "me")
        people.merge(tx, first, second, "me")
        assert people.get(tx, first).name == "Cy"
        people.unmerge(tx, third, "me")
    assert {p.person_id: p.name for p in persons(catalog)} == {first: None, third: "Cy"}
    with catalog.tenant(T) as tx:
        people.unmerge(tx, second, "me")
    assert {p.person_id: p.name for p in persons(catalog)} == {
        first: None,
        second: None,
        third: "Cy",
    }


def test_what_was_refused_or_linked_can_be_taken_back(catalog: Catalog, found: People) -> None:
    big, small = (p.person_id for p in persons(catalog))
    first, second = key("p1-0-0.jpg"), key("p1-0-1.jpg")
    found.link(first, second, same=False)
    found.cluster()
    assert None in (who(catalog)["p1-0-0.jpg"] + who(catalog)["p1-0-1.jpg"])
    assert found.unlink(second, first) and not found.unlink(first, second)
    found.cluster()
    assert who(catalog)["p1-0-0.jpg"] == who(catalog)["p1-0-1.jpg"] == [big]
    with catalog.tenant(T) as tx:
        people.refuse(tx, big, small, "me")
        assert people.reopen(tx, small, big, "me") and not people.reopen(tx, big, small, "me")
        said = tx.conn.execute(
            "SELECT action, detail->'before' FROM audit_log WHERE entity = 'person' ORDER BY 1"
        ).fetchall()
    assert ("faces.link", [big, big]) in said and ("person.reopen", None) in said


def test_verdicts_on_faces_decide_from_which_likeness_they_are_placed(
    catalog: Catalog, found: People
) -> None:
    with catalog.tenant(T) as tx:
        spaces.register(tx, IMAGES)
        spaces.set_default(tx, IMAGES.id, IMAGES.kind)
        for number in range(40):
            photo = rows.photo_id(f"p1-0-{number % 6}.jpg")
            score, right = 0.6 + number / 100, number >= 36
            query = rows.photo_id(f"query {number}")
            feedback.add(
                tx, "person", photo, accepted=right or number == 35, actor="a", score=score,
                query_id=query,
            )  # fmt: skip
        fitted = fit_feedback(tx)
        assert fitted.changes["person.accept"][1] > 0.94
        token = apply(tx, fitted, "anna").token
    load(catalog, "more", *portraits(1, 2, seed=5))
    assert found.place_new().unknown == 2
    with catalog.tenant(T) as tx:
        thresholds.undo(tx, str(token), "anna")
    assert found.place_new().unknown == 0
