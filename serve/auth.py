"""Who is asking. Until authentication is configured, one tenant, on this machine only."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from photoorg.config import ServeConfig
from photoorg.errors import ConfigError, ForbiddenError
from serve.problems import of_error

TenantOf = Callable[[Request], Awaitable[str]]
NOBODY = "api"
"""Whom the audit log names where no user is known."""


def fixed_tenant(tenant: str) -> TenantOf:
    """A dependency that gives every request to the configured tenant."""

    async def tenant_of(request: Request) -> str:
        request.scope["photoorg.tenant"] = tenant
        return tenant

    return tenant_of


async def user_of(request: Request) -> str:
    """Who is asking: the authenticated user, else the name the client gives itself, else nobody.

    It decides which canary a user sees; a name that nobody vouches for opens nothing.
    """
    known = request.scope.get("photoorg.user")
    return str(known or request.headers.get("x-user-id", ""))[:200]


async def actor_of(request: Request) -> str:
    """Whom the audit log names for a change: the user, where one is known."""
    return await user_of(request) or NOBODY


def require_private(config: ServeConfig) -> None:
    """ConfigError if anyone on the network could reach a server that asks nobody who they are."""
    if is_loopback(config.host) or config.allow_public:
        return
    raise ConfigError(
        f"serve.host is {config.host!r}: without authentication, everyone who can reach this "
        "address could see, add and delete photos.",
        fix="Use 127.0.0.1, or set serve.allow_public: true if something in front of this server "
        "keeps strangers out.",
    )


class SameMachine:
    """ASGI middleware: refuses what strange web pages make a browser on this machine ask.

    Binding to loopback keeps strangers out, but not the pages that a browser here shows. Such a
    page can send forms to any address (cross-site request forgery), and read the answers under a
    name of its own that it lets resolve to 127.0.0.1 (DNS rebinding). The browser tells: Origin
    names the page, Host the name it asked for. A request without them comes from no page.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 unless every name in the request is of this machine."""
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            host = headers.get(b"host", b"").decode("latin-1")
            origin = headers.get(b"origin", b"").decode("latin-1")
            for name, url in ((host, f"//{host}"), (origin, origin)):
                if name and not is_loopback(_hostname(url)):
                    error = ForbiddenError(
                        f"Only this machine is answered, and {name[:200]!r} is not it.",
                        fix="Ask for localhost. If something in front of this server keeps"
                        " strangers out, set serve.allow_public: true.",
                    )
                    request = str(scope.get("photoorg.request_id", ""))
                    await of_error(error, request)(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
