"""Events in the catalog: found, changed by people, found again."""

from datetime import datetime, timedelta
from typing import Any

import pytest

from photoorg.curate.detecting import DetectSummary, detect_events
from photoorg.curate.event_edits import EventEdits
from photoorg.curation_config import EventsConfig
from photoorg.errors import ConflictError, InputError, NotFoundError
from photoorg.store.catalog import Catalog, event_decisions, events, photos, trash
from photoorg.store.catalog.events import Event
from tests.catalog import rows

pytestmark = pytest.mark.postgres
FIRST = rows.WHEN


def shot(name: str, minutes: float, **more: Any) -> dict[str, Any]:
    when = FIRST + timedelta(minutes=minutes)
    return rows.photo(name, captured_at=when, captured_source="exif_local", **more)


def load(catalog: Catalog, run: str, *made: dict[str, Any]) -> None:
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, run, 0, rows.photos(*made), rows.rejects())


def two_afternoons() -> list[dict[str, Any]]:
    first = [shot(f"a{n}", 5 * n) for n in range(6)]
    return first + [shot(f"b{n}", 3 * 24 * 60 + 5 * n) for n in range(4)]


def detect(catalog: Catalog, **options: Any) -> DetectSummary:
    return detect_events(catalog, "a", EventsConfig(), actor="test", **options)


def listed(catalog: Catalog) -> list[Event]:
    with catalog.tenant("a") as tx:
        return events.page(tx)[0]


def members(catalog: Catalog, event_id: int) -> list[str]:
    with catalog.tenant("a") as tx:
        return events.photo_page(tx, event_id)[0]


def ids(*names: str) -> list[str]:
    return [rows.photo_id(name) for name in names]


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    load(catalog, "run", *two_afternoons())
    detect(catalog)
    return catalog


def test_two_afternoons_are_two_events_and_a_second_look_changes_nothing(catalog):
    load(catalog, "run", *two_afternoons())
    assert (detect(catalog).events, len(listed(catalog))) == (2, 2)
    before = listed(catalog)
    again = detect(catalog)
    assert (again.new, listed(catalog)) == (0, before)
    late, early = before
    assert (early.photos, late.photos) == (6, 4)
    assert early.title == "52.50° N, 13.40° E, 1 May 2024"
    assert early.starts_at == datetime(2024, 5, 1, 12)
    assert members(catalog, early.event_id) == ids(*(f"a{n}" for n in range(6)))


def test_an_empty_library_has_no_events(catalog):
    summary = detect(catalog)
    assert (summary.photos, summary.events, listed(catalog)) == (0, 0, [])


def test_a_split_survives_detection_and_new_photos_go_to_the_nearer_side(library):
    _, early = listed(library)
    with library.tenant("a") as tx:
        new, _ = EventEdits(tx, "anna").split(early.event_id, at=rows.photo_id("a3"))
    assert members(library, new.event_id) == ids("a3", "a4", "a5")
    load(library, "second", shot("near a0", 1), shot("near a5", 26))
    assert detect(library).new == 0
    assert members(library, new.event_id) == ids("a3", "a4", "a5", "near a5")
    assert members(library, early.event_id) == ids("a0", "near a0", "a1", "a2")


def test_a_merge_survives_detection_and_keeps_the_name_it_met(library):
    late, early = listed(library)
    with library.tenant("a") as tx:
        EventEdits(tx, "anna").rename(late.event_id, " Anna's birthday ")
        merged, _ = EventEdits(tx, "anna").merge([early.event_id, late.event_id])
    assert (merged.photos, merged.title) == (10, "Anna's birthday")
    load(library, "second", shot("later", 3 * 24 * 60 + 21))
    detect(library)
    (only,) = listed(library)
    assert (only.event_id, only.photos, only.title) == (early.event_id, 11, "Anna's birthday")


def test_a_moved_photo_stays_and_draws_nobody_along(library):
    late, early = listed(library)
    with library.tenant("a") as tx:
        EventEdits(tx, "anna").move(ids("a0"), late.event_id)
    detect(library)
    assert [e.photos for e in listed(library)] == [5, 5]
    assert rows.photo_id("a0") in members(library, late.event_id)
    assert len(members(library, early.event_id)) == 5


def test_photos_can_be_moved_into_an_event_of_their_own(library):
    with library.tenant("a") as tx:
        new, _ = EventEdits(tx, "anna").move(ids("a0", "b0"), None)
    detect(library)
    assert members(library, new.event_id) == ids("a0", "b0")
    assert len(listed(library)) == 3


