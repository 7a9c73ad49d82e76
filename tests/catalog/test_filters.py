"""Filters in SQL say the same as their plain meaning, on photos and filters drawn at random."""

from __future__ import annotations

import math
from datetime import UTC, date, datetime, time, timedelta
from random import Random

import pytest

from photoorg.index.photo_ids import hex_ids
from photoorg.search.allowed import AllowedSets, allowed_photos
from photoorg.search.filters import Filter, Span, parse_filter
from photoorg.store.catalog import changes
from tests.catalog.library import ALBUMS, DEVICES, LABELS, MIMES, Known, T, fill

pytestmark = pytest.mark.postgres
PLACES = [(52.5, 13.4), (-17.0, 179.95), (-17.2, -179.8), (90.0, 0.0)]


def wall(k: Known, moment: date | datetime) -> tuple[datetime, datetime] | None:
    """The photo's time and the moment, on the clock that the moment is of."""
    if k.taken is None:
        return None
    at = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
    if at.tzinfo is not None:
        return k.taken, at
    return k.taken + timedelta(minutes=k.offset or 0), at.replace(tzinfo=UTC)


def taken(k: Known, span: Span) -> bool:
    said = []
    if span.after is not None:
        pair = wall(k, span.after)
        said.append(pair is not None and pair[0] >= pair[1])
    if span.before is not None:
        pair = wall(k, span.before)
        said.append(pair is not None and pair[0] < pair[1])
    return all(said)


def km(a, b) -> float:
    """By the angle between unit vectors: another formula than the one in SQL."""
    (p1, l1), (p2, l2) = [(math.radians(x), math.radians(y)) for x, y in (a, b)]
    one = (math.cos(p1) * math.cos(l1), math.cos(p1) * math.sin(l1), math.sin(p1))
    two = (math.cos(p2) * math.cos(l2), math.cos(p2) * math.sin(l2), math.sin(p2))
    cross = (
        one[1] * two[2] - one[2] * two[1],
        one[2] * two[0] - one[0] * two[2],
        one[0] * two[1] - one[1] * two[0],
    )
    dot = sum(x * y for x, y in zip(one, two, strict=True))
    return 6371.0088 * math.atan2(math.sqrt(sum(c * c for c in cross)), dot)


def inside(k: Known, box) -> bool:
    if k.place is None or not box.south <= k.place[0] <= box.north:
        return False
    if box.west <= box.east:
        return box.west <= k.place[1] <= box.east
    return k.place[1] >= box.west or k.place[1] <= box.east


def between(value, wanted) -> bool:
    if value is None:
        return False
    return (wanted.min is None or value >= wanted.min) and (
        wanted.max is None or value <= wanted.max
    )


def matches(k: Known, f: Filter, people, albums) -> bool:
    said = []
    if f.taken:
        said.append(taken(k, f.taken))
    if f.near:
        said.append(k.place is not None and km(k.place, (f.near.lat, f.near.lon)) <= f.near.km)
    if f.box:
        said.append(inside(k, f.box))
    if f.tags:
        own = {t.lower() for t in k.tags}
        said += [t.lower() in own for t in f.tags.all]
        said.append(not f.tags.any or any(t.lower() in own for t in f.tags.any))
    if f.people:
        ids = [people.get(p, p) for p in f.people.all]
        said += [i in k.people for i in ids]
        said.append(not f.people.any or any(people.get(p, p) in k.people for p in f.people.any))
    if f.device:
        name = " ".join(d for d in k.device if d).lower()
        said.append(any(d.lower() in name for d in f.device))
    if f.mime:
        types = [(m[:-1] if m.endswith("/*") else m) for m in f.mime]
        said.append(any(k.mime.startswith(t) for t in types))
    if f.quality:
        said.append(between(k.quality, f.quality))
    if f.nsfw:
        said.append(between(k.nsfw, f.nsfw))
    if f.album is not None:
        said.append(albums.get(f.album, f.album) in k.albums)
    if f.favourite is not None:
        said.append(k.favourite == f.favourite)
    if f.archived is not None:
        said.append(k.archived == f.archived)
    said += [matches(k, inner, people, albums) for inner in f.and_ or ()]
    if f.or_:
        said.append(any(matches(k, inner, people, albums) for inner in f.or_))
    if f.not_:
        said.append(not matches(k, f.not_, people, albums))
    return all(said)


def moment(rng: Random) -> str:
    at = datetime(2019, 1, 1) + timedelta(minutes=rng.randrange(3 * 525_600))
    return rng.choice([at.date().isoformat(), at.isoformat(), at.isoformat() + "+02:00"])


