"""A library of made-up faces in a real catalog: who is in which photo is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from photoorg import schema
from photoorg.curate.people import People
from photoorg.curation_config import PeopleConfig
from photoorg.store.catalog import Catalog, consent, people, photos
from photoorg.store.catalog.consent import TENANT
from tests.catalog import rows
from tests.unit.curate.faces import unit

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


def persons(catalog: Catalog, **how: Any) -> list[people.Person]:
    with catalog.tenant(T) as tx:
        return people.page(tx, **how)[0]


def key(name: str, number: int = 0) -> tuple[str, int]:
    return rows.photo_id(name), number


def two_persons(catalog: Catalog) -> People:
    """Two persons, six and four photos, found by clustering."""
    agree(catalog)
    load(catalog, "run", *portraits(1, 6), *portraits(2, 4))
    service = People(catalog, T, PeopleConfig(device="cpu"), "tester")
    summary = service.cluster()
    assert (summary.persons, summary.known, summary.unknown) == (2, 10, 0)
    return service
