"""Around every request: an id, a size limit, metrics, one log line, an answer whatever breaks."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
import uuid
from datetime import UTC, datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from photoorg.errors import OverloadedError, TooLargeError
from serve.metrics import Metrics
from serve.problems import of_error, problem

log = logging.getLogger("serve.access")
ID = re.compile(r"^[A-Za-z0-9._:/+=-]{1,128}$")


class Requests:
    """ASGI middleware, outermost. Gives X-Request-ID back, or makes one where none came.

    `send_id` False leaves the response header to a server that adds it itself, as Ray Serve does.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        metrics: Metrics,
        max_body: int,
        max_in_flight: int,
        send_id: bool = True,
    ) -> None:
        self._app = app
        self._metrics = metrics
        self._max_body = max_body
        self._max_in_flight = max_in_flight
        self._send_id = send_id
        self._in_flight = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI asks."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = scope["photoorg.request_id"] = _request_id(scope)
        start, status = time.perf_counter(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
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
            await self._app(scope, self._limited(scope, receive), send_with_id)
        except (TooLargeError, OverloadedError) as error:
            if not status:
                answer = of_error(error, request)
                answer.headers["Connection"] = "close"
                await answer(scope, receive, send_with_id)
        except Exception:  # the end of a request: nothing may leave this process but an answer
            logging.getLogger(__name__).exception("request %s failed", request)
            if status:
                raise
            text = "Something went wrong on our side."
            fix = f"Tell the operator the request id {request}."
            await problem(500, "internal", text, fix, request)(scope, receive, send_with_id)
        finally:
            self._in_flight -= 1
            self._metrics.in_flight.set(self._in_flight)
        self._note(scope, request, status, time.perf_counter() - start)

    def _check_room(self) -> None:
        if self._in_flight > self._max_in_flight:
            raise OverloadedError(
                f"{self._max_in_flight} requests are being answered already.", fix="Try again."
            )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        """`receive` that raises TooLargeError as soon as the body is known to be too large."""
        limit = self._max_body
        headers = dict(scope["headers"])
        declared = headers.get(b"content-length", b"")
        if declared.isdigit() and int(declared) > limit:
            raise _too_large(limit)
        seen = 0

        async def limited() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > limit:
                raise _too_large(limit)
            return message

        return limited

    def _note(self, scope: Scope, request: str, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.seconds.labels(scope["method"], route).observe(seconds)
        log.info(
            "%s %s %s",
            scope["method"],
            route,
            status,
            extra={
                "fields": {
                    "request_id": request,
                    "method": scope["method"],
                    "route": route,
                    "path": scope["path"],
                    "status": status,
                    "ms": round(seconds * 1000, 2),
                    "tenant": scope.get("photoorg.tenant", ""),
                }
            },
        )


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
        fix="Send a smaller file, or raise serve.max_upload_bytes.",
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
