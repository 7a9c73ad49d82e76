"""Errors as problem+json (RFC 9457): one place that turns every failure into the same shape."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from photoorg.errors import PhotoOrgError
from serve.api.faults import tell
from serve.api.models import Problem

MEDIA_TYPE = "application/problem+json"
STATUS: Mapping[str, int] = {
    "input-invalid": 422,
    "forbidden": 403,
    "not-found": 404,
    "too-large": 413,
    "decode-failed": 422,
    "unsupported-media-type": 415,
    "space-mismatch": 409,
    "no-text-search": 422,
    "conflict": 409,
    "encoder-unavailable": 503,
    "index-not-ready": 503,
    "storage-failed": 503,
    "catalog-failed": 503,
    "resources-insufficient": 503,
    "overloaded": 503,
    "request-timeout": 408,
    "deadline-exceeded": 504,
}
"""HTTP status of each error code; any other is 500."""
TITLES = {
    403: "Not allowed",
    404: "Not found",
    405: "Method not allowed",
    408: "The request came too slowly",
    409: "Conflict",
    413: "Too large",
    415: "Unsupported media type",
    422: "The request cannot be processed",
    500: "Internal error",
    503: "Temporarily unavailable",
    504: "No answer in time",
}
RETRY_AFTER_S = "1"


def install(app: FastAPI) -> None:
    """Answer PhotoOrgError, invalid requests, 404 and 405 as problems."""

    @app.exception_handler(PhotoOrgError)
    async def known(request: Request, error: PhotoOrgError) -> Response:
        return of_error(error, request_id(request))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        said = tell(error.errors())
        fix = "Mend the fields named; /docs shows what each operation takes."
        return problem(422, "input-invalid", said, fix, request_id(request))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        code = HTTPStatus(error.status_code).phrase.lower().replace(" ", "-")
        detail = f"{request.method} {request.url.path}: {error.detail}."
        fix = "/docs lists the operations there are." if error.status_code in (404, 405) else ""
        answer = problem(error.status_code, code, detail, fix, request_id(request))
        answer.headers.update(error.headers or {})
        return answer


def of_error(error: PhotoOrgError, request: str) -> Response:
    """The problem that a PhotoOrgError is; details of our own faults stay in the log."""
    status = STATUS.get(error.code, 500)
    answer = problem(status, error.code, error.message, error.fix, request)
    if error.retryable or status == 503:
        answer.headers["Retry-After"] = RETRY_AFTER_S
    return answer


def as_problem(error: PhotoOrgError, request: str) -> Problem:
    """A PhotoOrgError as the part of an answer that is otherwise well."""
    status = STATUS.get(error.code, 500)
    return _problem(status, error.code, error.message, error.fix, request)


def problem(status: int, code: str, detail: str, fix: str, request: str) -> Response:
    """A response of type application/problem+json."""
    body = _problem(status, code, detail, fix, request)
    return Response(body.model_dump_json(), status, media_type=MEDIA_TYPE)


def _problem(status: int, code: str, detail: str, fix: str, request: str) -> Problem:
    return Problem(
        type=f"urn:photoorg:problem:{code}",
        title=TITLES.get(status) or HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        fix=fix,
        request_id=request,
    )


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The OpenAPI entries of the problems an operation can give."""
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        status: {
            "description": TITLES.get(status) or HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": schema}},
        }
        for status in (403, *statuses, 500)
    }


def request_id(request: Request) -> str:
    """The id the Requests middleware gave this request."""
    return str(request.scope.get("photoorg.request_id", ""))
