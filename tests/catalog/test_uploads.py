"""The upload queue: nothing acknowledged is lost, nothing is done twice, nothing waits for ever."""

import time
from collections import Counter

import numpy as np
import pytest

from photoorg.models import PhotoStatus, Rejection
from photoorg.store.catalog import Catalog, Transaction, delta, photos, uploads
from tests.catalog import rows
from tests.threads import at_once

pytestmark = pytest.mark.postgres
FOR_GOOD = Rejection("k", "decode", "The file is\0 broken.")
PASSING = Rejection("k", "fetch", "The network is down.", retryable=True)


def enqueue(tx: Transaction, content: object) -> PhotoStatus:
    photo_id = rows.photo_id(content)
    return uploads.enqueue(
        tx,
        photo_id=photo_id,
        uri=f"blobs/{photo_id}",
        mime="image/png",
        size=7,
        filename="IMG 1.png",
    )


def queue(catalog: Catalog, tenant: str, *contents: object) -> None:
    for content in contents:
        with catalog.tenant(tenant) as tx:
            assert enqueue(tx, content) == "queued"


def claim(catalog: Catalog, limit: int = 10, lease_s: float = 60) -> list[tuple[str, str]]:
    with catalog.worker() as tx:
        return uploads.claim(tx, limit, lease_s)


def status(catalog: Catalog, content: object, tenant: str = "a") -> str | None:
    with catalog.tenant(tenant) as tx:
        photo = photos.get(tx, rows.photo_id(content))
    return photo.status if photo else None


def finish(catalog: Catalog, content: object) -> bool:
    photo_id = rows.photo_id(content)
    table = rows.photos(rows.photo(f"blobs/{photo_id}", content, etag=""))
    with catalog.tenant("a") as tx:
        return uploads.finish(tx, photo_id, "ready", table)