def draw(rng: Random, depth: int = 0) -> dict:
    lat, lon = rng.choice(PLACES)
    east, west = lon + rng.random(), lon - rng.random()
    parts = {
        "taken": {rng.choice(["after", "before"]): moment(rng)},
        "near": {"lat": lat, "lon": lon, "km": rng.choice([1, 30, 60, 5000, 20000])},
        "box": {
            "south": max(-90, lat - rng.random()),
            "north": min(90, lat + rng.random()),
            "west": (west + 180) % 360 - 180,
            "east": (east + 180) % 360 - 180,
        },
        "tags": {rng.choice(["any", "all"]): rng.sample([*LABELS, "BEACH", "none"], 2)},
        "people": {rng.choice(["any", "all"]): rng.sample(["anna", "Bob", 1, 2, 3, 99], 2)},
        "device": [rng.choice(["canon", "iphone", "EOS", "x"])],
        "mime": [rng.choice([*MIMES, "image/*"])],
        "quality": {rng.choice(["min", "max"]): rng.choice([0.0, 0.25, 0.3, 1.0])},
        "nsfw": {rng.choice(["min", "max"]): rng.choice([0.0, 0.25, 0.4])},
        "album": rng.choice([*ALBUMS, "BEST OF", 1, 77]),
        "favourite": rng.random() < 0.5,
        "archived": rng.random() < 0.5,
    }
    chosen = {k: parts[k] for k in rng.sample(sorted(parts), rng.choice([0, 1, 1, 2]))}
    if depth < 2 and rng.random() < 0.5:
        kind = rng.choice(["and", "or", "not"])
        inner = [draw(rng, depth + 1) for _ in range(rng.choice([1, 2, 3]))]
        chosen[kind] = inner[0] if kind == "not" else inner
    return chosen


def test_sql_allows_what_the_filter_means(catalog):
    known = fill(catalog, 400, seed=1)
    rng = Random(2)
    sizes = set()
    with catalog.tenant(T) as tx:
        people = dict(tx.conn.execute("SELECT lower(name), person_id FROM persons").fetchall())
        people |= {"Bob": people["bob"]}
        albums = dict(tx.conn.execute("SELECT name, album_id FROM albums").fetchall())
        albums |= {"BEST OF": albums["Best of"]}
        for _ in range(250):
            data = draw(rng)
            chosen = parse_filter(data)
            found = allowed_photos(tx, chosen)
            expected = {
                k.photo_id
                for k in known
                if k.ready and not k.trashed and matches(k, chosen, people, albums)
            }
            assert set(hex_ids(found._keys)) == expected, data
            sizes.add(len(expected))
    assert len(sizes) > 50 and DEVICES


def test_filters_of_one_tenant_see_nothing_of_another(catalog):
    fill(catalog, 20, seed=1)
    with catalog.tenant("other") as tx:
        assert len(allowed_photos(tx, Filter())) == 0


def test_values_are_never_part_of_the_sql(catalog):
    fill(catalog, 5, seed=1)
    nasty = "x') OR true; DROP TABLE photos; --"
    with catalog.tenant(T) as tx:
        for data in (
            {"tags": {"any": [nasty], "all": [nasty]}},
            {"people": {"any": [nasty]}},
            {"album": nasty},
            {"device": [nasty, "%s", "%(tenant)s"]},
            {"mime": [nasty, "%/*"]},
        ):
            assert len(allowed_photos(tx, parse_filter(data))) == 0


def test_a_set_is_kept_until_the_library_changes(catalog):
    known = fill(catalog, 50, seed=3)
    sets = AllowedSets(catalog, 10**8)
    text = Filter(favourite=True).to_json()
    with catalog.tenant(T) as tx:
        before = changes.count(tx)
    first = sets.get(T, text, before)
    assert sets.get(T, text, before) is first
    other = next(k for k in known if not k.favourite and k.ready and not k.trashed)
    with catalog.tenant(T) as tx:
        tx.conn.execute(
            "UPDATE photos SET favourite = true WHERE photo_id = %s",
            [bytes.fromhex(other.photo_id)],
        )
    with catalog.tenant(T) as tx:
        after = changes.count(tx)
    assert after > before
    assert len(sets.get(T, text, after)) == len(first) + 1


def test_the_count_of_changes_grows_whatever_order_writers_commit_in(catalog):
    fill(catalog, 3, seed=3)
    seen = []

    def count() -> int:
        with catalog.tenant(T) as tx:
            return changes.count(tx)

    with catalog.tenant(T) as early:
        early.conn.execute("UPDATE photos SET favourite = true")
        with catalog.tenant(T) as late:
            late.conn.execute("INSERT INTO albums (tenant_id, name) VALUES (%s, 'x')", [T])
        seen.append(count())
    seen.append(count())
    assert seen[0] < seen[1]


def test_little_memory_keeps_the_latest_set_only(catalog):
    fill(catalog, 50, seed=3)
    sets = AllowedSets(catalog, 1)
    first = sets.get(T, Filter(favourite=True).to_json(), 0)
    sets.get(T, Filter(favourite=False).to_json(), 0)
    assert sets.get(T, Filter(favourite=True).to_json(), 0) is not first
