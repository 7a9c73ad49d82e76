"""The best photos by postings are those that a look at every photo finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random

import pytest

from photoorg.search.filter_sql import compile_filter
from photoorg.search.filters import Filter, Range
from photoorg.search.postings import Match, best_photos, read_lists
from photoorg.search.text import find_words
from photoorg.store.catalog import Catalog, Transaction, photos, trash
from tests.catalog import rows

pytestmark = pytest.mark.postgres
T = "a"
WORDS = ("cat", "dog", "tree", "boat", "lamp", "rose")
CHANCE = (0.9, 0.7, 0.5, 0.2, 0.05, 0.02)
FIELDS = ("title", "caption", "ocr_text")
COUNT, K = 240, 15


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    draw = Random(3)
    with catalog.tenant(T) as tx:
        made = [rows.photo(f"p{n}", quality=n / COUNT) for n in range(COUNT)]
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        for n in range(COUNT):
            said: dict[str, list[str]] = {}
            for word, chance in zip(WORDS, CHANCE, strict=True):
                if draw.random() < chance:
                    said.setdefault(draw.choice(FIELDS), []).append(word)
            for field, words in said.items():
                tx.conn.execute(
                    f"UPDATE photos SET {field} = %s WHERE photo_id = decode(%s, 'hex')".encode(),
                    [" ".join(words), rows.photo_id(f"p{n}")],
                )
    return catalog


def event(tx: Transaction, place: str, numbers: range) -> None:
    (made,) = tx.conn.execute(
        "INSERT INTO events (tenant_id, place) VALUES (%s, %s) RETURNING event_id", [T, place]
    ).fetchone() or (0,)
    for n in numbers:
        tx.conn.execute(
            "INSERT INTO event_photos (tenant_id, photo_id, event_id)"
            " VALUES (%s, decode(%s, 'hex'), %s)",
            [T, rows.photo_id(f"p{n}"), made],
        )


def by_hand(tx: Transaction, rarity: Mapping[str, float], least: float = 0.0) -> dict[str, float]:
    """The score of every photo, from its words and those of its event."""
    found = tx.conn.execute(
        "SELECT encode(t.photo_id, 'hex'), f.word, f.weight FROM photo_texts t"
        " JOIN photos p USING (tenant_id, photo_id), photoorg_postings(t.document) f"
        " WHERE p.quality >= %(least)s::real AND p.trashed_at IS NULL"
        " UNION ALL SELECT encode(l.photo_id, 'hex'), v.word, v.weight FROM text_postings v"
        " JOIN event_photos l ON l.event_id = -v.text_no JOIN photos p ON p.photo_id = l.photo_id"
        " WHERE p.quality >= %(least)s::real AND p.trashed_at IS NULL",
        {"least": least},
    ).fetchall()
    best: dict[tuple[str, str], float] = {}
    for photo, word, weight in found:
        if word in rarity:
            best[photo, word] = max(best.get((photo, word), 0.0), weight * rarity[word])
    scores: dict[str, float] = {}
    for (photo, _), value in best.items():
        scores[photo] = scores.get(photo, 0.0) + value
    return scores


def ask(
    catalog: Catalog, words: tuple[str, ...], depth: int, least: float = 0.0, share: float = 1.0
) -> tuple[list[tuple[str, float, int]], bool, dict[str, float]]:
    matches = [Match(n, word, 1.0) for n, word in enumerate(words)]
    chosen = compile_filter(Filter(quality=Range(min=least))) if least else None
    with catalog.tenant(T) as tx:
        lists = read_lists(tx, words, depth)
        rarity = {w: 1 + math.log(1e6 / max(1, n)) for w, n in lists.counts.items()}
        found, whole = best_photos(tx, matches, rarity, lists, K, chosen, share)
        return found, whole, by_hand(tx, rarity, least)


QUESTIONS = [("cat",), ("rose",), ("cat", "dog"), ("cat", "rose"), ("dog", "boat", "lamp"), WORDS]


@pytest.mark.parametrize("words", QUESTIONS)
@pytest.mark.parametrize(("least", "share"), [(0.0, 1.0), (0.5, 0.5), (0.5, 0.0), (0.95, 0.9)])
def test_whole_lists_give_the_best_of_all_photos(
    library: Catalog, words: tuple[str, ...], least: float, share: float
) -> None:
    with library.tenant(T) as tx:
        event(tx, "Rose Boat", range(10, 90))
        event(tx, "Lamp", range(90, 100))
        trash.put(tx, [rows.photo_id("p200")])
    found, whole, scores = ask(library, words, 10_000, least, share)
    expected = sorted(scores.values(), reverse=True)
    assert [score for _, score, _ in found] == pytest.approx(expected[:K], rel=1e-5)
    assert all(scores[photo] == pytest.approx(score, rel=1e-5) for photo, score, _ in found)
    assert whole == (len(scores) <= K)
    assert all(bits > 0 and bits < 2 ** len(words) for _, _, bits in found)


@pytest.mark.parametrize("least", [0.0, 0.5])
def test_a_list_that_is_cut_hides_no_photo_that_a_rarer_word_finds(
    library: Catalog, least: float
) -> None:
    found, _, scores = ask(library, ("cat", "lamp"), 30, least)
    expected = sorted(scores.values(), reverse=True)
    assert [score for _, score, _ in found] == pytest.approx(expected[:K], rel=1e-5)


def test_scores_are_whole_where_every_list_is_cut(library: Catalog) -> None:
    found, whole, scores = ask(library, ("cat", "dog", "tree"), 30)
    assert len(found) == K and not whole
    assert all(scores[photo] == pytest.approx(score, rel=1e-5) for photo, score, _ in found)
    assert sorted((s for _, s, _ in found), reverse=True) == [s for _, s, _ in found]


def test_a_place_of_many_photos_meets_a_word_of_many_photos(library: Catalog) -> None:
    with library.tenant(T) as tx:
        event(tx, "Oslo", range(0, 200))
    found, _, scores = ask(library, ("oslo", "boat"), 8)
    best = sorted(scores.values(), reverse=True)[:K]
    assert [score for _, score, _ in found] == pytest.approx(best, rel=1e-5)
    with library.tenant(T) as tx:
        assert len(find_words(tx, "oslo", 300).ids) == 200


def test_a_narrow_filter_finds_what_a_common_word_has_there(library: Catalog) -> None:
    """Also where the best photos of the word are others: no list is long enough to hold all."""
    chosen = compile_filter(Filter(quality=Range(min=0.97)))
    with library.tenant(T) as tx:
        few = find_words(tx, "cat", K, chosen, 0.001)
        many = find_words(tx, "cat", K, chosen, 1.0)
    assert few.ids and few.ids == many.ids and few.whole and few.scores == many.scores
