from __future__ import annotations

import asyncio

import httpx
import pytest

from photoorg.errors import InputError, NotFoundError, StorageError, TooLargeError
from serve.fetch import UrlFetcher, is_public, resolve

PUBLIC = "93.184.216.34"


def stream(data: bytes) -> httpx.Response:
    async def pieces():
        yield data

    return httpx.Response(200, content=pieces())


def fetcher(handler, addresses=None, **options) -> UrlFetcher:
    names = {"example.org": [PUBLIC], **(addresses or {})}

    async def resolver(host: str, port: int) -> list[str]:
        if host not in names:
            raise OSError("unknown host")
        return names[host]

    options = {"max_bytes": 1000, "timeout_s": 5.0, **options}
    return UrlFetcher(resolver=resolver, transport=httpx.MockTransport(handler), **options)


async def test_the_connection_goes_to_the_checked_address_and_names_the_host():
    seen = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return stream(b"image")

    assert await fetcher(answer).fetch("https://example.org/a.jpg?x=1") == b"image"
    (request,) = seen
    assert request.url.host == PUBLIC and request.url.path == "/a.jpg"
    assert request.headers["host"] == "example.org"
    assert request.extensions["sni_hostname"] == "example.org"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::127.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b:1::7f00:1",
        "2002:7f00:1::",
        "nonsense",
    ],
)
async def test_addresses_that_are_not_public_are_never_connected_to(address):
    assert not is_public(address)

    def answer(request: httpx.Request) -> httpx.Response:
        raise AssertionError("a connection was made")

    with pytest.raises(InputError, match="public"):
        await fetcher(answer, {"evil.org": [address]}).fetch("http://evil.org/")
    with pytest.raises(InputError, match="public"):
        await fetcher(answer, {"evil.org": [PUBLIC, address]}).fetch("http://evil.org/")


@pytest.mark.parametrize("address", [PUBLIC, "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
def test_public_addresses_are_public(address):
    assert is_public(address)


async def test_a_redirect_to_a_private_host_is_not_followed():
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers={"location": "http://metadata/latest"})

    with pytest.raises(InputError, match="public"):
        await fetcher(answer, {"metadata": ["169.254.169.254"]}).fetch("http://example.org/")


async def test_redirects_are_followed_three_times():
    def answer(request: httpx.Request) -> httpx.Response:
        step = int(request.url.path.strip("/") or 0)
        if step == 3:
            return stream(b"done")
        return httpx.Response(302, headers={"location": f"/{step + 1}"})

    assert await fetcher(answer).fetch("http://example.org/0") == b"done"
    with pytest.raises(InputError, match="redirects more than 3"):
        await fetcher(answer).fetch("http://example.org/-1")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/a",
        "gopher://example.org/",
        "http:///a",
        "http://user:secret@example.org/",
        "http://[bad/",
        "http://example.org:99999/",
        "not a url",
    ],
)
async def test_urls_that_may_not_be_fetched_are_refused(url):
    with pytest.raises(InputError):
        await fetcher(lambda request: httpx.Response(200)).fetch(url)


async def test_hosts_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match=r"nowhere\.org"):
        await fetcher(lambda request: httpx.Response(200)).fetch("http://nowhere.org/")


async def test_bodies_over_the_limit_are_cut_off_declared_or_not():
    async def endless():
        for _ in range(10_000):
            yield bytes(100)
        raise AssertionError("read to the end")

    declared = fetcher(lambda r: httpx.Response(200, headers={"content-length": "5000"}))
    with pytest.raises(TooLargeError):
        await declared.fetch("http://example.org/")
    with pytest.raises(TooLargeError):
        await fetcher(lambda r: httpx.Response(200, content=endless())).fetch("http://example.org/")


async def test_a_host_that_never_ends_is_given_up():
    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(60)
        return httpx.Response(200)

    with pytest.raises(StorageError) as error:
        await fetcher(slow, timeout_s=0.05).fetch("http://example.org/a?token=secret")
    assert error.value.retryable and "secret" not in str(error.value)


async def test_an_error_page_is_no_photo():
    with pytest.raises(NotFoundError, match="404"):
        await fetcher(lambda r: httpx.Response(404)).fetch("http://example.org/")


async def test_a_real_private_server_is_reached_only_where_that_is_allowed():
    async def serve_once(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nimage")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve_once, "127.0.0.1", 0)
    url = f"http://localhost:{server.sockets[0].getsockname()[1]}/a.jpg"

    async def ipv4(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with server:
        strict = UrlFetcher(max_bytes=100, timeout_s=5)
        with pytest.raises(InputError, match="public"):
            await strict.fetch(url)
        open_ = UrlFetcher(max_bytes=100, timeout_s=5, allow_private=True, resolver=ipv4)
        assert await open_.fetch(url) == b"image"


@pytest.mark.parametrize(
    "location",
    [
        "http://[bad/",
        "http://example.org/\x01",
        "http://" + "a" * 70 + ".org/",
        "http://a..org/",
        "http://example.org/" + "a" * 70_000,
    ],
)
async def test_a_redirect_to_what_is_no_url_is_refused_in_a_sentence(location):
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(302, headers=[(b"location", location.encode())])

    async def names(host: str, port: int) -> list[str]:
        return [PUBLIC] if host == "example.org" else await resolve(host, port)

    fetch = UrlFetcher(
        max_bytes=1000, timeout_s=5, resolver=names, transport=httpx.MockTransport(answer)
    )
    with pytest.raises((InputError, StorageError), match=r"example|URL|host"):
        await fetch.fetch("http://example.org/")


async def test_a_name_that_no_host_can_have_is_refused():
    fetch = UrlFetcher(max_bytes=1000, timeout_s=5)
    with pytest.raises(InputError, match="no host"):
        await fetch.fetch("http://" + "a" * 70 + ".org/a.jpg")