def test_an_upload_is_queued_then_processing_then_ready(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    assert status(catalog, 1) == "queued"
    assert claim(catalog) == [("a", rows.photo_id(1))]
    assert status(catalog, 1) == "processing"
    assert finish(catalog, 1)
    assert status(catalog, 1) == "ready"
    with catalog.worker() as tx:
        assert uploads.depth(tx) == 0


def test_the_same_bytes_again_give_the_status_they_have(catalog: Catalog) -> None:
    queue(catalog, "a", 1, 1)
    claim(catalog)
    finish(catalog, 1)
    with catalog.tenant("a") as tx:
        assert enqueue(tx, 1) == "ready"
        assert photos.count(tx) == 1
    assert claim(catalog) == []


def test_the_same_bytes_at_the_same_moment_are_queued_once(catalog: Catalog) -> None:
    found: list[PhotoStatus] = []

    def upload() -> None:
        with catalog.tenant("a") as tx:
            found.append(enqueue(tx, 1))

    at_once(*[upload] * 8)
    assert found == ["queued"] * 8
    assert claim(catalog) == [("a", rows.photo_id(1))]


def test_workers_at_the_same_time_never_hold_the_same_photo(catalog: Catalog) -> None:
    queue(catalog, "a", *range(20))
    queue(catalog, "b", *range(20))
    held: list[tuple[str, str]] = []

    def work() -> None:
        while batch := claim(catalog, limit=3):
            held.extend(batch)

    at_once(*[work] * 6)
    assert len(held) == 40 and max(Counter(held).values()) == 1


def test_the_oldest_upload_is_taken_first(catalog: Catalog) -> None:
    queue(catalog, "b", 1)
    queue(catalog, "a", 2)
    assert claim(catalog, limit=1) == [("b", rows.photo_id(1))]


def test_a_killed_workers_photos_come_back_when_its_lease_ends(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    assert claim(catalog, lease_s=60)
    assert claim(catalog) == []
    with catalog.worker() as tx:
        tx.conn.execute("UPDATE uploads SET lease_until = lease_until - interval '61 seconds'")
    assert claim(catalog) == [("a", rows.photo_id(1))]


def test_a_worker_can_hold_on_and_give_back(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    held = claim(catalog, lease_s=0.05)
    with catalog.worker() as tx:
        uploads.extend(tx, held, 60)
    time.sleep(0.1)
    assert claim(catalog) == []
    with catalog.worker() as tx:
        uploads.extend(tx, held, 0)
    assert claim(catalog) == held


def test_a_photo_that_breaks_every_worker_is_given_up_with_a_reason(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    for _ in range(3):
        with catalog.worker() as tx:
            assert uploads.claim(tx, 1, 0, max_attempts=3)
    with catalog.worker() as tx:
        assert uploads.claim(tx, 1, 0, max_attempts=3) == []
    assert uploads.give_up(catalog, max_attempts=3) == 1
    with catalog.tenant("a") as tx:
        photo = photos.get(tx, rows.photo_id(1))
        assert photo is not None and photo.status == "failed"
        assert photo.reason == uploads.GIVEN_UP.reason
        assert enqueue(tx, 1) == "queued"
    assert claim(catalog) == [("a", rows.photo_id(1))]


def test_a_broken_file_is_failed_for_good(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    claim(catalog)
    with catalog.tenant("a") as tx:
        assert uploads.fail(tx, rows.photo_id(1), FOR_GOOD) == "failed"
    with catalog.tenant("a") as tx:
        photo = photos.get(tx, rows.photo_id(1))
        assert photo is not None and (photo.status, photo.reason) == (
            "failed",
            "The file is broken.",
        )
        assert enqueue(tx, 1) == "failed"
        assert uploads.depth(tx) == 0


def test_a_passing_failure_waits_and_is_tried_again(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    claim(catalog)
    with catalog.tenant("a") as tx:
        assert uploads.fail(tx, rows.photo_id(1), PASSING) == "queued"
    assert claim(catalog) == []
    with catalog.worker() as tx:
        uploads.extend(tx, [("a", rows.photo_id(1))], 0)
    assert claim(catalog) == [("a", rows.photo_id(1))]
    with catalog.tenant("a") as tx:
        assert uploads.fail(tx, rows.photo_id(1), PASSING, max_attempts=2) == "failed"


def test_two_workers_finish_the_same_photo_once(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    claim(catalog)
    assert [finish(catalog, 1), finish(catalog, 1)] == [True, False]


def test_a_photo_deleted_while_it_is_processed_does_not_come_back(catalog: Catalog) -> None:
    queue(catalog, "a", 1)
    claim(catalog)
    with catalog.tenant("a") as tx:
        assert photos.delete(tx, rows.photo_id(1))
    assert not finish(catalog, 1)
    with catalog.tenant("a") as tx:
        assert uploads.fail(tx, rows.photo_id(1), FOR_GOOD) is None
    assert status(catalog, 1) is None


def test_a_deleted_photo_can_be_uploaded_again_and_is_seen_again(catalog: Catalog) -> None:
    vector = np.ones((1, 4), np.float32)
    for _ in range(2):
        queue(catalog, "a", 1)
        claim(catalog)
        assert finish(catalog, 1)
        with catalog.tenant("a") as tx:
            delta.add(tx, "space", [rows.photo_id(1)], vector)
        with catalog.tenant("a") as tx:
            assert photos.delete(tx, rows.photo_id(1))
            assert not photos.delete(tx, rows.photo_id(1))
    with catalog.tenant("a") as tx:
        events = delta.since(tx, "space", 0, 100)
    assert [e.op for e in events] == ["add", "delete", "add", "delete"]
    assert [e.seq for e in events] == sorted(e.seq for e in events)


def test_deletes_and_results_of_the_same_photos_never_deadlock(catalog: Catalog) -> None:
    queue(catalog, "a", *range(30))
    claim(catalog, limit=30)

    def finisher() -> None:
        for content in range(30):
            photo_id = rows.photo_id(content)
            table = rows.photos(rows.photo(f"blobs/{photo_id}", content))
            with catalog.tenant("a") as tx:
                if uploads.finish(tx, photo_id, "ready", table):
                    delta.add(tx, "space", [photo_id], np.ones((1, 4), np.float32))

    def deleter() -> None:
        for content in reversed(range(30)):
            with catalog.tenant("a") as tx:
                photos.delete(tx, rows.photo_id(content))

    at_once(finisher, deleter)
    with catalog.tenant("a") as tx:
        last = {e.photo_id: e.op for e in delta.since(tx, "space", 0)}
        assert photos.count(tx) == 0 and set(last.values()) == {"delete"}
