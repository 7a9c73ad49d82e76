"""Keyword search: words of a question to photos, by the postings that the catalog keeps.

A photo's score is the sum over the question's words of weight x rarity: the weight says where the
word was found (title, tags and people 1, caption and albums 0.4, the place or name of its event
0.3, OCR 0.2, file name 0.1), rarity is 1 + ln(10^6 / photos with the word). A word is matched as it
is written and by its stem; as the beginning of a longer word (0.7 of the score, 0.35 where the word
itself is known); where neither is found, as people spell it who have no key for a letter (ae, oe,
ue and ss; 0.9); and at last by trigrams (Jaccard similarity of 0.4 and more, as
pg_trgm measures it; the score is multiplied by it). What a word was read as is never rarer than the
word: else one photo of a carpet would come before all those of cars.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from photoorg.search.filter_sql import FOUND, Compiled
from photoorg.search.postings import Match, best_photos, read_lists
from photoorg.store.catalog.connection import Transaction

MAX_WORDS = 32
PREFIX_MIN, PREFIX_MOST, PREFIX_FACTOR, BESIDE_FACTOR = 3, 16, 0.7, 0.35
DENSE = 0x2E80
"""From this character on, those of Chinese and Japanese among them, one is worth a syllable."""
SPELT = (("ae", "a"), ("oe", "o"), ("ue", "u"), ("ss", "ß"), ("ß", "ss"))
SPELT_FACTOR = 0.9
FUZZY_MIN, FUZZY_MOST, FUZZY_LIKE = 4, 6, 0.4
RARITY_OF = 1e6
LAST = chr(0x10FFFF)

TERMS = """
SELECT word, ts_lexize('english_stem', word)
FROM unnest(string_to_array(photoorg_words(%s), ' ')) WITH ORDINALITY w(word, n)
WHERE word <> '' ORDER BY n LIMIT %s
"""
PREFIXED = """
SELECT t.n - 1, l.word FROM unnest(%(lows)s::text[], %(highs)s::text[]) WITH ORDINALITY
    t(low, high, n),
LATERAL (WITH RECURSIVE e(word) AS (
    (SELECT p.word FROM text_postings p WHERE p.tenant_id = %(tenant)s
        AND p.word > t.low COLLATE "C" AND p.word < t.high COLLATE "C" ORDER BY p.word LIMIT 1)
    UNION ALL
    SELECT (SELECT p.word FROM text_postings p WHERE p.tenant_id = %(tenant)s
        AND p.word > e.word AND p.word < t.high COLLATE "C" ORDER BY p.word LIMIT 1)
    FROM e WHERE e.word IS NOT NULL
) SELECT word FROM e WHERE word IS NOT NULL LIMIT %(most)s) l
"""
FUZZY = """
WITH wanted AS (SELECT gram FROM photoorg_grams(%(word)s)),
shared AS (
    SELECT k.word, count(DISTINCT k.gram) AS n FROM text_grams k
    WHERE k.tenant_id = %(tenant)s AND k.gram IN (SELECT gram FROM wanted) GROUP BY k.word
), likeness AS (
    SELECT word, n::real / ((SELECT count(*) FROM wanted)
        + (SELECT count(*) FROM photoorg_grams(word)) - n) AS alike
    FROM shared WHERE n * 3 >= (SELECT count(*) FROM wanted)
)
SELECT word, alike FROM likeness WHERE alike >= %(like)s ORDER BY alike DESC, word LIMIT %(most)s
"""
THERE = """
SELECT w.word FROM unnest(%(words)s::text[]) w(word) WHERE EXISTS (SELECT FROM text_postings p
    WHERE p.tenant_id = %(tenant)s AND p.word = w.word COLLATE "C")
"""
NEWEST = """
SELECT encode(p.photo_id, 'hex') FROM photos p WHERE p.tenant_id = %(tenant)s AND {condition}
ORDER BY p.captured_at DESC NULLS LAST, p.photo_id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class Words:
    """Photos that match words of a question, best first, with scores and the words they match.

    `notes` tell how words were read (a likeness instead of the word itself, a word left out).
    `whole` says that there are no more.
    """

    ids: tuple[str, ...] = ()
    scores: tuple[float, ...] = ()
    matched: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    whole: bool = True


