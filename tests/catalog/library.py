"""A made-up library in a real catalog: photos with tags, people and albums, drawn from a seed."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from photoorg.store.catalog import Catalog, photos
from tests.catalog import rows

T = "default"
LABELS = ("dog", "Beach", "snow", "food")
NAMES = ("Anna", "Bob", None)
ALBUMS = ("Summer", "Best of")
MIMES = ("image/jpeg", "image/png", "image/heic", "video/mp4")
DEVICES = (("Canon", "EOS R5"), ("Apple", "iPhone 15"), (None, None))


@dataclass(slots=True)
class Known:
    """What the oracle of a test knows of one photo."""

    photo_id: str
    taken: datetime | None
    offset: int | None
    place: tuple[float, float] | None
    mime: str
    device: tuple[str | None, str | None]
    quality: float | None
    nsfw: float | None
    favourite: bool
    archived: bool
    trashed: bool
    ready: bool
    tags: set[str] = field(default_factory=set)
    people: set[int] = field(default_factory=set)
    albums: set[int] = field(default_factory=set)


def draw(rng: Random, number: int) -> Known:
    """One photo; places crowd around the 180th meridian, Berlin and the poles."""
    near = rng.choice([(52.5, 13.4), (-17.0, 179.9), (-17.0, -179.9), (89.0, 10.0), None])
    place = None
    if near is not None:
        place = (
            max(-90.0, min(90.0, near[0] + rng.gauss(0, 0.3))),
            (near[1] + rng.gauss(0, 0.3) + 180) % 360 - 180,
        )
    taken = None
    if rng.random() < 0.85:
        taken = datetime(2019, 1, 1, tzinfo=UTC) + timedelta(minutes=rng.randrange(3 * 525_600))
    return Known(
        photo_id=rows.photo_id(f"photo-{number}"),
        taken=taken,
        offset=rng.choice([None, 0, 120, -600, 765]) if taken else None,
        place=place,
        mime=rng.choice(MIMES),
        device=rng.choice(DEVICES),
        quality=rng.choice([None, *[i / 8 for i in range(9)]]),
        nsfw=rng.choice([None, 0.0, 0.25, 0.5, 1.0]),
        favourite=rng.random() < 0.3,
        archived=rng.random() < 0.2,
        trashed=rng.random() < 0.1,
        ready=rng.random() < 0.95,
    )


def fill(catalog: Catalog, count: int, seed: int) -> list[Known]:
    """Put `count` photos into the catalog and return what is known of them."""
    rng = Random(seed)
    known = [draw(rng, number) for number in range(count)]
    table = rows.photos(*(_row(k, number) for number, k in enumerate(known)))
    with catalog.tenant(T) as tx:
        photos.copy_part(tx, "run", 0, table, rows.rejects())
        tags = _names(tx, "tags", "tag_id", "label", LABELS)
        people = _names(tx, "persons", "person_id", "name", NAMES)
        albums = _names(tx, "albums", "album_id", "name", ALBUMS)
        for k in known:
            key = bytes.fromhex(k.photo_id)
            tx.conn.execute(
                "UPDATE photos SET nsfw = %s, favourite = %s, archived_at = %s, trashed_at = %s,"
                " status = %s WHERE photo_id = %s",
                [
                    k.nsfw,
                    k.favourite,
                    rows.WHEN if k.archived else None,
                    rows.WHEN if k.trashed else None,
                    "ready" if k.ready else "failed",
                    key,
                ],
            )
            for label in LABELS:
                if rng.random() < 0.3:
                    k.tags.add(label)
                    _link(tx, "photo_tags", "tag_id", key, tags[label])
            for number, person in enumerate(people.values()):
                if rng.random() < 0.3:
                    k.people.add(person)
                    tx.conn.execute(
                        "INSERT INTO face_people (tenant_id, photo_id, face_no, person_id, source)"
                        " VALUES (%s, %s, %s, %s, 'user')",
                        [T, key, number, person],
                    )
            for album in albums.values():
                if rng.random() < 0.3:
                    k.albums.add(album)
                    _link(tx, "album_photos", "album_id", key, album)
    return known


def _row(k: Known, number: int) -> dict[str, Any]:
    return rows.photo(
        f"file:///photo-{number}.jpg",
        f"photo-{number}",
        captured_at=k.taken,
        captured_offset_minutes=k.offset,
        captured_source="offset" if k.taken else "none",
        latitude=k.place[0] if k.place else None,
        longitude=k.place[1] if k.place else None,
        mime=k.mime,
        make=k.device[0],
        model=k.device[1],
        quality=k.quality,
        faces=[rows.face(i) for i in range(3)],
    )


def _names(tx: Any, table: str, number: str, column: str, names: Any) -> dict[Any, int]:
    sql = f"INSERT INTO {table} (tenant_id, {column}) VALUES (%s, %s) RETURNING {number}"
    return {name: tx.conn.execute(sql, [T, name]).fetchone()[0] for name in names}


def _link(tx: Any, table: str, column: str, key: bytes, number: int) -> None:
    sql = f"INSERT INTO {table} (tenant_id, photo_id, {column}) VALUES (%s, %s, %s)"
    tx.conn.execute(sql, [T, key, number])
