"""The best photos by the postings of words: lists, upper bounds, and a look at the best candidates.

A threshold algorithm (Fagin, Lotem and Naor, 2003): of each word the list of its best postings is
read to some depth; a photo that was met in one list may still have words whose lists were cut. So
photos are looked up in the order of what they may reach at most, with all their words, until enough
of them reach what no other can. Photos of events have the words of their event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from photoorg.search.filter_sql import FOUND, Compiled
from photoorg.store.catalog.connection import Transaction

READ_MOST, READ_PER_WORD = 30_000, 10_000
"""Postings read for one question, of all its words and of each."""
EVENTS_MOST, EVENT_PHOTOS_MOST = 10_000, 500
EVENT_WEIGHT = 0.3
"""Postings of this weight stand for all photos of an event, by its number below 0."""
LOOKED_MOST, FILTERED_MOST = 1_000, 8_000
"""Photos looked up for one question, without and with a filter."""
FIRST_LOOK = 5
"""Photos looked up at first, per photo that is wanted."""
WEIGHTS = {"A": 1.0, "B": 0.4, "C": 0.2, "D": 0.1}
"""As photoorg_postings has them."""
FEW_ALLOWED = 0.005
"""Up to this share of allowed photos these are looked through instead of lists of words."""

LISTS = """
SELECT e.n - 1, h.weight, string_agg(int8send(h.text_no), ''::bytea)
FROM unnest(%(words)s::text[]) WITH ORDINALITY e(word, n),
LATERAL (SELECT p.text_no, p.weight FROM text_postings p
    WHERE p.tenant_id = %(tenant)s AND p.word = e.word COLLATE "C" AND p.text_no >= 0
    ORDER BY p.word DESC, p.weight DESC, p.text_no DESC LIMIT %(most)s) h
GROUP BY e.n, h.weight
"""
EVENTS = """
SELECT e.n - 1, string_agg(int8send(-h.text_no), ''::bytea)
FROM unnest(%(words)s::text[]) WITH ORDINALITY e(word, n),
LATERAL (SELECT p.text_no FROM text_postings p
    WHERE p.tenant_id = %(tenant)s AND p.word = e.word COLLATE "C"
        AND p.weight = %(weight)s::real AND p.text_no < 0
    ORDER BY p.text_no LIMIT %(most)s) h
GROUP BY e.n
"""
NUMBERS = "SELECT min(text_no), max(text_no) FROM photo_texts WHERE tenant_id = %s"
PHOTOS_OF_EVENTS = """
SELECT e.n - 1, t.text_no FROM unnest(%(events)s::bigint[]) WITH ORDINALITY e(id, n),
LATERAL (SELECT l.photo_id FROM event_photos l
    WHERE l.tenant_id = %(tenant)s AND l.event_id = e.id) l
JOIN photo_texts t ON t.tenant_id = %(tenant)s AND t.photo_id = l.photo_id
LIMIT %(most)s
"""
LOOK = f"""
SELECT c.n - 1, encode(t.photo_id, 'hex'), {{said}} FROM
    unnest(%(numbers)s::bigint[]) WITH ORDINALITY c(text_no, n)
JOIN photo_texts t ON t.tenant_id = %(tenant)s AND t.text_no = c.text_no
CROSS JOIN LATERAL (SELECT FROM photos p WHERE p.tenant_id = %(tenant)s
    AND p.photo_id = t.photo_id AND {FOUND} AND {{condition}} OFFSET 0) found
