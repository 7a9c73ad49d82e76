"""Filters to SQL: one condition on a row `p` of photos, with every value a parameter."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any

from photoorg.search.filters import (
    EARTH_KM,
    Filter,
    GeoBox,
    Labels,
    Named,
    Near,
    People,
    Range,
    Span,
)

KM_PER_DEGREE = 111.0
FOUND = "p.trashed_at IS NULL AND p.status IN ('ready', 'partial')"
"""What every search leaves out: the trash, and photos that are not ready."""
WALL_CLOCK = "p.captured_at + make_interval(mins => coalesce(p.captured_offset_minutes, 0))"
NEAR = (
    "2 * {earth} * asin(sqrt(least(1.0, sin(radians(p.latitude - %({lat})s) / 2) ^ 2"
    " + cos(radians(%({lat})s)) * cos(radians(p.latitude))"
    " * sin(radians(p.longitude - %({lon})s) / 2) ^ 2))) <= %({km})s"
)
TAGGED = (
    "EXISTS (SELECT FROM photo_tags l JOIN tags t USING (tenant_id, tag_id)"
    " WHERE l.tenant_id = p.tenant_id AND l.photo_id = p.photo_id AND lower(t.label) {test})"
)
SHOWN = (
    "EXISTS (SELECT FROM face_people l JOIN persons n USING (tenant_id, person_id)"
    " WHERE l.tenant_id = p.tenant_id AND l.photo_id = p.photo_id AND {test})"
)
IN_ALBUM = (
    "EXISTS (SELECT FROM album_photos l JOIN albums a USING (tenant_id, album_id)"
    " WHERE l.tenant_id = p.tenant_id AND l.photo_id = p.photo_id AND {test})"
)
# Words are compared as they are and by their stems, as in photoorg_document.
WITHOUT = """NOT EXISTS (SELECT FROM photo_texts x WHERE x.tenant_id = p.tenant_id
    AND x.photo_id = p.photo_id AND x.document @@ {words})
