"""Readiness: every part that requests need, looked at side by side."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from photoorg.errors import PhotoOrgError
from photoorg.store.catalog import Catalog
from photoorg.store.objects import ObjectStore
from serve.ports import Check

TIMEOUT_S = 5.0
KEEP_S = 2.0
"""How long an answer is given again without looking: probes come from many sides."""


class Component(Protocol):
    """A part of the service that can say whether it is ready."""

    async def ready(self) -> str:
        """A sentence on what it holds; raises where it cannot serve."""


class HealthChecks:
    """Named looks, each with a time limit; the last answer is kept for two seconds.

    A look that hangs goes on, and no second one is begun beside it.
    """

    def __init__(
        self, looks: Mapping[str, Callable[[], Awaitable[str]]], *, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._looks = dict(looks)
        self._timeout_s = timeout_s
        self._running: dict[str, asyncio.Future[str]] = {}
        self._last: dict[str, Check] = {}
        self._until = 0.0
        self._lock = asyncio.Lock()

    async def checks(self) -> dict[str, Check]:
        """Part name -> how it is; never raises."""
        async with self._lock:
            if time.monotonic() >= self._until:
                found = await asyncio.gather(*map(self._look, self._looks))
                self._last = dict(zip(self._looks, found, strict=True))
                self._until = time.monotonic() + KEEP_S
            return self._last

    async def _look(self, name: str) -> Check:
        look = self._running.get(name)
        if look is None:
            look = self._running[name] = asyncio.ensure_future(self._looks[name]())
            look.add_done_callback(lambda _: self._running.pop(name, None))
        try:
            async with asyncio.timeout(self._timeout_s):
                return Check(True, await asyncio.shield(look))
        except TimeoutError:
            return Check(False, f"No answer within {self._timeout_s:g} s.")
        except PhotoOrgError as error:
            return Check(False, str(error))
        except Exception as error:  # the end of one look: readiness must tell, not fail
            return Check(False, f"{type(error).__name__}: {error}")


def looks(
    catalog: Catalog, store: ObjectStore, embedder: Component, slots: Sequence[Component]
) -> dict[str, Callable[[], Awaitable[str]]]:
    """Database, storage, encoder and shards."""
    # Threads of their own: what else waits in the loop's must not look like a lost database.
    threads = ThreadPoolExecutor(2, thread_name_prefix="health")

    async def database() -> str:
        await asyncio.get_running_loop().run_in_executor(threads, catalog.ping)
        return "answers"

    async def storage() -> str:
        await asyncio.get_running_loop().run_in_executor(threads, store.check)
        return f"{store.root} can be read and written"

    async def encoder() -> str:
        return await embedder.ready()

    async def shards() -> str:
        return "; ".join(await asyncio.gather(*(slot.ready() for slot in slots)))

    return {"database": database, "storage": storage, "encoder": encoder, "shards": shards}
