"""Photos found by the place or the name of their event, kept up to date as events change."""

import pytest

from photoorg.search.text import find_words
from photoorg.store.catalog import Catalog, events, photos
from photoorg.store.catalog.events import EventRow
from tests.catalog import rows

pytestmark = pytest.mark.postgres
NAMES = ("a", "b", "c", "d")


def row(number: int, place: str | None, trip: str | None = None, photo_count: int = 2) -> EventRow:
    return EventRow(
        event_id=number,
        auto_title=f"{place}, 3 May 2024",
        starts_at=None,
        ends_at=None,
        latitude=38.7,
        longitude=-9.1,
        place=place,
        kind="away",
        trip_id=None,
        trip_title=trip,
        photos=photo_count,
        cover_id=None,
    )


def put(catalog: Catalog, *made: tuple[EventRow, str], tenant: str = "a") -> None:
    with catalog.tenant(tenant) as tx:
        links = [
            (bytes.fromhex(rows.photo_id(n)), event.event_id, None)
            for event, names in made
            for n in names
        ]
        events.store(tx, [event for event, _ in made], links)


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    with catalog.tenant("a") as tx:
        made = [rows.photo(name) for name in NAMES]
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        tx.conn.execute(
            "UPDATE photos SET caption = 'A tram in Lisbon' WHERE photo_id = decode(%s, 'hex')",
            [rows.photo_id("d")],
        )
    put(catalog, (row(1, "Lisbon", "Trip to Portugal, 3 to 9 May 2024"), "ab"), (row(2, None), "c"))
    return catalog


def found(catalog: Catalog, text: str, tenant: str = "a") -> list[str]:
    names = {rows.photo_id(name): name for name in NAMES}
    with catalog.tenant(tenant) as tx:
        ids = find_words(tx, text, 10).ids
    return [names[i] for i in ids]


def kept(catalog: Catalog) -> int:
    with catalog.tenant("a") as tx:
        counted = tx.conn.execute("SELECT count(*) FROM text_postings WHERE text_no < 0")
        return int(counted.fetchone()[0])


def test_a_place_finds_the_photos_of_its_events_after_those_that_say_it(library: Catalog) -> None:
    assert found(library, "Lisbon")[0] == "d"
    assert set(found(library, "lisbon")) == {"a", "b", "d"}
    assert set(found(library, "portugal")) == {"a", "b"}
    assert set(found(library, "tram portugal")) == {"a", "b", "d"}


def test_the_beginning_and_a_slip_of_the_pen_find_a_place(library: Catalog) -> None:
    assert set(found(library, "portu")) == {"a", "b"}
    assert set(found(library, "portugul")) == {"a", "b"}


def test_an_event_that_moves_or_is_named_is_found_by_its_new_words_only(library: Catalog) -> None:
    put(library, (row(1, "Porto", "Trip to Portugal, 3 to 9 May 2024"), "ab"))
    assert set(found(library, "porto")) >= {"a", "b"} and found(library, "lisbon") == ["d"]
    with library.tenant("a") as tx:
        tx.conn.execute("UPDATE events SET title = 'Wedding of Anna' WHERE event_id = 1")
    assert set(found(library, "wedding")) == {"a", "b"}
    with library.tenant("a") as tx:
        tx.conn.execute("UPDATE events SET title = NULL WHERE event_id = 1")
    assert found(library, "wedding") == []


def test_a_photo_that_moves_to_another_event_is_found_there(library: Catalog) -> None:
    put(library, (row(1, "Lisbon"), "a"), (row(3, "Madrid"), "b"))
    assert found(library, "madrid") == ["b"] and set(found(library, "lisbon")) == {"a", "d"}


def test_events_that_end_leave_no_words_behind(library: Catalog) -> None:
    assert kept(library) > 0
    with library.tenant("a") as tx:
        tx.conn.execute("DELETE FROM event_photos")
        events.drop_empty(tx)
    assert kept(library) == 0 and found(library, "portugal") == []


def test_places_of_others_and_mere_coordinates_are_no_words(library: Catalog) -> None:
    put(library, (row(2, "38.70° North, 9.10° West"), "c"))
    assert found(library, "north") == []
    assert found(library, "portugal", tenant="b") == []
    put(library, (row(2, None), "c"))
    assert kept(library) == len({"lisbon", "portug", "portugal"})


def test_a_deleted_photo_is_not_found_by_its_place(library: Catalog) -> None:
    with library.tenant("a") as tx:
        assert photos.delete(tx, rows.photo_id("a"))
    assert found(library, "portugal") == ["b"]
