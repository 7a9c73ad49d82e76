"""Covers of persons: a face they have, in a photo that is there."""

from __future__ import annotations

import pytest

from photoorg.curate.people import People
from photoorg.curation_config import PeopleConfig
from photoorg.store.catalog import Catalog, consent, people, photos, trash
from photoorg.store.catalog.consent import TENANT
from tests.catalog import rows
from tests.catalog.portraits import USER, T, agree, key, load, persons, portraits, two_persons

pytestmark = pytest.mark.postgres


@pytest.fixture
def found(catalog: Catalog) -> People:
    return two_persons(catalog)


def cover(catalog: Catalog, person: int) -> tuple[str | None, int | None]:
    with catalog.tenant(T) as tx:
        found = people.get(tx, person)
    listed = next((p for p in persons(catalog) if p.person_id == person), found)
    assert (listed.cover_photo, listed.cover_face) == (found.cover_photo, found.cover_face)
    return found.cover_photo, found.cover_face


@pytest.mark.parametrize("change", ["trash", "delete", "remove", "split"])
def test_a_cover_is_a_face_the_person_still_has(
    catalog: Catalog, found: People, change: str
) -> None:
    big = persons(catalog)[0].person_id
    before, number = cover(catalog, big)
    assert before is not None and number is not None
    new = None
    if change == "trash":
        with catalog.tenant(T) as tx:
            trash.put(tx, [before])
    elif change == "delete":
        with catalog.tenant(T) as tx:
            photos.delete(tx, before)
    elif change == "remove":
        found.remove([(before, number)], big)
    else:
        new = found.split(big, [(before, number)])
    assert cover(catalog, big)[0] in {rows.photo_id(f"p1-0-{i}.jpg") for i in range(6)} - {before}
    if new is not None:
        assert cover(catalog, new) == (before, number)
    if change == "trash":
        with catalog.tenant(T) as tx:
            trash.restore(tx, [before])
        assert cover(catalog, big) == (before, number)


def test_a_new_person_has_a_cover_at_once_and_withdrawn_faces_are_nobodys(
    catalog: Catalog,
) -> None:
    agree(catalog, TENANT, USER, "other")
    load(catalog, "run", *portraits(1, 3))
    load(catalog, "theirs", *portraits(1, 3, seed=2), user="other")
    service = People(catalog, T, PeopleConfig(device="cpu"), "tester")
    new = service.confirm([key("p1-0-0.jpg")], None, "Ann")
    assert cover(catalog, new) == key("p1-0-0.jpg")
    service.confirm([key("p1-2-0.jpg")], new, None)
    with catalog.tenant(T) as tx:
        consent.withdraw(tx, USER, "owner")
    assert cover(catalog, new) == key("p1-2-0.jpg")