def find_words(
    tx: Transaction,
    text: str,
    limit: int,
    chosen: Compiled | None = None,
    share: float = 1.0,
) -> Words:
    """The `limit` best photos for the words of `text`, of those that a filter allows.

    A text without words (or of stop words only, which no photo has) finds nothing. `share` is
    about which share of the photos the filter allows; it says where to begin, not what is found.
    """
    terms = _terms(tx, text)
    matches: list[Match] = []
    notes: list[str] = []
    for (word, stem), found in zip(terms, _matches(tx, terms), strict=True):
        matches += found
        alike = [m.word for m in found if m.word not in (word, stem) and m.factor < PREFIX_FACTOR]
        if not found:
            notes.append(f'no photo has the word "{word}"')
        elif alike and len(alike) == len(found):
            notes.append(f'"{word}" was read as {" or ".join(alike[:3])}')
    if not matches:
        return Words(notes=tuple(notes))
    lists = read_lists(tx, list(dict.fromkeys(m.word for m in matches)))
    rarity = {w: 1 + math.log(RARITY_OF / max(1, n)) for w, n in lists.counts.items()}
    matches = _no_rarer(matches, rarity)
    rows, whole = best_photos(tx, matches, rarity, lists, limit, chosen, share)
    if not whole and len(rows) < limit:
        common = " and ".join(f'"{w}"' for w in lists.cut)
        notes.append(f"{common}: very common, only the best {lists.depth} photos of each count")
    names = [word for word, _ in terms]
    return Words(
        tuple(photo_id for photo_id, _, _ in rows),
        tuple(float(score) for _, score, _ in rows),
        {i: tuple(n for t, n in enumerate(names) if hit >> t & 1) for i, _, hit in rows},
        tuple(notes),
        whole,
    )


def newest(tx: Transaction, limit: int, chosen: Compiled) -> Words:
    """The `limit` photos a filter allows that were taken last."""
    sql = NEWEST.format(condition=f"{FOUND} AND {chosen.condition}")
    values = {"tenant": tx.tenant, "limit": limit, **chosen.values}
    ids = tuple(i for (i,) in tx.conn.execute(sql.encode(), values))
    return Words(ids, tuple(0.0 for _ in ids), whole=len(ids) < limit)


def _terms(tx: Transaction, text: str) -> list[tuple[str, str]]:
    """Words and their stems, each word once, without stop words unless there are only those."""
    rows = tx.conn.execute(TERMS, [text, MAX_WORDS]).fetchall()
    kept = [(word, stems[0]) for word, stems in rows if stems]
    return list(dict.fromkeys(kept or [(word, word) for word, _ in rows]))


def _matches(tx: Transaction, terms: Sequence[tuple[str, str]]) -> list[list[Match]]:
    """Of each term the words of photos it stands for."""
    spelt = [[w for one in dict.fromkeys(term) for w in _spellings(one)] for term in terms]
    exact = list(dict.fromkeys(w for term in (*terms, *spelt) for w in term))
    asked = {"tenant": tx.tenant, "words": exact}
    there = {word for (word,) in tx.conn.execute(THERE, asked)}
    begun = [n for n, (word, _) in enumerate(terms) if len(word) >= PREFIX_MIN or _dense(word)]
    lows = [terms[n][0] for n in begun]
    values = {"tenant": tx.tenant, "lows": lows, "highs": [low + LAST for low in lows]}
    longer: dict[int, list[str]] = {}
    for at, word in tx.conn.execute(PREFIXED, values | {"most": PREFIX_MOST}):
        longer.setdefault(begun[at], []).append(word)
    found = []
    for number, (word, stem) in enumerate(terms):
        same = [w for w in dict.fromkeys((word, stem)) if w in there]
        some = [Match(number, w, 1.0) for w in same]
        factor = BESIDE_FACTOR if same else PREFIX_FACTOR
        some += [Match(number, w, factor) for w in longer.get(number, ()) if w not in same]
        some = some or [Match(number, w, SPELT_FACTOR) for w in spelt[number] if w in there]
        found.append(some or _alike(tx, number, word, stem))
    return found


def _spellings(word: str) -> list[str]:
    """Other words that a word may be spelt for; words of photos are without accents."""
    return [word.replace(said, meant) for said, meant in SPELT if said in word]


def _dense(word: str) -> bool:
    return any(ord(letter) >= DENSE for letter in word)


def _no_rarer(matches: Sequence[Match], rarity: Mapping[str, float]) -> list[Match]:
    """The matches, those of a term by a common measure: that of the word itself, if it is known."""
    usual: dict[int, tuple[bool, float]] = {}
    for m in matches:
        # Below all others first by being the word itself, then by how common it is.
        here = (m.factor < 1.0, rarity[m.word])
        usual[m.term] = min(usual.get(m.term, here), here)
    return [
        replace(m, factor=m.factor * min(1.0, usual[m.term][1] / rarity[m.word])) for m in matches
    ]


def _alike(tx: Transaction, number: int, word: str, stem: str) -> list[Match]:
    """Words that a misspelt one is like."""
    if len(word) < FUZZY_MIN:
        return []
    # Photos' words are kept as stems: compare like with like.
    values = {"tenant": tx.tenant, "word": stem, "like": FUZZY_LIKE, "most": FUZZY_MOST}
    rows = tx.conn.execute(FUZZY, values).fetchall()
    return [Match(number, w, min(0.69, float(alike))) for w, alike in rows]
