"""Around every request: an id, limits of its body, metrics, a log line, an answer in any case."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
import uuid
from datetime import UTC, datetime

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from photoorg.errors import OverloadedError, PhotoOrgError, TooLargeError
from serve.metrics import Metrics
from serve.problems import of_error, problem

log = logging.getLogger("serve.access")
ID = re.compile(r"^[A-Za-z0-9._:/+=-]{1,128}$")
MAX_JSON = 16_000_000
"""What is no form is parsed in memory, of which it takes many times its size."""
LEAST_RATE = 10_000
"""Bytes a second below which a body is not waited for, after its time to begin."""
CLIENT_GONE = 499
"""The status noted, as nginx does, where nobody waits for the answer any more."""


class SlowBodyError(PhotoOrgError):
    """A request's body that does not come."""

    code = "request-timeout"


class Requests:
    """ASGI middleware, outermost. Gives X-Request-ID back, or makes one where none came.

    A body may have `max_body` bytes as a form and MAX_JSON otherwise; it must begin to come within
    `body_timeout_s` and then at LEAST_RATE on average. HEAD is answered as GET without its body.
    `send_id` False leaves the response header to a server that adds it itself, as Ray Serve does.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        max_body: int,
        max_in_flight: int,
        body_timeout_s: float = 20.0,
        send_id: bool = True,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body = max_body
        self._max_in_flight = max_in_flight
        self._body_timeout_s = body_timeout_s
        self._send_id = send_id
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = scope["photoorg.request_id"] = _request_id(scope)
        start, status = time.perf_counter(), 0
        head = scope["method"] == "HEAD"
        inner = {**scope, "method": "GET"} if head else scope
        body = _Body(receive, scope, self._max_body, self._body_timeout_s)

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if body.fault is not None and not body.told:
                return  # whatever was made of half a body
            if head and message["type"] == "http.response.body":
                if message.get("more_body"):
                    return
                message = {**message, "body": b""}
            if message["type"] == "http.response.start":
                status = message["status"]
                if self._send_id:
                    extra = (b"x-request-id", request.encode())
                    message = {**message, "headers": [*message.get("headers", ()), extra]}
            await send(message)

        self._in_flight += 1
        self._metrics.in_flight.set(self._in_flight)
        try:
            self._check_room()
            body.check_declared()
            await self._app(inner, body.receive, send_with_id)
        except (TooLargeError, OverloadedError, SlowBodyError) as error:
            body.fault = error
        except ClientDisconnect:
            status = status or CLIENT_GONE
        except Exception:  # the end of a request: nothing may leave this process but an answer
            logging.getLogger(__name__).exception("request %s failed", request)
            if status:
                raise
            text = "Something went wrong on our side."
            fix = f"Tell the operator the request id {request}."
            await problem(500, "internal", text, fix, request)(scope, receive, send_with_id)
        finally:
            if body.fault is not None and not status:
                body.told = True
                answer = of_error(body.fault, request)
                answer.headers["Connection"] = "close"
                await answer(scope, receive, send_with_id)
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
        self._note(inner, scope["method"], request, status, time.perf_counter() - start)

    def _check_room(self) -> None:
        if self._in_flight > self._max_in_flight:
            raise OverloadedError(
                f"{self._max_in_flight} requests are being answered already.", fix="Try again."
            )

    def _note(self, scope: Scope, method: str, request: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        log.info(
            "%s %s %s",
            method,
            route,
            status,
            extra={
                "fields": {
                    "request_id": request,
                    "method": method,
                    "route": route,
                    "path": scope["path"],
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "tenant": scope.get("photoorg.tenant", ""),
                }
            },
        )


class _Body:
    """A request's body as it comes: not too much of it, and not too slowly.

    `fault` is why it is read no further: what reads it may turn that into something else.
    """

    def __init__(self, receive: Receive, scope: Scope, max_body: int, timeout_s: float) -> None:
        headers = dict(scope["headers"])
        form = headers.get(b"content-type", b"").lower().startswith(b"multipart/form-data")
        self._declared = headers.get(b"content-length", b"")
        self._limit = max_body if form else min(max_body, MAX_JSON)
        self._receive = receive
        self._timeout_s = timeout_s
        self._started: float | None = None
        self._seen = 0
        self._whole = False
        self.fault: PhotoOrgError | None = None
        self.told = False

    def check_declared(self) -> None:
        """TooLargeError where the request says that it is too large."""
        if self._declared.isdigit() and int(self._declared) > self._limit:
            raise _too_large(self._limit)

    async def receive(self) -> Message:
        """The next part; TooLargeError, SlowBodyError."""
        if self._whole:
            return await self._receive()
        try:
            message = await self._next()
            self._seen += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self._seen > self._limit:
                raise _too_large(self._limit)
        except (TooLargeError, SlowBodyError) as error:
            self.fault = error
            raise
        return message

    async def _next(self) -> Message:
        now = time.monotonic()
        started = self._started = now if self._started is None else self._started
        try:
            async with asyncio.timeout(started + self._timeout_s + self._seen / LEAST_RATE - now):
                return await self._receive()
        except TimeoutError:
            raise SlowBodyError(
                f"The request's body did not come: {self._seen:,} bytes in"
                f" {time.monotonic() - started:.0f} s.",
                fix="Send it without pauses, or over a faster line.",
            ) from None


class JsonLines(logging.Formatter):
    """One JSON object a line; `extra={"fields": {...}}` adds keys."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as JSON."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def _request_id(scope: Scope) -> str:
    given = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    return given if ID.match(given) else uuid.uuid4().hex


def _too_large(limit: int) -> TooLargeError:
    return TooLargeError(
        f"The request body is larger than {limit:,} bytes.",
        fix="Send less at once; of a file's upload, raise serve.max_upload_bytes.",
    )


def log_json(level: int = logging.INFO) -> None:
    """Send the logs of photoorg and serve to stderr as JSON lines; once per process."""
    for name in ("photoorg", "serve"):
        logger = logging.getLogger(name)
        if not any(isinstance(h.formatter, JsonLines) for h in logger.handlers):
            # The stream itself: Ray's stand-in for stderr walks the stack at every line.
            handler = logging.StreamHandler(sys.__stderr__)
            handler.setFormatter(JsonLines())
            logger.addHandler(handler)
            logger.setLevel(level)
            logger.propagate = False