AND NOT EXISTS (SELECT FROM event_photos l JOIN events e USING (tenant_id, event_id)
    WHERE l.tenant_id = p.tenant_id AND l.photo_id = p.photo_id AND to_tsvector('english',
        photoorg_words(photoorg_said_of_event(e.title, e.place, e.trip_title))) @@ {words})"""
WORDS = (
    "(plainto_tsquery('english', photoorg_words(%({0})s))"
    " || plainto_tsquery('simple', photoorg_words(%({0})s)))"
)


@dataclass(slots=True)
class Compiled:
    """An SQL condition, which rows fail by null as by false, and the values it names."""

    condition: str
    values: dict[str, Any]


def compile_filter(chosen: Filter, prefix: str = "f") -> Compiled:
    """The filter as a condition on `photos p`; names of its values begin with `prefix`."""
    values = _Values(prefix)
    return Compiled(_filter(chosen, values), values.by_name)


@dataclass(slots=True)
class _Values:
    prefix: str
    by_name: dict[str, Any] = field(default_factory=dict)

    def name(self, value: Any) -> str:
        name = f"{self.prefix}{len(self.by_name)}"
        self.by_name[name] = value
        return name

    def put(self, value: Any) -> str:
        return f"%({self.name(value)})s"


def _filter(f: Filter, put: _Values) -> str:
    simple: list[tuple[Any, Callable[[Any, _Values], str]]] = [
        (f.taken, _taken),
        (f.near, _near),
        (f.box, _box),
        (f.tags, _tags),
        (f.people, _people),
        (f.device, _device),
        (f.mime, _mime),
        (f.quality, lambda r, v: _range("p.quality", r, v)),
        (f.nsfw, lambda r, v: _range("p.nsfw", r, v)),
        (f.album, _album),
        (f.favourite, lambda wanted, v: "p.favourite" if wanted else "NOT p.favourite"),
        (f.without, _without),
        (f.archived, lambda wanted, v: f"p.archived_at IS {'NOT ' if wanted else ''}NULL"),
    ]
    said = [make(value, put) for value, make in simple if value is not None]
    said += [_filter(inner, put) for inner in f.and_ or ()]
    if f.or_ is not None:
        said.append(f"({' OR '.join(_filter(inner, put) for inner in f.or_)})")
    if f.not_ is not None:
        # A comparison with what is not known is null, which counts as false: so `not` is a not.
        # Only there: an index can be used for a comparison, not for what it is coalesced to.
        said.append(f"NOT coalesce({_filter(f.not_, put)}, false)")
    return f"({' AND '.join(said)})" if said else "true"


def _taken(span: Span, put: _Values) -> str:
    said = []
    for moment, sign in ((span.after, ">="), (span.before, "<")):
        if moment is not None:
            at = moment if isinstance(moment, datetime) else datetime.combine(moment, time())
            said.append(_moment(at, sign, put))
    return f"({' AND '.join(said)})"


def _moment(at: datetime, sign: str, put: _Values) -> str:
    if at.tzinfo is not None:
        return f"p.captured_at {sign} {put.put(at)}"
    value = put.put(at.replace(tzinfo=UTC))
    # No clock is a day off UTC: the first test can use the index on captured_at.
    day = f"{'-' if sign == '>=' else '+'} interval '1 day'"
    return f"(p.captured_at {sign} {value} {day} AND {WALL_CLOCK} {sign} {value})"


def _near(near: Near, put: _Values) -> str:
    names = {k: put.name(v) for k, v in (("lat", near.lat), ("lon", near.lon), ("km", near.km))}
    reach = near.km / KM_PER_DEGREE
    band = f"p.latitude BETWEEN {put.put(near.lat - reach)} AND {put.put(near.lat + reach)}"
    return f"({band} AND {NEAR.format(earth=EARTH_KM, **names)})"


def _box(box: GeoBox, put: _Values) -> str:
    west, east = put.put(box.west), put.put(box.east)
    between = f"p.longitude BETWEEN {west} AND {east}"
    if box.west > box.east:
        between = f"(p.longitude >= {west} OR p.longitude <= {east})"
    return f"(p.latitude BETWEEN {put.put(box.south)} AND {put.put(box.north)} AND {between})"


def _tags(tags: Labels, put: _Values) -> str:
    said = [TAGGED.format(test=f"= lower({put.put(label)})") for label in tags.all]
    if tags.any:
        labels = put.put([label.lower() for label in tags.any])
        said.append(TAGGED.format(test=f"= ANY ({labels}::text[])"))
    return f"({' AND '.join(said)})"


def _people(people: People, put: _Values) -> str:
    said = [SHOWN.format(test=_named("n.person_id", "n.name", [one], put)) for one in people.all]
    if people.any:
        said.append(SHOWN.format(test=_named("n.person_id", "n.name", people.any, put)))
    return f"({' AND '.join(said)})"


def _album(album: Named, put: _Values) -> str:
    return IN_ALBUM.format(test=_named("a.album_id", "a.name", [album], put))


def _named(number: str, name: str, wanted: Sequence[Named], put: _Values) -> str:
    ids = put.put([w for w in wanted if isinstance(w, int)])
    names = put.put([w.lower() for w in wanted if isinstance(w, str)])
    return f"({number} = ANY ({ids}::bigint[]) OR lower({name}) = ANY ({names}::text[]))"


def _without(words: Sequence[str], put: _Values) -> str:
    said = [WITHOUT.format(words=WORDS.format(put.name(word))) for word in words]
    return f"({' AND '.join(said)})"


def _device(devices: Sequence[str], put: _Values) -> str:
    names = put.put([d.lower() for d in devices])
    return (
        f"EXISTS (SELECT FROM unnest({names}::text[]) d WHERE"
        " position(d IN lower(concat_ws(' ', p.make, p.model))) > 0)"
    )


def _mime(types: Sequence[str], put: _Values) -> str:
    whole = put.put([t.lower() for t in types if not t.endswith("/*")])
    groups = put.put([t.lower()[:-1] for t in types if t.endswith("/*")])
    return (
        f"(lower(p.mime) = ANY ({whole}::text[]) OR EXISTS (SELECT FROM"
        f" unnest({groups}::text[]) g WHERE starts_with(lower(p.mime), g)))"
    )


def _range(column: str, wanted: Range, put: _Values) -> str:
    said = []
    # The columns are single precision: so is what they are compared with.
    if wanted.min is not None:
        said.append(f"{column} >= {put.put(wanted.min)}::real")
    if wanted.max is not None:
        said.append(f"{column} <= {put.put(wanted.max)}::real")
    return f"({' AND '.join(said)})"
