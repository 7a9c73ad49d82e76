"""Neighbours: what the shards found for photos that are looked at often, kept while it is true."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from photoorg.search.fanout import Found

Key = tuple[str, str, bytes, int, int]
"""Tenant, space, question, how many are sure, and how many there are in all."""


@dataclass(frozen=True, slots=True)
class _Kept:
    """What was found by a query that knew the log up to `seq`."""

    seq: int
    since: float
    found: Found


class Neighbours:
    """Answers of the shards by question, at most `most` of them, the least recently used dropped.

    An answer counts as long as the tenant's log stands where it stood: uploads, deletes, the trash
    and cutovers all write to it, and every query reads its head first. What shards change without
    the log (one that was damaged is whole again) shows after `seconds`. Answers that lack a shard
    are not kept. `hits` and `misses` count the questions.
    """

    def __init__(self, most: int, seconds: float) -> None:
        self._most = most
        self._seconds = seconds
        self._kept: OrderedDict[Key, _Kept] = OrderedDict()
        self.hits = self.misses = 0

    def __len__(self) -> int:
        return len(self._kept)

    async def get(self, key: Key, seq: int, ask: Callable[[], Awaitable[Found]]) -> Found:
        """What was found for the key at position `seq` of the log, asked for if it is not known."""
        kept, now = self._kept.get(key), time.monotonic()
        if kept is not None and kept.seq == seq and now - kept.since <= self._seconds:
            self._kept.move_to_end(key)
            self.hits += 1
            return kept.found
        self.misses += 1
        found = await ask()
        newest = self._kept.get(key)
        # A slow query that began earlier must not replace what a later one found.
        if found.answered == found.total and (newest is None or newest.seq <= seq):
            self._kept[key] = _Kept(seq, now, found)
            self._kept.move_to_end(key)
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found
