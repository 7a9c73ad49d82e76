"""The delta log: readers see events in order, and never a later one before an earlier one."""

import threading

import numpy as np
import pytest

from photoorg.store.catalog import Catalog, delta, photos, trash
from tests.catalog import rows

pytestmark = pytest.mark.postgres
VECTOR = np.array([[0.5, -0.25, 1.0]], np.float32)


def add(catalog: Catalog, content: object, tenant: str = "a", space: str = "s") -> int:
    with catalog.tenant(tenant) as tx:
        return delta.add(tx, space, [rows.photo_id(content)], VECTOR)


def test_events_come_back_in_order_with_their_vectors(catalog: Catalog) -> None:
    many = np.random.default_rng(0).standard_normal((5, 8)).astype(np.float32)
    ids = [rows.photo_id(i) for i in range(5)]
    with catalog.tenant("a") as tx:
        last = delta.add(tx, "s", ids, many)
        events = delta.since(tx, "s", 0, 100)
        assert delta.head(tx) == last == events[-1].seq
    assert (delta.head_now(catalog, "a"), delta.head_now(catalog, "b")) == (last, 0)
    assert [e.photo_id for e in events] == ids
    stored = np.stack([e.vector for e in events if e.vector is not None])
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, many.astype(np.float16).astype(np.float32))


def test_reading_goes_on_where_it_stopped(catalog: Catalog) -> None:
    for content in range(7):
        add(catalog, content)
    seen, seq = [], 0
    with catalog.tenant("a") as tx:
        while events := delta.since(tx, "s", seq, 3):
            assert len(events) <= 3
            seq = events[-1].seq
            seen += [e.photo_id for e in events]
    assert seen == [rows.photo_id(i) for i in range(7)]


def test_a_delete_concerns_every_space_an_add_only_its_own(catalog: Catalog) -> None:
    add(catalog, 1, space="s")
    add(catalog, 2, space="other")
    with catalog.tenant("a") as tx:
        delta.remove(tx, [rows.photo_id(3)])
        assert [e.op for e in delta.since(tx, "s", 0)] == ["add", "delete"]
        assert [e.photo_id for e in delta.since(tx, "other", 0)] == [
            rows.photo_id(2),
            rows.photo_id(3),
        ]
        assert delta.since(tx, "s", 0)[1].vector is None


def test_a_photo_in_the_trash_is_hidden_from_lists_and_logged_until_it_is_restored(
    catalog: Catalog,
) -> None:
    with catalog.tenant("a") as tx:
        photos.copy_part(
            tx, "run", 0, rows.photos(rows.photo("p"), rows.photo("q")), rows.rejects()
        )
        assert trash.put(tx, [rows.photo_id("p"), rows.photo_id("none")]) == [rows.photo_id("p")]
        assert trash.put(tx, [rows.photo_id("p")]) == []
        listed, _ = photos.page(tx)
        assert [photo.photo_id for photo in listed] == [rows.photo_id("q")]
        assert trash.ids(tx) == [rows.photo_id("p")]
        trashed = photos.get(tx, rows.photo_id("p"))
        assert trashed is not None and trashed.trashed_at is not None
        assert trash.restore(tx, [rows.photo_id("p"), rows.photo_id("q")]) == [rows.photo_id("p")]
        assert trash.ids(tx) == []
        assert [e.op for e in delta.since(tx, "any", 0)] == ["hide", "show"]


def test_tenants_have_logs_of_their_own(catalog: Catalog) -> None:
    add(catalog, 1, tenant="a")
    with catalog.tenant("b") as tx:
        assert delta.since(tx, "s", 0) == [] and delta.head(tx) == 0


def test_an_event_never_appears_behind_a_reader(catalog: Catalog) -> None:
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        seq = 0
        while True:
            done = stop.is_set()
            with catalog.tenant("a") as tx:
                for event in delta.since(tx, "s", seq):
                    seq = event.seq
                    seen.append(event.seq)
            if done:
                return

    def write(name: int) -> None:
        for number in range(25):
            add(catalog, (name, number))

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    reader.start()
    for thread in writers:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    reader.join()
    with catalog.tenant("a") as tx:
        assert seen == [e.seq for e in delta.since(tx, "s", 0)]
    assert len(seen) == 100


def test_what_every_index_holds_can_be_forgotten_and_numbers_go_on(catalog: Catalog) -> None:
    for content in range(4):
        last = add(catalog, content)
    with catalog.tenant("a") as tx:
        assert delta.trim(tx, last) == 3
        assert delta.head(tx) == last
    assert add(catalog, 9) > last
