"""Reading bodies that may be multipart or JSON."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from photoorg.errors import InputError, UnsupportedMediaError
from serve.api.faults import tell
from serve.api.strict import require_known

M = TypeVar("M", bound=BaseModel)


def media_type(request: Request) -> str:
    """The body's declared type in lower case, without parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def wrong_type(request: Request, *allowed: str) -> UnsupportedMediaError:
    """The error for a body of a type an operation does not take."""
    return UnsupportedMediaError(
        f"A body of type {media_type(request) or '(none)'!r} is not taken here.",
        fix=f"Send {' or '.join(allowed)}.",
    )


async def json_body(request: Request, model: type[M]) -> M:
    """The body as `model`; InputError says which field is wrong."""
    try:
        return model.model_validate_json(await request.body())
    except ValidationError as error:
        raise InputError(explain(error), fix="Mend the fields named.") from None


@asynccontextmanager
async def form(request: Request, *names: str) -> AsyncIterator[FormData]:
    """The multipart form, its temporary files gone afterwards.

    InputError if it is malformed or has a field that is none of `names`.
    """
    try:
        data = await request.form(max_files=1, max_fields=len(names) + 8)
    except HTTPException as error:
        told = str(error.detail).rstrip(".")
        raise InputError(
            f"The form cannot be read: {told}.", fix="Send multipart/form-data as browsers do."
        ) from None
    try:
        require_known(data, names, "form field")
        yield data
    finally:
        await data.close()


async def file_of(data: FormData, *names: str) -> tuple[bytes, str]:
    """Bytes and file name of the first of the named parts; InputError if there is none or empty."""
    part = next((data[name] for name in names if name in data), None)
    if part is not None and not isinstance(part, UploadFile):
        raise InputError(
            f"The form's field {names[0]!r} is no file.",
            fix="Attach the image as a file, with a name.",
        )
    if part is None:
        raise InputError(f"The form has no file called {names[0]!r}.", fix="Attach the image.")
    content = await part.read()
    if not content:
        raise InputError("The file is empty.", fix="Attach the image.")
    return content, part.filename or ""


def field(data: FormData, name: str, model: type[M]) -> M | None:
    """A form field that holds JSON, as `model`; None if it is not there."""
    text = data.get(name)
    if text is None or text == "":
        return None
    try:
        return model.model_validate(json.loads(str(text)))
    except ValidationError as error:
        raise InputError(
            f"{name}: {explain(error)}", fix="/docs shows what the field takes."
        ) from None
    except (ValueError, RecursionError):
        raise InputError(
            f"{name} is not valid JSON.", fix="/docs shows what the field takes."
        ) from None


def number(data: FormData, name: str) -> int | None:
    """A form field that holds a whole number; None if it is not there."""
    text = data.get(name)
    if text is None or text == "":
        return None
    try:
        return int(str(text))
    except ValueError:
        raise InputError(
            f"{name} must be a whole number.", fix="/docs shows what the field takes."
        ) from None


def text_of(data: FormData, name: str) -> str | None:
    """A form field as text; None if it is not there or empty."""
    value = data.get(name)
    return str(value) if value is not None and value != "" else None


def explain(error: ValidationError) -> str:
    """The first faults with the paths of their fields."""
    return tell(error.errors())


def request_body(**content: type[BaseModel] | dict[str, Any]) -> dict[str, Any]:
    """`openapi_extra` for a body that is read by hand; keys are `json` and `form`."""
    types = {"json": "application/json", "form": "multipart/form-data"}
    shown = {}
    for key, model in content.items():
        schema = model if isinstance(model, dict) else inline(model)
        shown[types[key]] = {"schema": schema}
    return {"requestBody": {"required": True, "content": shown}}


def inline(model: type[BaseModel]) -> dict[str, Any]:
    """The model's JSON schema without references."""
    schema = model.model_json_schema()
    defs = schema.pop("$defs", {})
    if "$ref" in schema:
        schema = _cut(model.__name__, defs[model.__name__])
    # A model that holds itself cannot be written out to the end.
    inner = {name: _cut(name, found) for name, found in defs.items()}
    resolved: dict[str, Any] = _resolved(schema, inner)
    return resolved


def _cut(name: str, schema: Any) -> Any:
    """A definition in which each reference to itself is any object."""
    if isinstance(schema, dict):
        if schema.get("$ref", "").rsplit("/", 1)[-1] == name:
            return {"type": "object", "description": f"Again a {name}."}
        return {key: _cut(name, value) for key, value in schema.items()}
    return [_cut(name, item) for item in schema] if isinstance(schema, list) else schema


def _resolved(node: Any, defs: Mapping[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            rest = {k: v for k, v in node.items() if k != "$ref"}
            return {**_resolved(defs[node["$ref"].rsplit("/", 1)[1]], defs), **rest}
        return {key: _resolved(value, defs) for key, value in node.items()}
    return [_resolved(item, defs) for item in node] if isinstance(node, list) else node
