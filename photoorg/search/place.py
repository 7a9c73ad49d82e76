"""Place: where a slot holds one tenant's shards in one space."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from photoorg.search.live import LiveShards
from photoorg.space import EmbeddingSpace

FORMER_S = 10.0
"""How long queries that began before a switch are still answered as before it."""


@dataclass(slots=True)
class Place:
    """Where one tenant's shards in one space are held; `lock` guards every change of them.

    `shards` are searched. `spare` is a version that waits for its cutover. `former` is the one from
    before the last cutover, at position `switched` of the log: a query that began earlier gets its
    answer there from every slot, so that no answer is a mixture of two versions.
    """

    space: EmbeddingSpace
    lock: threading.Lock = field(default_factory=threading.Lock)
    shards: LiveShards | None = None
    spare: LiveShards | None = None
    former: LiveShards | None = None
    switched: int = 0
    switched_at: float = 0.0
    used: float = 0.0
    loaded: float = 0.0

    def at(self, seq: int) -> LiveShards | None:
        """The shards that answer a query which knows the log up to `seq` (0: any)."""
        former = self.former
        return former if former is not None and self.before(seq) else self.shards

    def before(self, seq: int) -> bool:
        """Whether such a query began before the last cutover."""
        return self.former is not None and 0 < seq < self.switched

    def held(self) -> list[LiveShards]:
        """Everything in memory."""
        return [s for s in (self.shards, self.spare, self.former) if s is not None]

    def switch(self, spare: LiveShards, seq: int) -> None:
        """Let the spare serve from position `seq` of the log on; the caller holds the lock."""
        self.former, self.switched = self.shards, seq
        self.switched_at = time.monotonic()
        self.shards, self.spare = spare, None

    def drop_former(self) -> None:
        """Let go of what served before, once no query can ask for it any more."""
        former = self.former
        if former is None or time.monotonic() - self.switched_at <= FORMER_S:
            return
        with self.lock:
            self.former = None
        if self.shards is None or former.version != self.shards.version:
            former.forget_files()
