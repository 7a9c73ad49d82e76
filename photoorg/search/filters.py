"""The filter language: which photos a search may find, as typed JSON.

Every field given must hold; `and`, `or` and `not` combine filters. A photo of which something is
not known (no GPS, no time) does not match a condition on it, and does match its `not`.
"""

from __future__ import annotations

import hashlib
import re
from datetime import date, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from photoorg.errors import InputError

MAX_DEPTH = 8
MAX_PARTS = 200
MOST_WITHOUT = 20
MINUS = re.compile(r"(?<!\S)[-\u2212](?=[^\W\d])(\w{1,200})(?!\S)")
EARTH_KM = 6_371.0088
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Latitude = Annotated[float, Field(ge=-90.0, le=90.0)]
Longitude = Annotated[float, Field(ge=-180.0, le=180.0)]
Word = Annotated[str, Field(min_length=1, max_length=200)]
Number = Annotated[int, Field(ge=0, le=2**63 - 1)]
Named = Number | Word


class Part(BaseModel):
    """A piece of a filter; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Span(Part):
    """From `after` (inclusive) to `before` (exclusive).

    A time without a zone, or a day, is what a clock at the place of the photo showed.
    """

    after: datetime | date | None = None
    before: datetime | date | None = None

    @model_validator(mode="after")
    def _given(self) -> Span:
        if self.after is None and self.before is None:
            raise ValueError("give after, before or both")
        return self


class Near(Part):
    """Within `km` of a place, along the surface of the earth."""

    lat: Latitude
    lon: Longitude
    km: float = Field(gt=0.0, le=20_038.0)


class GeoBox(Part):
    """A box in degrees; `west` greater than `east` crosses the 180th meridian."""

    south: Latitude
    west: Longitude
    north: Latitude
    east: Longitude

    @model_validator(mode="after")
    def _upright(self) -> GeoBox:
        if self.south > self.north:
            raise ValueError("south is north of north")
        return self


class Labels(Part):
    """At least one of `any`, and every one of `all`; labels compare without regard to case."""

    any: tuple[Word, ...] = Field((), max_length=100)
    all: tuple[Word, ...] = Field((), max_length=100)

    @model_validator(mode="after")
    def _given(self) -> Labels:
        if not self.any and not self.all:
            raise ValueError("give any, all or both")
        return self


class People(Part):
    """At least one of `any`, and every one of `all`: ids of persons, or their names."""

    any: tuple[Named, ...] = Field((), max_length=100)
    all: tuple[Named, ...] = Field((), max_length=100)

    @model_validator(mode="after")
    def _given(self) -> People:
        if not self.any and not self.all:
            raise ValueError("give any, all or both")
        return self


class Range(Part):
    """From `min` to `max`, both 0..1 and inclusive."""

    min: Share | None = None
    max: Share | None = None

    @model_validator(mode="after")
    def _given(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("give min, max or both")
        return self


class Filter(Part):
    """Which photos may be found; an empty one allows all.

    `device` is part of maker and model, `mime` a type such as image/jpeg or image/*; of several one
    must fit. `album` is an id or a name. Photos that have a word of `without` are left out, in all
    that is said of them or of their event.
    """

    taken: Span | None = None
    near: Near | None = None
    box: GeoBox | None = None
    tags: Labels | None = None
    people: People | None = None
    device: tuple[Word, ...] | None = Field(None, min_length=1, max_length=50)
    mime: tuple[Word, ...] | None = Field(None, min_length=1, max_length=50)
    quality: Range | None = None
    nsfw: Range | None = None
    album: Named | None = None
    favourite: bool | None = None
    archived: bool | None = None
    without: tuple[Word, ...] | None = Field(None, min_length=1, max_length=MOST_WITHOUT)
    and_: tuple[Filter, ...] | None = Field(None, alias="and", min_length=1, max_length=50)
    or_: tuple[Filter, ...] | None = Field(None, alias="or", min_length=1, max_length=50)
    not_: Filter | None = Field(None, alias="not")

    @property
    def empty(self) -> bool:
        """Whether it allows all photos."""
        return not self.model_fields_set or all(
            getattr(self, name) is None for name in type(self).model_fields
        )

    def to_json(self) -> str:
        """Canonical: equal filters give equal text."""
        return self.model_dump_json(by_alias=True, exclude_none=True, exclude_defaults=True)

    @property
    def fingerprint(self) -> str:
        """16 hex digits that name it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:16]

    def parts(self, depth: int = 1) -> int:
        """How many filters it is made of; InputError beyond 8 levels or 200 parts."""
        inner = [*(self.and_ or ()), *(self.or_ or ()), *((self.not_,) if self.not_ else ())]
        if depth > MAX_DEPTH:
            raise InputError(
                f"The filter is nested deeper than {MAX_DEPTH} levels.", fix="Make it flatter."
            )
        total: int = 1 + sum(f.parts(depth + 1) for f in inner)
        if total > MAX_PARTS:
            raise InputError(
                f"The filter has more than {MAX_PARTS} parts.", fix="Use lists, or an album."
            )
        return total

    def also(self, other: Filter | None) -> Filter:
        """Both must hold."""
        if other is None or other.empty:
            return self
        return other if self.empty else Filter(and_=(self, other))


def without_words(text: str) -> tuple[str, tuple[str, ...]]:
    """A question without its words behind a minus ("beach -dog"), and these; at most 20."""
    found = tuple(dict.fromkeys(word.lower() for word in MINUS.findall(text)))[:MOST_WITHOUT]
    return (" ".join(MINUS.sub(" ", text).split()), found) if found else (text, ())


def parse_filter(data: Any) -> Filter:
    """A filter from JSON text or plain data; InputError names the part that is wrong."""
    try:
        found = (
            Filter.model_validate_json(data)
            if isinstance(data, str | bytes)
            else Filter.model_validate(data)
        )
    except ValidationError as error:
        raise InputError(
            "The filter is not valid: " + "; ".join(_explain(e) for e in error.errors()[:5]) + ".",
            fix='For example {"taken": {"after": "2019-06-01"}, "tags": {"any": ["dog"]}}.',
        ) from None
    except RecursionError:
        raise InputError("The filter is nested too deeply.", fix="Make it flatter.") from None
    found.parts()
    return found


def _explain(error: Any) -> str:
    where = ".".join(str(p) for p in error["loc"]) or "filter"
    message = str(error["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}"
