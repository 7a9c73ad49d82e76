"""Two who change thresholds at the same time: each knows what the other left."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from photoorg.store.catalog import Catalog, thresholds
from photoorg.store.catalog.thresholds import Change

pytestmark = pytest.mark.postgres
SPACE = "tiny-1"


def in_force(catalog: Catalog) -> dict[str, float]:
    with catalog.tenant("a") as tx:
        return thresholds.get_all(tx, SPACE)


def test_a_change_waits_for_another_and_notes_what_that_left(catalog: Catalog) -> None:
    assert in_force(catalog) == {}, "the tenant is known from here on"
    assert in_force(catalog) == {}
    begun, second = threading.Event(), []

    def change() -> None:
        with catalog.tenant("a") as tx:
            begun.set()
            second.append(thresholds.change(tx, SPACE, {"search.image": 0.5}, "bob"))

    with catalog.tenant("a") as tx:
        first = thresholds.change(tx, SPACE, {"search.image": 0.4}, "ann")
        thread = threading.Thread(target=change)
        thread.start()
        assert begun.wait(60)
        thread.join(0.2)
        assert second == [], "ann's change may still be rolled back"
    thread.join(60)
    (later,) = second
    assert isinstance(later, Change) and later.values == {"search.image": (0.4, 0.5)}
    for done, left in ((later, {"search.image": 0.4}), (first, {})):
        with catalog.tenant("a") as tx:
            thresholds.undo(tx, str(done.token), "ann")
        assert in_force(catalog) == left


def test_of_many_changes_at_once_every_one_can_be_taken_back(catalog: Catalog) -> None:
    def change(number: int) -> Change:
        with catalog.tenant("a") as tx:
            return thresholds.change(tx, SPACE, {"x": float(number)}, "ann")

    with ThreadPoolExecutor(4) as pool:
        changes = list(pool.map(change, range(12)))
    by_after = {change.values["x"][1]: change for change in changes}
    now: float | None = in_force(catalog)["x"]
    taken = 0
    while now is not None:
        with catalog.tenant("a") as tx:
            undone = thresholds.undo(tx, str(by_after[now].token), "ann")
        now, taken = undone.values["x"][1], taken + 1
    assert taken == 12 and in_force(catalog) == {}
