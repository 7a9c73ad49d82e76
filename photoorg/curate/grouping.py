"""Groups of bounded diameter from scored pairs: stars, not chains.

Being near-duplicate is not transitive, so connected components join strangers. Here a photo with
the most undecided partners becomes a centre and takes those partners, then the next; every member
is paired with the keeper at the threshold or above. The same input gives the same groups.
"""

from __future__ import annotations

import heapq
from collections.abc import Set
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int32]
TRIED = 8
"""So many of the best-ranked members are tried as keeper; else the centre stays."""


@dataclass(frozen=True, slots=True)
class Star:
    """A keeper and the members paired with it, best first; `pairs` are their pairs' numbers."""

    keeper: int
    members: tuple[int, ...]
    pairs: tuple[int, ...]


def stars(
    first: Rows,
    second: Rows,
    confidence: NDArray[np.floating],
    rank: Rows,
    *,
    apart: Set[tuple[int, int]] = frozenset(),
) -> list[Star]:
    """Groups from pairs that are all at or above the threshold; every photo in one at most.

    `rank` [photos] orders keepers, smaller first. Two photos in `apart` (smaller row first) never
    share a group. Time and memory are linear in the number of pairs.
    """
    graph = _Graph(first, second)
    free = np.ones(len(graph.nodes), np.bool_)
    degree = np.diff(graph.starts)
    order = rank[graph.nodes]
    heap = [(-int(d), int(r), n) for n, (d, r) in enumerate(zip(degree, order, strict=True))]
    heapq.heapify(heap)
    found = []
    while heap:
        count, place, centre = heapq.heappop(heap)
        if not free[centre]:
            continue
        near, pairs = graph.partners(centre)
        left = free[near]
        near, pairs = near[left], pairs[left]
        if len(near) != -count:
            if len(near):
                heapq.heappush(heap, (-len(near), place, centre))
            continue
        best = np.lexsort((order[near], -confidence[pairs]))
        members = _allowed(graph, centre, near[best], apart)
        if not members:
            continue
        found.append(_star(graph, centre, members, order))
        free[[centre, *members]] = False
    found.sort(key=lambda star: int(rank[star.keeper]))
    return found


def _allowed(graph: _Graph, centre: int, near: Rows, apart: Set[tuple[int, int]]) -> list[int]:
    """Members in order, without those that may not meet one taken before."""
    if not apart:
        return [int(n) for n in near]
    taken = [centre]
    for node in near.tolist():
        row = int(graph.nodes[node])
        rows = [int(graph.nodes[n]) for n in taken]
        if not any((min(row, r), max(row, r)) in apart for r in rows):
            taken.append(node)
    return taken[1:]


def _star(graph: _Graph, centre: int, members: list[int], order: Rows) -> Star:
    """The best-ranked of the group that is paired with every other one; the centre always is."""
    group = [centre, *members]
    for node in sorted(group, key=lambda n: int(order[n]))[:TRIED]:
        near, pairs = graph.partners(node)
        known = dict(zip(near.tolist(), pairs.tolist(), strict=True))
        others = [n for n in group if n != node]
        if all(n in known for n in others):
            return _made(graph, node, others, known)
    near, pairs = graph.partners(centre)
    return _made(graph, centre, members, dict(zip(near.tolist(), pairs.tolist(), strict=True)))


def _made(graph: _Graph, keeper: int, others: list[int], pairs: dict[int, int]) -> Star:
    rows = tuple(int(graph.nodes[n]) for n in others)
    return Star(int(graph.nodes[keeper]), rows, tuple(pairs[n] for n in others))


def layered(
    first: Rows,
    second: Rows,
    confidence: NDArray[np.floating],
    burst: NDArray[np.bool_],
    rank: Rows,
    *,
    apart: Set[tuple[int, int]] = frozenset(),
) -> list[Star]:
    """Groups of duplicates, then groups of bursts of the photos that are in none.

    Taken together, a shot between two others would draw the copies of both into one group that says
    nothing of which are copies. Otherwise as stars().
    """
    found: list[Star] = []
    taken = np.zeros(len(rank), np.bool_)
    for layer in (~burst, burst):
        places = np.flatnonzero(layer & ~taken[first] & ~taken[second])
        made = stars(first[places], second[places], confidence[places], rank, apart=apart)
        found += [replace(s, pairs=tuple(int(places[p]) for p in s.pairs)) for s in made]
        taken[[row for star in made for row in (star.keeper, *star.members)]] = True
    found.sort(key=lambda star: int(rank[star.keeper]))
    return found


class _Graph:
    """Pairs as lists of neighbours, over those photos that are in a pair."""

    def __init__(self, first: Rows, second: Rows) -> None:
        ends = np.concatenate([first, second])
        self.nodes, numbers = np.unique(ends, return_inverse=True)
        to = np.concatenate([numbers[len(first) :], numbers[: len(first)]])
        order = np.argsort(numbers, kind="stable")
        self._to = to[order]
        self._pairs = np.tile(np.arange(len(first)), 2)[order]
        self.starts = np.searchsorted(numbers[order], np.arange(len(self.nodes) + 1))

    def partners(self, node: int) -> tuple[Rows, NDArray[np.int64]]:
        """Neighbours of a node and the numbers of the pairs that make them so."""
        part = slice(self.starts[node], self.starts[node + 1])
        return self._to[part], self._pairs[part]
