"""Persons over a real catalog: found, named, corrected, merged, forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from photoorg import schema
from photoorg.curate.catching_up import CatchingUp, place_waiting
from photoorg.curate.clustering import on_gpu
from photoorg.curate.people import People
from photoorg.curation_config import PeopleConfig
from photoorg.errors import InputError, NotFoundError
from photoorg.store.catalog import Catalog, audit, consent, faces_of_people, people, photos
from photoorg.store.catalog.consent import TENANT
from tests.catalog import rows
from tests.unit.curate.faces import unit

pytestmark = pytest.mark.postgres
T, SPACE, USER = "a", "space-1", "owner"
DIM = 128


def vectors(person: int, count: int, seed: int = 0, within: float = 0.7) -> np.ndarray:
    """Embeddings of one person: pairs have a cosine of about `within`."""
    centre = unit(np.random.default_rng(1000 + person).standard_normal((1, DIM)))
    noise = unit(np.random.default_rng([seed, person]).standard_normal((count, DIM)))
    return unit(np.sqrt(within) * centre + np.sqrt(1 - within) * noise)


def face(x_d: np.ndarray, box: Sequence[float] = (0.1, 0.2, 0.3, 0.4)) -> dict[str, Any]:
    return rows.face(0) | {"embedding": x_d.astype(np.float16), "box": list(box)}


def table(*made: dict[str, Any], space: str = SPACE, user: str = USER) -> pa.Table:
    return pa.Table.from_pylist(list(made), schema=schema.photos(("faces",), space, user))


def load(catalog: Catalog, run: str, *made: dict[str, Any], **more: str) -> None:
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, run, 0, table(*made, **more), rows.rejects())


def agree(catalog: Catalog, *users: str) -> None:
    with catalog.tenant(T) as tx:
        for user in users or (TENANT, USER):
            consent.agree(tx, user, "test")


def portraits(person: int, count: int, seed: int = 0, name: str = "p") -> list[dict[str, Any]]:
    """Photos with one face each."""
    return [
        rows.photo(f"{name}{person}-{seed}-{i}.jpg", faces=[face(x_d)])
        for i, x_d in enumerate(vectors(person, count, seed))
    ]


def who(catalog: Catalog) -> dict[str, list[int | None]]:
    """The persons in each photo, by the name of its file."""
    with catalog.tenant(T) as tx:
        found = tx.conn.execute(
            "SELECT p.filename, array_agg(fp.person_id ORDER BY f.face_no) FROM faces f"
            " JOIN photos p USING (tenant_id, photo_id)"
            " LEFT JOIN face_people fp USING (tenant_id, photo_id, face_no) GROUP BY 1"
        ).fetchall()
    return dict(found)


def groups(catalog: Catalog) -> set[frozenset[str]]:
    """File names by person."""
    together: dict[int, set[str]] = {}
    for name, persons in who(catalog).items():
        for person in persons:
            if person is not None:
                together.setdefault(person, set()).add(name)
    return {frozenset(names) for names in together.values()}


@pytest.fixture
def found(catalog: Catalog) -> People:
    """Two persons, six and four photos, found by clustering."""
    agree(catalog)
    load(catalog, "run", *portraits(1, 6), *portraits(2, 4))
    service = People(catalog, T, PeopleConfig(device="cpu"), "tester")
    summary = service.cluster()
    assert (summary.persons, summary.known, summary.unknown) == (2, 10, 0)
    return service


def persons(catalog: Catalog, **how: Any) -> list[people.Person]:
    with catalog.tenant(T) as tx:
        return people.page(tx, **how)[0]


def key(name: str, number: int = 0) -> tuple[str, int]:
    return rows.photo_id(name), number


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
        with pytest.raises(InputError):
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