"""
ALLOWED = f"""
SELECT t.text_no, encode(t.photo_id, 'hex'), {{said}}
FROM photos p JOIN photo_texts t ON t.tenant_id = %(tenant)s AND t.photo_id = p.photo_id
WHERE p.tenant_id = %(tenant)s AND {FOUND} AND {{condition}}
"""
HAS = (
    "CASE WHEN NOT t.document @@ %({0})s::tsquery THEN 0 {1} END::real",
    "WHEN t.document @@ %({0}{1})s::tsquery THEN {2}",
)
EVENT_OF = """
    (SELECT l.event_id FROM event_photos l
        WHERE l.tenant_id = %(tenant)s AND l.photo_id = t.photo_id)"""
# Few rows at a time, each by its key: looking them up one by one beats reading tables.
ONE_BY_ONE = (
    "SELECT set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"
)
Row = tuple[str, float, int]
Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Match:
    """A word of photos that a term (by number) of the question is matched with, and how well."""

    term: int
    word: str
    factor: float


@dataclass(slots=True)
class Lists:
    """What was read: of each word its postings by weight, the weight it was cut at, its events.

    `counts` are about how many postings there are of each word, exactly where it was not cut.
    """

    listed: list[tuple[int, float, Ints]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    cut: dict[str, float] = field(default_factory=dict)
    events: dict[str, Ints] = field(default_factory=dict)
    depth: int = 0


def read_lists(tx: Transaction, words: Sequence[str], deepest: int = READ_PER_WORD) -> Lists:
    """The postings of the words, the best and then the newest first, at most `deepest` of each."""
    depth = min(deepest, max(READ_MOST // max(1, len(words)), 1))
    # A list that is cut has one posting more than asked for.
    values = {"tenant": tx.tenant, "words": list(words), "most": depth + 1}
    lists = Lists(depth=depth, counts=dict.fromkeys(words, 0))
    with tx.conn.cursor(binary=True) as cursor:
        for n, weight, packed in cursor.execute(LISTS, values):
            numbers = np.frombuffer(packed, ">i8").astype(np.int64)
            lists.listed.append((n, float(weight), numbers))
            lists.counts[words[n]] += len(numbers)
        more = {"weight": EVENT_WEIGHT, "most": EVENTS_MOST}
        for n, packed in cursor.execute(EVENTS, values | more):
            lists.events[words[n]] = np.frombuffer(packed, ">i8").astype(np.int64)
    for n, weight, _ in lists.listed:
        word = words[n]
        if lists.counts[word] > depth:
            lists.cut[word] = min(weight, lists.cut.get(word, weight))
    if lists.cut:
        first, last = tx.conn.execute(NUMBERS, [tx.tenant]).fetchone() or (0, 0)
        for n, weight, numbers in lists.listed:
            if lists.cut.get(words[n]) == weight:
                # Those that were read are the newest: as dense as these the others are taken to be.
                share = (last - int(numbers.min()) + 1) / (last - first + 1)
                lists.counts[words[n]] += int(len(numbers) * (1 / share - 1))
    for word, events in lists.events.items():
        lists.counts[word] += len(events)
    return lists


def best_photos(
    tx: Transaction,
    matches: Sequence[Match],
    rarity: Mapping[str, float],
    lists: Lists,
    limit: int,
    chosen: Compiled | None = None,
    share: float = 1.0,
) -> tuple[list[Row], bool]:
    """The `limit` best: photo, score, and a bit for each term it matches; and whether that is all.

    `share` is about which share of the photos the filter allows.
    """
    search = _Search(tx, matches, rarity, lists, limit, chosen)
    if chosen is not None and share <= FEW_ALLOWED:
        return search.among_allowed()
    return search.by_lists()


class _Search:
    def __init__(
        self,
        tx: Transaction,
        matches: Sequence[Match],
        rarity: Mapping[str, float],
        lists: Lists,
        limit: int,
        chosen: Compiled | None,
    ) -> None:
        self._tx = tx
        self._lists = lists
        self._limit = limit
        self._condition = "true" if chosen is None else chosen.condition
        self._values = {} if chosen is None else chosen.values
        self._filtered = chosen is not None
        self._terms = 1 + max(m.term for m in matches)
        self._words = list(lists.counts)
        self._boosts: dict[str, list[tuple[int, float]]] = {}
        for m in matches:
            self._boosts.setdefault(m.word, []).append((m.term, m.factor * rarity[m.word]))
        self._by_event: dict[int, Floats] = {}
        for word, events in lists.events.items():
            for event in events.tolist():
                row = self._by_event.setdefault(event, np.zeros(self._terms, np.float32))
                self._add(row, word, EVENT_WEIGHT)

    def among_allowed(self) -> tuple[list[Row], bool]:
        """Every photo that the filter allows, by the words it has."""
        said, values = self._said(self._words)
        sql = ALLOWED.format(said=said, condition=self._condition)
        rows = self._tx.conn.execute(sql.encode(), self._values | values, prepare=False).fetchall()
        value_mt = np.zeros((len(rows), self._terms), np.float32)
        self._complete(value_mt, self._words, rows)
        found = _Found([(value_mt, np.array([r[0] for r in rows], np.int64), [r[1] for r in rows])])
        return found.best(self._limit), found.count() <= self._limit

    def by_lists(self) -> tuple[list[Row], bool]:
        """Photos of the lists, in the order of what they may reach."""
        events_cut = self._expand()
        number_c, value_ct = self._candidates()
        missing_t = np.zeros(self._terms, np.float32)
        for word, weight in self._lists.cut.items():
            self._add(missing_t, word, weight)
        if events_cut:
            for row in self._by_event.values():
                np.maximum(missing_t, row, out=missing_t)
        most_c = np.maximum(value_ct, missing_t).sum(axis=1)
        order = np.lexsort((-number_c, -value_ct.sum(axis=1), -most_c))
        budget = max(FILTERED_MOST if self._filtered else LOOKED_MOST, 3 * self._limit)
        size, start = FIRST_LOOK * self._limit, 0
        found = _Found()
        self._tx.conn.execute(ONE_BY_ONE)
        while start < min(len(order), budget):
            batch = order[start : min(start + size, budget)]
            start, size = start + len(batch), 2 * size
            rows = self._look(number_c[batch])
            at = batch[[r[0] for r in rows]] if rows else batch[:0]
            value_mt = value_ct[at]
            self._complete(value_mt, list(self._lists.cut), rows)
            found.parts.append((value_mt, number_c[at], [r[1] for r in rows]))
            if start < len(order) and found.reached(self._limit) >= float(most_c[order[start]]):
                break
        whole = start >= len(order) and not missing_t.any() and found.count() <= self._limit
        return found.best(self._limit), whole

    def _expand(self) -> bool:
        """Photos of the events of highest score, as lists of their own; whether some are left."""
        self._event_rows: list[tuple[Ints, Floats]] = []
        if not self._by_event:
            return False
        events = sorted(self._by_event, key=lambda e: (-float(self._by_event[e].sum()), -e))
        self._tx.conn.execute(ONE_BY_ONE)
        rows = self._tx.conn.execute(
            PHOTOS_OF_EVENTS,
            {"tenant": self._tx.tenant, "events": events, "most": EVENT_PHOTOS_MOST + 1},
        ).fetchall()
        of_event: dict[int, list[int]] = {}
        for n, number in rows:
            of_event.setdefault(n, []).append(number)
        for n, numbers in of_event.items():
            self._event_rows.append((np.array(numbers, np.int64), self._by_event[events[n]]))
        return len(rows) > EVENT_PHOTOS_MOST

    def _candidates(self) -> tuple[Ints, Floats]:
        """Numbers of photos in any list, and what they are known to have of each term."""
        parts = [numbers for _, _, numbers in self._lists.listed]
        parts += [numbers for numbers, _ in self._event_rows]
        if not parts:
            return np.zeros(0, np.int64), np.zeros((0, self._terms), np.float32)
        number_c, at_n = np.unique(np.concatenate(parts), return_inverse=True)
        value_ct = np.zeros((len(number_c), self._terms), np.float32)
        begin = 0
        for n, weight, numbers in self._lists.listed:
            at = at_n[begin : begin + len(numbers)]
            begin += len(numbers)
            for term, boost in self._boosts[self._words[n]]:
                value_ct[at, term] = np.maximum(value_ct[at, term], np.float32(weight * boost))
        for numbers, row in self._event_rows:
            at = at_n[begin : begin + len(numbers)]
            begin += len(numbers)
            value_ct[at] = np.maximum(value_ct[at], row)
        return number_c, value_ct

    def _look(self, numbers: Ints) -> list[tuple[Any, ...]]:
        said, values = self._said(list(self._lists.cut))
        values |= {**self._values, "numbers": numbers.tolist()}
        sql = LOOK.format(said=said, condition=self._condition)
        return self._tx.conn.execute(sql.encode(), values, prepare=False).fetchall()

    def _said(self, words: Sequence[str]) -> tuple[str, dict[str, Any]]:
        """SQL for the event of a photo and the weight it has each of the words with, 0: not."""
        said = [EVENT_OF if self._by_event else "NULL::bigint"]
        values: dict[str, Any] = {"tenant": self._tx.tenant}
        for n, word in enumerate(words):
            name, lexeme = f"said{n}_", word.replace("\\", "\\\\").replace("'", "''")
            ladder = " ".join(HAS[1].format(name, letter, w) for letter, w in WEIGHTS.items())
            said.append(HAS[0].format(name, ladder))
            values[name] = f"'{lexeme}'"
            values |= {f"{name}{letter}": f"'{lexeme}':{letter}" for letter in WEIGHTS}
        return ", ".join(said), values

    def _complete(
        self, value_mt: Floats, words: Sequence[str], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        """Add to what is known of photos the words they have and those of their events."""
        if words and rows:
            weight_mw = np.array([r[3:] for r in rows], np.float32)
            for at, word in enumerate(words):
                for term, boost in self._boosts[word]:
                    np.maximum(value_mt[:, term], boost * weight_mw[:, at], out=value_mt[:, term])
        if self._by_event:
            for at, row in enumerate(rows):
                if row[2] in self._by_event:
                    np.maximum(value_mt[at], self._by_event[row[2]], out=value_mt[at])

    def _add(self, row: Floats, word: str, weight: float) -> None:
        for term, boost in self._boosts[word]:
            row[term] = max(row[term], weight * boost)


@dataclass(slots=True)
class _Found:
    """Photos that were looked up: what they have of each term, their numbers, their ids."""

    parts: list[tuple[Floats, Ints, list[str]]] = field(default_factory=list)

    def count(self) -> int:
        """How many have any of the terms."""
        return sum(int(value_mt.any(axis=1).sum()) for value_mt, _, _ in self.parts)

    def reached(self, limit: int) -> float:
        """The score of the last of the best `limit`; below all where there are fewer."""
        scores = np.concatenate([value_mt.sum(axis=1) for value_mt, _, _ in self.parts])
        return float(np.partition(scores, -limit)[-limit]) if len(scores) >= limit else -np.inf

    def best(self, limit: int) -> list[Row]:
        """The best: photo, score and a bit for each term; of equals the newest first."""
        if not self.parts:
            return []
        value_mt = np.concatenate([values for values, _, _ in self.parts])
        number_m = np.concatenate([numbers for _, numbers, _ in self.parts])
        ids = [photo_id for _, _, some in self.parts for photo_id in some]
        scores = value_mt.sum(axis=1)
        order = np.lexsort((-number_m, -scores))[:limit]
        return [
            (ids[i], float(scores[i]), sum(1 << int(t) for t in np.flatnonzero(value_mt[i])))
            for i in order.tolist()
            if scores[i] > 0
        ]
