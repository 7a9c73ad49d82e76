"""Events and people that photos have in common, as searches read them."""

import pytest

from photoorg.store.catalog import Catalog, bonds, events, photos
from photoorg.store.catalog.bonds import Bonds
from tests.catalog import rows
from tests.catalog.test_places import row

pytestmark = pytest.mark.postgres
FACE = """
INSERT INTO faces (tenant_id, photo_id, face_no, box, landmarks, score, quality, space_id)
VALUES ('a', decode(%s, 'hex'), %s, '{0,0,1,1}', '{0,0,0,0,0,0,0,0,0,0}', 0.9, 0.8, 'faces')
"""


def test_bonds_are_events_and_people_that_are_not_hidden(catalog: Catalog) -> None:
    ids = [rows.photo_id(n) for n in "abc"]
    made = [rows.photo(n) for n in "abc"]
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        events.store(tx, [row(5, "Lisbon")], [(bytes.fromhex(i), 5, None) for i in ids[:2]])
        people = [
            tx.conn.execute(
                "INSERT INTO persons (tenant_id, name, hidden) VALUES ('a', %s, %s)"
                " RETURNING person_id",
                [name, hidden],
            ).fetchone()[0]
            for name, hidden in (("Anna", False), ("Ben", True))
        ]
        for number, person in enumerate(people):
            tx.conn.execute(FACE, [ids[0], number])
            tx.conn.execute(
                "INSERT INTO face_people (tenant_id, photo_id, face_no, person_id, source)"
                " VALUES ('a', decode(%s, 'hex'), %s, %s, 'user')",
                [ids[0], number, person],
            )
        found = bonds.of(tx, ids)
        assert bonds.any_here(tx)
    assert found == {ids[0]: Bonds(5, frozenset({people[0]})), ids[1]: Bonds(5)}
    with catalog.tenant("b") as tx:
        assert bonds.of(tx, ids) == {} and not bonds.any_here(tx)
