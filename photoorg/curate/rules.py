"""Rules over many photos: typed conditions, one action, read from YAML or JSON."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from photoorg.errors import InputError, NotFoundError
from photoorg.store.catalog.rule_sql import NUMBERS, TEXTS, TIMES, YES_NO, Where
from photoorg.store.catalog.tags import normal

Action = Literal["archive", "trash", "tag", "favourite"]
DEEPEST = 24


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class NumberCondition(_Strict):
    """A number of the photo against bounds: below and above exclude the bound, is equals it."""

    field: Literal[
        "quality", "sharpness", "exposure", "contrast", "resolution", "nsfw", "width", "height",
        "megapixels", "size", "age_days", "duplicate_confidence", "anomaly",
    ]  # fmt: skip
    below: float | None = None
    above: float | None = None
    equals: float | None = Field(None, alias="is")

    @model_validator(mode="after")
    def _some_bound(self) -> NumberCondition:
        if self.below is None and self.above is None and self.equals is None:
            raise ValueError("give below, above or is")
        return self

    def where(self) -> Where:
        """As SQL; a photo without the number does not match."""
        bounds = (("<", self.below), (">", self.above), ("=", self.equals))
        return Where.all([Where.number(self.field, op, v) for op, v in bounds if v is not None])


class TextCondition(_Strict):
    """A text of the photo: equal, holding or starting with a value; upper and lower case alike."""

    field: Literal[
        "filename", "uri", "mime", "make", "model", "title", "caption", "ocr_text", "tag", "album",
        "event",
    ]  # fmt: skip
    equals: str | None = Field(None, alias="is")
    contains: str | None = None
    starts: str | None = None

    @model_validator(mode="after")
    def _one_way(self) -> TextCondition:
        if sum(v is not None for v in (self.equals, self.contains, self.starts)) != 1:
            raise ValueError("give one of is, contains or starts")
        return self

    def where(self) -> Where:
        """As SQL."""
        for way, value in (("is", self.equals), ("contains", self.contains)):
            if value is not None:
                return Where.text(self.field, way, value)
        return Where.text(self.field, "starts", self.starts or "")


class TimeCondition(_Strict):
    """When the photo was taken or came into the library."""

    field: Literal["captured_at", "created_at"]
    before: datetime | None = None
    after: datetime | None = None

    @model_validator(mode="after")
    def _some_bound(self) -> TimeCondition:
        if self.before is None and self.after is None:
            raise ValueError("give before or after")
        return self

    def where(self) -> Where:
        """As SQL."""
        bounds = (("<", self.before), (">=", self.after))
        return Where.all([Where.time(self.field, op, v) for op, v in bounds if v is not None])


class YesNoCondition(_Strict):
    """Something that a photo is or is not."""

    field: Literal["near_duplicate", "favourite", "archived", "located", "dated", "in_album"]
    equals: bool = Field(True, alias="is")

    def where(self) -> Where:
        """As SQL."""
        return Where.yes_no(self.field, self.equals)


class AllOf(_Strict):
    """Every one of the conditions holds."""

    all: Annotated[list[Condition], Field(min_length=1, max_length=50)]

    def where(self) -> Where:
        """As SQL."""
        return Where.all([condition.where() for condition in self.all])


class AnyOf(_Strict):
    """One of the conditions holds."""

    any: Annotated[list[Condition], Field(min_length=1, max_length=50)]

    def where(self) -> Where:
        """As SQL."""
        return Where.any([condition.where() for condition in self.any])


class NotThis(_Strict):
    """The condition does not hold."""

    no: Condition = Field(alias="not")

    def where(self) -> Where:
        """As SQL."""
        return Where.negated(self.no.where())


FIELDS = {*NUMBERS, *TEXTS, *YES_NO, *TIMES}


def _kind(value: Any) -> str | None:
    """Which kind of condition is meant, so that errors are about that kind only."""
    if isinstance(value, BaseModel):
        value = value.model_dump(include={"field", "all", "any", "no"}, by_alias=True)
    if not isinstance(value, dict):
        return None
    for joint in ("all", "any", "not"):
        if joint in value:
            return joint
    kinds = ((NUMBERS, "number"), (TEXTS, "text"), (TIMES, "time"), (YES_NO, "yes_no"))
    return next((kind for names, kind in kinds if value.get("field") in names), None)


Condition = Annotated[
    Annotated[NumberCondition, Tag("number")]
    | Annotated[TextCondition, Tag("text")]
    | Annotated[TimeCondition, Tag("time")]
    | Annotated[YesNoCondition, Tag("yes_no")]
    | Annotated[AllOf, Tag("all")]
    | Annotated[AnyOf, Tag("any")]
    | Annotated[NotThis, Tag("not")],
    Discriminator(
        _kind,
        custom_error_type="condition",
        custom_error_message="a condition has all, any, not, or a field that there is",
    ),
]


class Rule(_Strict):
    """What to do with photos that meet a condition; `label` is the tag of the action tag."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    when: Condition
    then: Action
    label: Annotated[str, AfterValidator(normal)] | None = None

    @model_validator(mode="after")
    def _label_with_tag(self) -> Rule:
        if (self.then == "tag") != (self.label is not None):
            raise ValueError("label goes with the action tag, and only with it")
        return self


