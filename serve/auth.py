"""Who is asking. Until authentication is configured, one tenant, on this machine only."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable

from fastapi import Request

from photoorg.config import ServeConfig
from photoorg.errors import ConfigError

TenantOf = Callable[[Request], Awaitable[str]]


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


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect to a server bound to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
