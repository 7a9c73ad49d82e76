"""What pydantic found wrong with a request, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from serve.api.models import PHOTO_ID

SHOWN = 5
PLACES = ("body", "query", "path")


def tell(errors: Sequence[Mapping[str, Any]]) -> str:
    """The first faults with the paths of their fields, and how many more there are."""
    told = [_line(error) for error in errors[:SHOWN]]
    more = len(errors) - SHOWN
    return "; ".join([*told, f"and {more} more"] if more > 0 else told)


def _line(error: Mapping[str, Any]) -> str:
    loc = list(error["loc"])
    if loc and loc[0] in PLACES:
        del loc[0]
    where = ".".join(str(part) for part in loc)
    message = _message(error)
    return f"{where}: {message}" if where else message


def _message(error: Mapping[str, Any]) -> str:
    if error["type"] in ("model_type", "model_attributes_type", "dataclass_type"):
        return "Input should be an object"
    pattern = (error.get("ctx") or {}).get("pattern")
    if error["type"] == "string_pattern_mismatch" and pattern == PHOTO_ID:
        return "An id is 64 lower-case hexadecimal digits"
    return str(error["msg"]).removeprefix("Value error, ")