def test_a_name_stays_with_the_majority_of_the_photos(library):
    _, early = listed(library)
    with library.tenant("a") as tx:
        EventEdits(tx, "anna").rename(early.event_id, "Picnic")
        photos.delete(tx, rows.photo_id("a0"))
    load(library, "second", shot("between", 12))
    detect(library)
    found = next(e for e in listed(library) if e.event_id == early.event_id)
    assert (found.title, found.named, found.photos) == ("Picnic", True, 6)


@pytest.mark.parametrize("change", ["split", "merge", "move", "rename"])
def test_every_change_can_be_taken_back(library, change):
    before = listed(library)
    late, early = before
    with library.tenant("a") as tx:
        edits = EventEdits(tx, "anna")
        made = {
            "split": lambda: edits.split(early.event_id, photo_ids=ids("a1", "a4")),
            "merge": lambda: edits.merge([late.event_id, early.event_id]),
            "move": lambda: edits.move(ids("a2"), late.event_id),
            "rename": lambda: edits.rename(late.event_id, "Party"),
        }
        _, decision = made[change]()
    assert listed(library) != before
    with library.tenant("a") as tx:
        EventEdits(tx, "anna").undo(decision)
    assert [(e.event_id, e.photos, e.named) for e in listed(library)] == [
        (e.event_id, e.photos, e.named) for e in before
    ]
    assert [members(library, e.event_id) for e in before] == [
        ids(*(f"b{n}" for n in range(4))),
        ids(*(f"a{n}" for n in range(6))),
    ]
    with library.tenant("a") as tx, pytest.raises(ConflictError, match="already"):
        EventEdits(tx, "anna").undo(decision)


def test_the_later_of_two_changes_is_taken_back_first(library):
    late, early = listed(library)
    with library.tenant("a") as tx:
        edits = EventEdits(tx, "anna")
        _, first = edits.move(ids("a0"), late.event_id)
        _, second = edits.merge([late.event_id, early.event_id])
        with pytest.raises(ConflictError, match=f"Decision {second} came later"):
            edits.undo(first)
        edits.undo(second)
        edits.undo(first)
    assert [e.photos for e in listed(library)] == [4, 6]
    with library.tenant("a") as tx:
        history, following = event_decisions.page(tx)
    assert [(d.kind, d.undone_at is None) for d in history] == [("merge", False), ("move", False)]
    assert following is None


def test_changes_that_cannot_be_are_refused(library):
    late, early = listed(library)
    with library.tenant("a") as tx:
        edits = EventEdits(tx, "anna")
        with pytest.raises(NotFoundError):
            edits.split(999_999, at=rows.photo_id("a0"))
        with pytest.raises(NotFoundError):
            edits.split(early.event_id, photo_ids=ids("b0"))
        with pytest.raises(InputError):
            edits.split(early.event_id, at=rows.photo_id("a0"))
        with pytest.raises(InputError):
            edits.merge([early.event_id, early.event_id])
        with pytest.raises(NotFoundError):
            edits.move(ids("nobody"), late.event_id)
        with pytest.raises(NotFoundError):
            edits.undo(10**9)
        with pytest.raises(InputError):
            edits.rename(early.event_id, "x" * 201)


def test_pages_cover_every_event_and_photo_once(catalog):
    load(catalog, "run", *(shot(f"p{n}", 24 * 60 * n) for n in range(7)), shot("q", 1))
    load(catalog, "undated", rows.photo("none", captured_at=None, latitude=None, longitude=None))
    detect(catalog)
    seen, cursor = [], None
    with catalog.tenant("a") as tx:
        while True:
            some, cursor = events.page(tx, after=cursor, limit=3)
            seen += some
            if cursor is None:
                break
    assert len({e.event_id for e in seen}) == len(seen) == 8
    assert (seen[-1].starts_at, seen[-1].title) == (None, "Undated")
    day = seen[-2].event_id
    with catalog.tenant("a") as tx:
        first, cursor = events.photo_page(tx, day, limit=1)
        second, end = events.photo_page(tx, day, after=cursor, limit=1)
        with pytest.raises(InputError):
            events.page(tx, after="nonsense")
        with pytest.raises(InputError):
            events.photo_page(tx, day, after="nonsense")
    assert (first + second, end) == (ids("p0", "q"), None)