class RuleBook(_Strict):
    """Rules in the order they are run."""

    rules: Annotated[list[Rule], Field(min_length=1, max_length=100)]

    @model_validator(mode="after")
    def _names_differ(self) -> RuleBook:
        names = [rule.name for rule in self.rules]
        if len(set(names)) != len(names):
            raise ValueError("two rules have one name")
        return self


def read_rules(path: Path) -> RuleBook:
    """The rules of a YAML or JSON file; InputError lists every fault with its place."""
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFoundError(f"There is no file {path}.", fix="Check the path.") from None
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", fix="Name a file of rules."
        ) from None
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise InputError(
            f"{path} cannot be read as YAML: {error}.",
            fix="See `photoorg rules check --help` for an example.",
        ) from None
    try:
        return parse_rules(data)
    except InputError as error:
        raise InputError(f"{path}: {error.message}", fix=error.fix) from None


def parse_rules(data: Any) -> RuleBook:
    """Rules from plain data: {"rules": [...]}, a list of rules, or one rule."""
    if isinstance(data, list):
        data = {"rules": data}
    elif isinstance(data, dict):
        data = data if "rules" in data else {"rules": [data]}
    else:
        raise InputError(
            "There are no rules in it.", fix="See `photoorg rules check --help` for an example."
        )
    _check_fields(data, 0)
    try:
        return RuleBook.model_validate(data)
    except ValidationError as error:
        faults = [f"{_place(e['loc'])}: {e['msg']}" for e in error.errors()]
        raise InputError(
            "The rules are not valid: " + "; ".join(faults[:10]) + ".",
            fix="See `photoorg rules check --help` for an example.",
        ) from None


def _check_fields(node: Any, depth: int) -> None:
    """Refuse fields there are none of by name, nesting no person would write, and NULs."""
    if depth > DEEPEST:
        raise InputError("The rules nest their conditions too deeply.", fix="Use fewer levels.")
    if isinstance(node, dict):
        name = node.get("field")
        if name is not None and (not isinstance(name, str) or name not in FIELDS):
            raise InputError(
                f"There is no field {name!r} to ask for.",
                fix="Fields: " + ", ".join(sorted(FIELDS)) + ".",
            )
        for value in node.values():
            _check_fields(value, depth + 1)
    elif isinstance(node, list):
        for value in node:
            _check_fields(value, depth + 1)
    elif isinstance(node, str) and "\0" in node:
        raise InputError("A text of the rules holds a NUL character.", fix="Take it out.")


def _place(loc: tuple[Any, ...]) -> str:
    kinds = {"number", "text", "time", "yes_no"}
    return ".".join(str(part) for part in loc if part not in kinds) or "(top level)"
