"""Photos found by the words that the catalog keeps of them."""

import pytest

from photoorg.search.filter_sql import compile_filter
from photoorg.search.filters import Filter, without_words
from photoorg.search.text import find_words
from photoorg.store.catalog import Catalog, photos, trash
from tests.catalog import rows

pytestmark = pytest.mark.postgres
TEXTS = {
    "beach": {"title": "Sunset on the beach", "caption": "Two dogs playing in the waves"},
    "board": {"caption": "A surfboard", "ocr_text": "beach closed"},
    "plain": {"title": "Mountains"},
}


@pytest.fixture
def library(catalog: Catalog) -> Catalog:
    with catalog.tenant("a") as tx:
        made = [rows.photo(name) for name in TEXTS]
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        for name, columns in TEXTS.items():
            for column, text in columns.items():
                tx.conn.execute(
                    f"UPDATE photos SET {column} = %s WHERE photo_id = decode(%s, 'hex')".encode(),
                    [text, rows.photo_id(name)],
                )
    return catalog


def found(catalog: Catalog, text: str, tenant: str = "a") -> list[str]:
    names = {rows.photo_id(name): name for name in TEXTS}
    with catalog.tenant(tenant) as tx:
        return [names[i] for i in find_words(tx, text, 10).ids]


def test_a_title_weighs_more_than_text_in_the_picture(library: Catalog) -> None:
    assert found(library, "beach") == ["beach", "board"]


@pytest.mark.parametrize("text", ["dog", "DOGS", "playing", "wave"])
def test_words_are_found_in_other_forms(library: Catalog, text: str) -> None:
    assert found(library, text) == ["beach"]


def test_the_beginning_of_a_word_and_a_slip_of_the_pen_find_it_too(library: Catalog) -> None:
    assert found(library, "mount") == ["plain"]
    assert found(library, "montains") == ["plain"]


def test_nonsense_and_words_of_others_find_nothing(library: Catalog) -> None:
    assert found(library, "qzxv wvut") == []
    assert found(library, "beach", tenant="b") == []
    assert found(library, "") == []


def test_changed_words_and_the_trash_count_at_once(library: Catalog) -> None:
    with library.tenant("a") as tx:
        tx.conn.execute("UPDATE photos SET title = 'Hills' WHERE title = 'Mountains'")
        trash.put(tx, [rows.photo_id("beach")])
    assert found(library, "hills") == ["plain"]
    assert found(library, "mountains") == []
    assert found(library, "beach") == ["board"]


def test_a_rare_longer_word_does_not_come_before_the_word_itself(catalog: Catalog) -> None:
    with catalog.tenant("a") as tx:
        made = [rows.photo(f"p{n}") for n in range(700)]
        photos.copy_part(tx, "run", 0, rows.photos(*made), rows.rejects())
        tx.conn.execute("UPDATE photos SET caption = 'a red car'")
        tx.conn.execute(
            "UPDATE photos SET caption = NULL, title = 'Carpet' WHERE photo_id = decode(%s, 'hex')",
            [rows.photo_id("p0")],
        )
        assert rows.photo_id("p0") not in find_words(tx, "car", 10).ids
        found = find_words(tx, "car", 1_000).ids
        assert len(found) == 700 and found[-1] == rows.photo_id("p0")
        assert find_words(tx, "carp", 10).ids == (rows.photo_id("p0"),)


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ("Frau Müller", "mueller"),
        ("Frau Müller", "Müller"),
        ("Frau Müller", "muller"),
        ("Lange Straße", "strasse"),
        ("Lange Strasse", "Straße"),
        ("Café am See", "cafe"),
        ("Søren", "søren"),
        ("東京タワー", "東京"),
        ("東京タワー", "東京タワー"),
        ("서울 야경", "서울"),
        ("Пляж летом", "пляж"),
        ("Party 🎉 at home", "party🎉"),
        ("Rock & Roll", '"rock roll"'),
        ("O'Brien", "o\u2019brien"),
    ],
)
def test_words_of_other_scripts_and_spellings_are_found(
    catalog: Catalog, said: str, asked: str
) -> None:
    with catalog.tenant("a") as tx:
        photos.copy_part(tx, "run", 0, rows.photos(rows.photo("p")), rows.rejects())
        tx.conn.execute("UPDATE photos SET caption = %s", [said])
        assert find_words(tx, asked, 10).ids == (rows.photo_id("p"),)


@pytest.mark.parametrize(
    "asked", ["", " ", "🎉", '""', "-", "'", "\\", "%", "& | !", "a" * 2_000, "the of", "\u0301"]
)
def test_odd_questions_find_nothing_and_break_nothing(library: Catalog, asked: str) -> None:
    assert found(library, asked) == []


def test_words_behind_a_minus_are_those_of_no_hit(library: Catalog) -> None:
    names = {rows.photo_id(name): name for name in TEXTS}

    def left(question: str) -> list[str]:
        words, unwanted = without_words(question)
        chosen = compile_filter(Filter(without=unwanted)) if unwanted else None
        with library.tenant("a") as tx:
            return [names[i] for i in find_words(tx, words, 10, chosen).ids]

    assert left("beach") == ["beach", "board"]
    assert left("beach -dogs") == left("beach -DOG") == ["board"]
    assert left("beach -closed") == ["beach"]
    assert left("beach -closed -dog") == []
    assert left("beach -the") == ["beach", "board"]
    with library.tenant("a") as tx:
        (made,) = tx.conn.execute(
            "INSERT INTO events (tenant_id, place, photos) VALUES ('a', 'Lisbon', 1)"
            " RETURNING event_id"
        ).fetchone() or (0,)
        tx.conn.execute(
            "INSERT INTO event_photos (tenant_id, photo_id, event_id)"
            " VALUES ('a', decode(%s, 'hex'), %s)",
            [rows.photo_id("board"), made],
        )
    assert left("beach -lisbon") == ["beach"]


@pytest.mark.parametrize(
    ("said", "words", "unwanted"),
    [
        ("beach -dog", "beach", ("dog",)),
        ("-Dog beach -dog", "beach", ("dog",)),
        ("well-known spider-man", "well-known spider-man", ()),
        ("minus -20 degrees", "minus -20 degrees", ()),
        ("a - b", "a - b", ()),
        ("-", "-", ()),
        ("mer -été", "mer", ("été",)),
        ("-dog", "", ("dog",)),
    ],
)
def test_only_words_right_behind_a_minus_are_unwanted(
    said: str, words: str, unwanted: tuple[str, ...]
) -> None:
    assert without_words(said) == (words, unwanted)