def test_photos_in_the_trash_take_no_part(library):
    with library.tenant("a") as tx:
        trash.put(tx, ids("b0", "b1"))
    detect(library)
    assert [e.photos for e in listed(library)] == [2, 6]


def test_events_of_one_tenant_are_not_seen_by_another(library):
    with library.tenant("b") as tx:
        assert events.page(tx) == ([], None)
        with pytest.raises(NotFoundError):
            EventEdits(tx, "b").rename(1, "mine")


def test_every_change_is_in_the_audit_log(library):
    _, early = listed(library)
    with library.tenant("a") as tx:
        _, decision = EventEdits(tx, "anna").rename(early.event_id, "Picnic")
        EventEdits(tx, "ben").undo(decision)
        told = tx.conn.execute("SELECT actor, action FROM audit_log ORDER BY audit_id").fetchall()
    assert told[-2:] == [("anna", "event.rename"), ("ben", "event.undo")]


def test_names_survive_photos_that_join_two_events(library):
    late, _ = listed(library)
    with library.tenant("a") as tx:
        EventEdits(tx, "anna").rename(late.event_id, "Wedding")
    between = [shot(f"c{n}", 25 + 30 * n) for n in range(3 * 48)]
    load(library, "second", *between)
    detect(library)
    assert [(e.title, e.photos) for e in listed(library)] == [("Wedding", 10 + len(between))]


def test_events_show_what_is_not_in_the_trash(library):
    late, early = listed(library)
    with library.tenant("a") as tx:
        trash.put(tx, [*members(library, late.event_id), early.cover_id])
    (left,) = listed(library)
    assert (left.event_id, left.photos) == (early.event_id, 5)
    assert left.cover_id in members(library, early.event_id)
    with library.tenant("a") as tx:
        assert events.get(tx, late.event_id) is None
        assert events.get(tx, early.event_id) == left
    detect(library)
    assert [e.photos for e in listed(library)] == [5]
    with library.tenant("a") as tx:
        trash.restore(tx, ids(*(f"b{n}" for n in range(4)), *(f"a{n}" for n in range(6))))
    assert [(e.event_id, e.photos) for e in listed(library)] == [
        (late.event_id, 4),
        (early.event_id, 6),
    ]


def test_trips_are_listed_with_their_events(catalog):
    day = 24 * 60
    home = [shot(f"h{n}", n * day) for n in range(0, 30)]
    away = [
        shot(f"t{trip}-{n}", (40 + 20 * trip) * day + n * 600, latitude=38.7, longitude=-9.1)
        for trip in range(2)
        for n in range(8)
    ]
    load(catalog, "run", *home, *away)
    summary = detect(catalog)
    assert (summary.trips, summary.home_found) == (2, True)
    with catalog.tenant("a") as tx:
        first, cursor = events.trips(tx, limit=1)
        second, end = events.trips(tx, limit=1, after=cursor)
        late, early = *first, *second
        of_late, _ = events.page(tx, trip=late.trip_id)
        with pytest.raises(InputError):
            events.trips(tx, after="nonsense")
    assert end is None and (late.photos, early.photos) == (8, 8)
    assert len(of_late) == late.events > 1 and {e.trip_title for e in of_late} == {late.title}
    assert (late.starts_at, late.ends_at) == (
        min(e.starts_at for e in of_late),
        max(e.ends_at for e in of_late),
    )
    with catalog.tenant("a") as tx:
        trash.put(tx, ids(*(f"t0-{n}" for n in range(8))))
        trash.put(tx, [late.cover_id])
        (left,), _ = events.trips(tx)
    assert left.trip_id == late.trip_id and left.photos == 7
    assert left.cover_id != late.cover_id


def test_an_event_on_the_date_line_is_there_and_not_on_the_other_side_of_the_earth(catalog):
    sides = (179.999, -179.999, 179.998, -179.998)
    load(catalog, "run", *(shot(f"f{n}", n, latitude=-16.8, longitude=sides[n % 4])
        for n in range(8)))  # fmt: skip
    detect(catalog)
    (event,) = listed(catalog)
    assert abs(event.longitude) > 179.9
    with catalog.tenant("a") as tx:
        rest, _ = EventEdits(tx, "anna").split(event.event_id, photo_ids=ids("f0", "f1", "f2"))
        assert abs(rest.longitude) > 179.9
