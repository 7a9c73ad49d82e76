"""What a library offers to learn from."""

import pytest

from photoorg.store.catalog import Catalog, feedback, learning, photos, trash
from tests.catalog import rows

pytestmark = pytest.mark.postgres


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    made = [rows.photo(f"p{n}") for n in range(30)]
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
    return catalog


def test_a_sample_is_the_same_for_one_seed_and_leaves_the_trash_out(library: Catalog) -> None:
    with library.tenant("a") as tx:
        trash.put(tx, [rows.photo_id("p0")])
        first = learning.sample(tx, 10, seed=1)
        assert first == learning.sample(tx, 10, seed=1) and len(first) == 10
        assert first != learning.sample(tx, 10, seed=2)
        every = learning.sample(tx, 1_000, seed=1)
    assert len(every) == 29 and rows.photo_id("p0") not in dict(every)


def test_accepted_answers_and_clicks_are_pairs_each_once(library: Catalog) -> None:
    ids = [rows.photo_id(f"p{n}") for n in range(6)]
    with library.tenant("a") as tx:
        for a, b, accepted in ((0, 1, True), (1, 0, True), (2, 3, False)):
            feedback.add(tx, "similar", ids[a], accepted=accepted, actor="anna", query_id=ids[b])
        feedback.add(tx, "search", ids[2], accepted=True, actor="anna", query="a dog")
        feedback.add_click(tx, ids[4], position=1, shown=5, actor="anna", query_id=ids[5])
        feedback.add_click(tx, ids[4], position=1, shown=5, actor="anna", query_id=ids[4])
        found = learning.alike(tx)
    assert found == sorted([tuple(sorted((ids[0], ids[1]))), tuple(sorted((ids[4], ids[5])))])
