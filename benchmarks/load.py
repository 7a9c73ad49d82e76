"""A load generator in a process of its own: keep-alive clients that each wait for their answer.

python -m benchmarks.load URL PATHS CLIENTS SECONDS prints one JSON line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

WAIT_S = 30.0


class Client:
    """One HTTP/1.1 connection; as little work as possible, so that the server gets the cores."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> tuple[int, bytes]:
        """Status and body."""
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        fields = head.lower()
        length = int(fields.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        body = await reader.readexactly(length)
        if b"connection: close" in fields:
            self.close()
        return int(head[9:12]), body

    def close(self) -> None:
        """Drop the connection; the next request opens another."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def run(url: str, paths: list[str], clients: int, seconds: float) -> dict[str, float]:
    """Requests a second and latencies; an answer that is not 200, whole and full is an error."""
    place = urlsplit(url)
    assert place.hostname and place.port
    host, port = place.hostname, place.port
    times: list[float] = []
    errors = 0
    end = time.perf_counter() + seconds

    async def work(first: int) -> None:
        nonlocal errors
        client = Client(host, port)
        at = first
        while time.perf_counter() < end:
            started = time.perf_counter()
            try:
                async with asyncio.timeout(WAIT_S):
                    status, body = await client.get(paths[at % len(paths)])
                good = status == 200 and _full(body)
            except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError, IndexError):
                client.close()
                good = False
            times.append(time.perf_counter() - started)
            errors += not good
            at += clients
        client.close()

    started = time.perf_counter()
    await asyncio.gather(*(work(n) for n in range(clients)))
    took = time.perf_counter() - started
    times.sort()
    return {
        "rps": (len(times) - errors) / took,
        "p50_ms": 1000 * times[len(times) // 2],
        "p95_ms": 1000 * times[int(len(times) * 0.95)],
        "p99_ms": 1000 * times[int(len(times) * 0.99)],
        "requests": len(times),
        "errors": errors,
    }


def _full(body: bytes) -> bool:
    """All results of all shards; looked at as text, since parsing would take the server's time."""
    return body.count(b'"photo_id"') >= 20 and b'"partial":true' not in body


def main() -> None:
    """Run and print."""
    url, paths, clients, seconds = sys.argv[1:5]
    lines = Path(paths).read_text().splitlines()
    print(json.dumps(asyncio.run(run(url, lines, int(clients), float(seconds)))))


if __name__ == "__main__":
    main()
