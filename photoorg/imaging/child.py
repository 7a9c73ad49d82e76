"""One child process that answers requests over pipes within a time limit, or is killed."""

from __future__ import annotations

import os
import selectors
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import photoorg

_HEAD = struct.Struct(">II")
_CHUNK = 1 << 20
_START_SECONDS = 60.0
_MAX_REQUESTS = 1_000


class ChildTimeoutError(Exception):
    """The child did not answer in time; it has been killed."""


class ChildCrashedError(Exception):
    """The child ended instead of answering."""


class ChildStartError(Exception):
    """The child did not come up; its program or this machine is at fault, not the request."""


class Child:
    """A running `python -m module argument`; not to be shared between threads.

    Both directions carry frames: two big-endian 32-bit lengths, a head and a body. The child sends
    an empty frame when it is up, then one answer per request. It is spent after a timeout, a
    crash, or 1,000 requests (native decoders leak).
    """

    def __init__(self, module: str, argument: str, seconds: float) -> None:
        self._seconds = seconds
        self._requests = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=_environment(),
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in = self._process.stdin.fileno()
        self._out = self._process.stdout.fileno()
        os.set_blocking(self._in, False)
        os.set_blocking(self._out, False)

    def usable(self) -> bool:
        """Whether another request may be sent."""
        return self._process.poll() is None and self._requests < _MAX_REQUESTS

    def close(self) -> None:
        """Kill it and wait until it is gone; harmless when it already is."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None and not pipe.closed:
                os.set_blocking(pipe.fileno(), True)
                pipe.close()

    def ask(self, head: bytes, body: bytes) -> tuple[bytes, bytes]:
        """The head and body of the answer; the first request also waits for the child to be up.

        Raises ChildTimeoutError, ChildCrashedError or ChildStartError; the child is then gone.
        """
        try:
            if self._requests == 0:
                self._await_start()
            self._requests += 1
            return self._exchange([_HEAD.pack(len(head), len(body)), head, body], self._seconds)
        except (BrokenPipeError, ConnectionError):
            self.close()
            raise ChildCrashedError from None
        except (ChildTimeoutError, ChildCrashedError, ChildStartError):
            self.close()
            raise

    def _await_start(self) -> None:
        try:
            self._exchange([], _START_SECONDS)
        except (ChildTimeoutError, ChildCrashedError):
            raise ChildStartError from None

    def _exchange(self, request: Sequence[bytes], seconds: float) -> tuple[bytes, bytes]:
        deadline = time.monotonic() + seconds
        unsent = [memoryview(part) for part in request if part]
        received = bytearray()
        with selectors.DefaultSelector() as ready:
            if unsent:
                ready.register(self._in, selectors.EVENT_WRITE)
            ready.register(self._out, selectors.EVENT_READ)
            while (missing := _missing(received)) > 0:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise ChildTimeoutError
                for key, _ in ready.select(left):
                    if key.fd == self._out:
                        received += self._receive(min(missing, _CHUNK))
                    elif not self._send(unsent):
                        ready.unregister(self._in)
        head, _ = _HEAD.unpack_from(received)
        return bytes(received[8 : 8 + head]), bytes(received[8 + head :])

    def _receive(self, size: int) -> bytes:
        part = os.read(self._out, size)
        if not part:
            raise ChildCrashedError
        return part

    def _send(self, unsent: list[memoryview]) -> bool:
        """Write what the pipe takes; False when nothing is left."""
        sent = os.write(self._in, unsent[0][:_CHUNK])
        unsent[0] = unsent[0][sent:]
        if len(unsent[0]) == 0:
            unsent.pop(0)
        return bool(unsent)


def _missing(received: bytearray) -> int:
    if len(received) < _HEAD.size:
        return _HEAD.size - len(received)
    head, body = _HEAD.unpack_from(received)
    size: int = head + body
    return _HEAD.size + size - len(received)


def _environment() -> dict[str, str]:
    """Ours, with this package importable and one thread per library: threads reserve memory."""
    home = str(Path(photoorg.__file__).resolve().parent.parent)
    paths = [home, *filter(None, [os.environ.get("PYTHONPATH")])]
    single = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return {**os.environ, **single, "PYTHONPATH": os.pathsep.join(paths), "PYTHONSAFEPATH": "1"}
