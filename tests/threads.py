"""Work that several threads do at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier


def at_once(*works: Callable[[], object]) -> None:
    """Begin all of them together and wait for all; what one of them raises is raised here."""
    start = Barrier(len(works))

    def begin(work: Callable[[], object]) -> None:
        start.wait()
        work()

    with ThreadPoolExecutor(len(works)) as pool:
        begun = [pool.submit(begin, work) for work in works]
    for one in begun:
        one.result()
