"""Fetch a photo from a URL without letting the URL reach anything that is not public."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urljoin, urlsplit

import httpx

from photoorg.errors import InputError, NotFoundError, StorageError, TooLargeError

Resolve = Callable[[str, int], Awaitable[list[str]]]
REDIRECTS = 3
NAT64 = ipaddress.ip_network("64:ff9b::/96")


async def resolve(host: str, port: int) -> list[str]:
    """All addresses of a host name."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


class UrlFetcher:
    """Downloads over http and https.

    Every address a host name resolves to must be public, and the connection goes to the address
    that was checked, so that a second answer of the name server changes nothing. Redirects are
    followed up to three times, each checked again. Proxies from the environment are not used.
    """

    def __init__(
        self,
        *,
        max_bytes: int,
        timeout_s: float,
        allow_private: bool = False,
        resolver: Resolve = resolve,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._max_bytes = max_bytes
        self._timeout_s = timeout_s
        self._allow_private = allow_private
        self._resolve = resolver
        self._transport = transport

    async def fetch(self, url: str) -> bytes:
        """The body at `url`.

        InputError for an address that may not be fetched, NotFoundError for an HTTP error answer,
        TooLargeError over the limit, StorageError if the host does not answer properly in time.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._follow(url)
        except TimeoutError:
            raise StorageError(
                f"{_short(url)} did not arrive within {self._timeout_s:g} s.", retryable=True
            ) from None
        except httpx.HTTPError as error:
            raise StorageError(
                f"{_short(url)} could not be fetched: {type(error).__name__} {error}.".strip(),
                retryable=True,
            ) from None

    async def _follow(self, url: str) -> bytes:
        async with httpx.AsyncClient(
            timeout=self._timeout_s,
            trust_env=False,
            follow_redirects=False,
            transport=self._transport,
            headers={
                "User-Agent": "photoorg",
                "Accept": "image/*, video/*",
                "Accept-Encoding": "identity",
            },
        ) as client:
            for _ in range(REDIRECTS + 1):
                request = await self._request(client, url)
                response = await client.send(request, stream=True)
                try:
                    if not response.has_redirect_location:
                        return await self._body(response, url)
                    url = _joined(url, response.headers["location"])
                finally:
                    await response.aclose()
        raise InputError(f"{_short(url)} redirects more than {REDIRECTS} times.")

    async def _request(self, client: httpx.AsyncClient, url: str) -> httpx.Request:
        """A request to the checked address that still names the host it was asked for."""
        host, port, secure = _parts(url)
        address = await self._checked(host, port)
        try:
            target = httpx.URL(url).copy_with(host=address)
        except (httpx.InvalidURL, ValueError):
            raise _unreadable() from None
        named = f"[{host}]" if ":" in host else host
        default = 443 if secure else 80
        headers = {"Host": named if port == default else f"{named}:{port}"}
        return client.build_request(
            "GET", target, headers=headers, extensions={"sni_hostname": host}
        )

    async def _checked(self, host: str, port: int) -> str:
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError):  # a name that no host can have is the latter
            raise InputError(f"There is no host called {host!r}.", fix="Check the URL.") from None
        if not addresses:
            raise InputError(f"There is no host called {host!r}.", fix="Check the URL.")
        if not self._allow_private:
            for address in addresses:
                if not is_public(address):
                    raise InputError(
                        f"{host!r} is not a public address, so it is not fetched.",
                        fix="Upload the file itself instead.",
                    )
        return addresses[0].partition("%")[0]

    async def _body(self, response: httpx.Response, url: str) -> bytes:
        if response.status_code >= 300:
            raise NotFoundError(
                f"{_short(url)} answered with status {response.status_code}.", fix="Check the URL."
            )
        declared = response.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._max_bytes:
            raise self._too_large(url)
        body = bytearray()
        async for piece in response.aiter_raw():
            body += piece
            if len(body) > self._max_bytes:
                raise self._too_large(url)
        return bytes(body)

    def _too_large(self, url: str) -> TooLargeError:
        return TooLargeError(
            f"{_short(url)} is larger than {self._max_bytes:,} bytes.",
            fix="Fetch a smaller file, or raise serve.max_upload_bytes.",
        )


def is_public(address: str) -> bool:
    """Whether an IP address is on the public internet, also where it wraps an IPv4 address."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo or (None, None))[1]
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if int(ip) >> 32 == 0:
            inner = ipaddress.IPv4Address(int(ip))
        if inner is not None:
            return is_public(str(inner))
        if ip.is_site_local:
            return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def _parts(url: str) -> tuple[str, int, bool]:
    try:
        split = urlsplit(url)
        host, port = split.hostname or "", split.port
    except ValueError:
        raise _unreadable() from None
    if split.scheme not in ("http", "https") or not host:
        raise InputError(
            f"Only http and https URLs are fetched, not {split.scheme or 'this'!r}.",
            fix="Give an http or https URL, or upload the file itself.",
        )
    if split.username or split.password:
        raise InputError("A URL with a user name or password is not fetched.")
    secure = split.scheme == "https"
    return host, port or (443 if secure else 80), secure


def _joined(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError:
        raise _unreadable() from None


def _unreadable() -> InputError:
    return InputError("The URL cannot be read.", fix="Give an http or https URL.")


def _short(url: str) -> str:
    """The URL without its query, which may hold secrets."""
    return url.partition("?")[0][:200]
